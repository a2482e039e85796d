//! The firmware for SEV-SNP: it starts what its table of hashes names, and nothing else.
//!
//! On SEV-SNP the table is part of the launch measurement. Without SEV it is put into memory at the same address, which shows that the
//! firmware does check it.

use std::fs;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Context as _, bail};
use attestation::measure::snp::{KernelHashes, kernel_hashes_table};

use crate::cases::Case;
use crate::context::{BOOT_LIMIT, Context, Image, READY, tail};
use crate::report::Verdict;
use crate::setup_header;
use crate::vm::{Boot, MEMORY_MIB, Machine, Outcome};

/// A firmware that refuses says nothing. It is given this many times what it needs, in the same run, to start the right kernel, and
/// never less than the second number.
const PATIENCE: u32 = 3;
const PATIENCE_MIN: Duration = Duration::from_secs(10);

/// The first line of a kernel.
const KERNEL: &str = "Linux version";

/// The three files of a launch.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
    pub(crate) cmdline: String,
}

impl Launch {
    pub(crate) fn of(image: &Image) -> Self {
        Self {
            kernel: image.file("vmlinuz"),
            initrd: image.file("initrd.cpio"),
            cmdline: image.manifest.cmdline.clone(),
        }
    }

    /// Boots through the firmware, with the table for `table_for`; one bit of the `flip`-th hash in it is changed.
    pub(crate) fn boot(
        &self,
        context: &Context,
        image: &Image,
        table_for: &Self,
        flip: Option<usize>,
    ) -> anyhow::Result<Boot> {
        let firmware = image.file("OVMF.amdsev.fd");
        let (kernel, initrd) = (fs::read(&table_for.kernel)?, fs::read(&table_for.initrd)?);
        let kernel = setup_header::patched(&kernel, initrd.len(), MEMORY_MIB << 20)?;
        let hashes = KernelHashes::of(&kernel, Some(&initrd), &table_for.cmdline)?;
        let mut table = kernel_hashes_table(&fs::read(&firmware)?, &hashes)?;
        if let Some(entry) = flip {
            // A header of 18 bytes, then entries of 50: 18 of header and the hash.
            let at = 18 + 50 * entry + 18;
            *table.bytes.get_mut(at).context("the table is shorter")? ^= 1;
        }
        let file = context.folder()?.join("hashes");
        fs::write(&file, table.bytes)?;
        Ok(Boot::Checked {
            firmware,
            kernel: self.kernel.clone(),
            initrd: self.initrd.clone(),
            cmdline: self.cmdline.clone(),
            table: file,
            address: u64::from(table.gpa),
        })
    }
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("the right table: the firmware starts the kernel", |context| {
            let image = &context.debug;
            let launch = Launch::of(image);
            let boot = launch.boot(context, image, &launch, None)?;
            let mut vm = Machine::new(boot, image.disks()).start(&context.folder()?)?;
            Ok(match vm.wait_for(READY, BOOT_LIMIT) {
                Outcome::Said(after) => Verdict::Passed(format!("ready after {:.1} s", after.as_secs_f64())),
                other => Verdict::Failed(format!("{other:?}: {} {}", tail(&vm.console()), vm.complaints())),
            })
        }),
        wrong("a table for another kernel", |context, launch| {
            launch.kernel = context.flipped(&launch.kernel, 0x10_0000)?;
            Ok(())
        }),
        wrong("a table for another ramdisk", |context, launch| {
            launch.initrd = context.flipped(&launch.initrd, 0x1_0000)?;
            Ok(())
        }),
        wrong("a table for another command line", |_, launch| {
            launch.cmdline.push_str(" loglevel=7");
            Ok(())
        }),
    ]
}

/// The table names something else than what QEMU hands over.
fn wrong(name: &str, change: impl Fn(&Context, &mut Launch) -> anyhow::Result<()> + Send + Sync + 'static) -> Case {
    Case::new(name, move |context| {
        let launch = Launch::of(&context.debug);
        let mut other = launch.clone();
        change(context, &mut other)?;
        let boot = launch.boot(context, &context.debug, &other, None)?;
        never_starts(context, boot)
    })
}

/// The firmware must not hand over to the kernel: not one line of its log may appear.
pub(crate) fn never_starts(context: &Context, boot: Boot) -> anyhow::Result<Verdict> {
    let patience = (usual_start(context)? * PATIENCE).max(PATIENCE_MIN);
    let mut vm = Machine::new(boot, context.debug.disks()).start(&context.folder()?)?;
    Ok(match vm.wait_for(KERNEL, patience) {
        Outcome::Said(_) => Verdict::Failed("the kernel was started".to_owned()),
        // QEMU may end because it could not start at all, which would prove nothing.
        Outcome::Ended(_) if !vm.complaints().is_empty() => Verdict::Failed(format!("QEMU: {}", vm.complaints())),
        Outcome::Ended(_) => Verdict::Passed("the firmware refused and ended".to_owned()),
        Outcome::Silent => Verdict::Passed(format!("no kernel within {:.1} s", patience.as_secs_f64())),
    })
}

/// How long this firmware takes here to start the kernel that its table names; measured once.
fn usual_start(context: &Context) -> anyhow::Result<Duration> {
    let mut known = context.usual_start.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = *known {
        return Ok(known);
    }
    let image = &context.debug;
    let launch = Launch::of(image);
    let mut vm = Machine::new(launch.boot(context, image, &launch, None)?, image.disks()).start(&context.folder()?)?;
    let Outcome::Said(took) = vm.wait_for(KERNEL, BOOT_LIMIT) else {
        bail!("not even the right table starts a kernel: {} {}", tail(&vm.console()), vm.complaints());
    };
    *known = Some(took);
    Ok(took)
}
