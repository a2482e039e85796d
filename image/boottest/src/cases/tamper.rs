//! One changed bit in each place that a launch depends on. Each must end in refusal.
//!
//! Kernel, ramdisk, command line and the table of their hashes are refused by the firmware; volumes by dm-verity, at mount or at the first
//! read of the block. For what the launch digest covers the new digest is shown to be another one as well, which is what a client sees.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use attestation::reference::manifest::ManifestVolume;
use image_builder::measure;

use crate::cases::Case;
use crate::cases::end_to_end::Guest;
use crate::cases::firmware::{Launch, never_starts};
use crate::context::{BOOT_LIMIT, Context, Image, because, must_refuse, tail};
use crate::report::Verdict;
use crate::vm::{Boot, Machine, Outcome};

/// A place in the middle of a kernel or ramdisk.
const MIDDLE: u64 = 0x8_0000;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        launched("kernel", |context, launch| {
            launch.kernel = context.flipped(&launch.kernel, MIDDLE)?;
            Ok(())
        }),
        launched("ramdisk", |context, launch| {
            launch.initrd = context.flipped(&launch.initrd, MIDDLE)?;
            Ok(())
        }),
        launched("command line", |_, launch| {
            launch.cmdline = launch.cmdline.replacen("panic=-1", "panic=-0", 1);
            Ok(())
        }),
        table("kernel's hash in the firmware table", 0),
        table("ramdisk's hash in the firmware table", 1),
        table("command line's hash in the firmware table", 2),
        firmware(),
        unified_image(),
    ];
    for name in ["root", "engine", "model"] {
        cases.push(volume_bit(name, "data (first block)", |_| 0));
        cases.push(volume_bit(name, "tree", |volume| volume.data_blocks * 4096));
        cases.push(configured(name, "salt", |volume| volume.salt.to_string()));
        if name != "root" {
            cases.push(configured(name, "root hash", |volume| volume.root_hash.to_string()));
        }
    }
    cases.push(root_hash_on_the_command_line());
    cases.push(root_hash_everywhere());
    cases.push(payload("engine"));
    cases.push(payload("model"));
    cases
}

/// The launch digest for two processors, from these files.
fn digest(image: &Image, launch: &Launch, firmware: Option<&[u8]>) -> anyhow::Result<String> {
    let amdsev = image.read("OVMF.amdsev.fd")?;
    let files = measure::Files {
        amdsev: firmware.unwrap_or(&amdsev),
        inteltdx: &[],
        vmlinuz: &fs::read(&launch.kernel)?,
        initrd: &fs::read(&launch.initrd)?,
        cmdline: &launch.cmdline,
        uki: &[],
    };
    let rows = measure::snp(&files)?;
    let row = rows.iter().find(|row| row.vcpus == 2).context("there is a row for two processors")?;
    Ok(row.launch_digest.to_string())
}

/// The firmware holds what QEMU hands over against the table for the true files.
fn launched(what: &str, change: impl Fn(&Context, &mut Launch) -> anyhow::Result<()> + Send + Sync + 'static) -> Case {
    Case::new(format!("one bit of the {what}"), move |context| {
        let image = &context.debug;
        let honest = Launch::of(image);
        let mut tampered = honest.clone();
        change(context, &mut tampered)?;
        if digest(image, &honest, None)? == digest(image, &tampered, None)? {
            return Ok(Verdict::Failed("the launch digest does not change".to_owned()));
        }
        let boot = tampered.boot(context, image, &honest, None)?;
        and_another_digest(never_starts(context, boot)?)
    })
}

fn and_another_digest(verdict: Verdict) -> anyhow::Result<Verdict> {
    Ok(match verdict {
        Verdict::Passed(seen) => Verdict::Passed(format!("{seen}; another launch digest")),
        other => other,
    })
}

/// A bit of one of the three hashes in the table. Their order in the table is command line, ramdisk, kernel.
fn table(what: &'static str, which: usize) -> Case {
    Case::new(format!("one bit of the {what}"), move |context| {
        let image = &context.debug;
        let launch = Launch::of(image);
        let entry = 2 - which;
        let boot = launch.boot(context, image, &launch, Some(entry))?;
        never_starts(context, boot)
    })
}

fn firmware() -> Case {
    Case::new("one bit of the firmware", |context| {
        let image = &context.debug;
        let launch = Launch::of(image);
        let mut firmware = image.read("OVMF.amdsev.fd")?;
        *firmware.get_mut(0x20_0000).context("the firmware has 4 MiB")? ^= 1;
        let (before, after) = (digest(image, &launch, None)?, digest(image, &launch, Some(&firmware))?);
        Ok(if before == after {
            Verdict::Failed("the launch digest does not change".to_owned())
        } else {
            Verdict::Passed("another launch digest: no client accepts it".to_owned())
        })
    })
}

fn unified_image() -> Case {
    Case::new("one bit of the unified image", |context| {
        let mut uki = context.debug.read("uki.efi")?;
        let before = attestation::measure::uki::predict_uki(&uki)?;
        let at = usize::try_from(MIDDLE)?;
        *uki.get_mut(at).context("the image is longer")? ^= 1;
        let after = attestation::measure::uki::predict_uki(&uki)?;
        Ok(if before.pcr4 == after.pcr4 || before.rtmr1 == after.rtmr1 {
            Verdict::Failed("PCR 4 and RTMR1 do not change".to_owned())
        } else {
            Verdict::Passed("another PCR 4 and RTMR1: no client accepts it".to_owned())
        })
    })
}

/// A bit of a volume, in a place that is read while it is mounted.
fn volume_bit(name: &'static str, place: &str, at: impl Fn(&ManifestVolume) -> u64 + Send + Sync + 'static) -> Case {
    Case::new(format!("one bit of the {name} volume's {place}"), move |context| {
        let image = &context.debug;
        let volume = volume(image, name)?;
        let mut disks = image.disks();
        let disk = disks.iter_mut().find(|disk| disk.serial.ends_with(name)).context("the volume has a disk")?;
        // The super block lies 1 KiB into the first block.
        disk.file = context.flipped(&disk.file, at(volume) + 1040)?;
        Ok(must_refuse(Machine::new(image.direct(), disks).start(&context.folder()?)?, &["is corrupted"]))
    })
}

/// A digit of a measured value in the ramdisk. Hex digits differ in one bit from their neighbours.
fn configured(
    name: &'static str,
    what: &str,
    value: impl Fn(&ManifestVolume) -> String + Send + Sync + 'static,
) -> Case {
    Case::new(format!("one bit of the {name} volume's {what}"), move |context| {
        let image = &context.debug;
        let value = value(volume(image, name)?);
        let boot = Boot::Direct {
            kernel: image.file("vmlinuz"),
            initrd: Some(changed_ramdisk(context, image, &value)?),
            cmdline: image.manifest.cmdline.clone(),
        };
        Ok(must_refuse(Machine::new(boot, image.disks()).start(&context.folder()?)?, &["is corrupted"]))
    })
}

fn volume<'a>(image: &'a Image, name: &str) -> anyhow::Result<&'a ManifestVolume> {
    image.manifest.volumes.iter().find(|volume| volume.name == name).context("the manifest names the volume")
}

/// `value` with another last digit.
fn other(value: &str) -> String {
    let (rest, last) = value.split_at(value.len().saturating_sub(1));
    let digit = u32::from_str_radix(last, 16).unwrap_or_default() ^ 1;
    format!("{rest}{digit:x}")
}

fn changed_ramdisk(context: &Context, image: &Image, value: &str) -> anyhow::Result<PathBuf> {
    let mut bytes = image.read("initrd.cpio")?;
    let at = bytes.windows(value.len()).position(|window| window == value.as_bytes());
    let at = at.context("the ramdisk holds the value")?;
    let place = bytes.get_mut(at..at + value.len()).context("the ramdisk holds the value")?;
    place.copy_from_slice(other(value).as_bytes());
    let file = context.folder()?.join("initrd.cpio");
    fs::write(&file, bytes)?;
    Ok(file)
}

fn root_hash_on_the_command_line() -> Case {
    Case::new("one bit of the root hash on the command line", |context| {
        let image = &context.debug;
        let value = volume(image, "root")?.root_hash.to_string();
        let boot = Boot::Direct {
            kernel: image.file("vmlinuz"),
            initrd: Some(image.file("initrd.cpio")),
            cmdline: image.manifest.cmdline.replace(&value, &other(&value)),
        };
        Ok(must_refuse(Machine::new(boot, image.disks()).start(&context.folder()?)?, &["cmdline.roothash"]))
    })
}

fn root_hash_everywhere() -> Case {
    Case::new("one bit of the root hash, in both places", |context| {
        let image = &context.debug;
        let value = volume(image, "root")?.root_hash.to_string();
        let boot = Boot::Direct {
            kernel: image.file("vmlinuz"),
            initrd: Some(changed_ramdisk(context, image, &value)?),
            cmdline: image.manifest.cmdline.replace(&value, &other(&value)),
        };
        Ok(must_refuse(Machine::new(boot, image.disks()).start(&context.folder()?)?, &["is corrupted"]))
    })
}

/// A bit in the middle of a volume, which is read only once the engine uses it.
fn payload(name: &'static str) -> Case {
    Case::new(format!("one bit in the middle of the {name} volume, read while serving"), move |context| {
        let image = &context.debug;
        let blocks = volume(image, name)?.data_blocks;
        let mut disks = image.disks();
        let disk = disks.iter_mut().find(|disk| disk.serial.ends_with(name)).context("the volume has a disk")?;
        disk.file = context.flipped(&disk.file, blocks / 2 * 4096)?;
        let mut guest = Guest::start(context, image, image.direct(), disks)?;
        Ok(match guest.vm.wait_for_end(BOOT_LIMIT) {
            Outcome::Ended(_) => because(&guest.vm, &["is corrupted"]),
            _ => Verdict::Failed(format!("it went on serving: {}", tail(&guest.vm.console()))),
        })
    })
}
