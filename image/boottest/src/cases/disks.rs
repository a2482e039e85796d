//! Disks in the wrong place, of the wrong name, too short, twice, and one that changes after it was read.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use anyhow::Context as _;

use crate::cases::Case;
use crate::cases::end_to_end::Guest;
use crate::context::{BOOT_LIMIT, Context, READY, because, must_refuse, tail};
use crate::report::Verdict;
use crate::vm::{Boot, Disk, Machine, Outcome};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        with_disks("engine and model volumes swapped", &["is corrupted", "disk.too_small"], |_, disks| {
            let [_, engine, model] = disks.as_mut_slice() else { return Ok(()) };
            std::mem::swap(&mut engine.file, &mut model.file);
            Ok(())
        }),
        with_disks("a wrong serial", &["disk.unknown", "disk.missing"], |_, disks| {
            serial(disks, 1, "cloister-engine2");
            Ok(())
        }),
        with_disks("two disks with one serial", &["disk.duplicate"], |_, disks| {
            disks.extend(disks.last().cloned());
            Ok(())
        }),
        with_disks("a disk that nobody asked for", &["disk.unknown"], |_, disks| {
            let extra = disks.first().map(|disk| Disk { file: disk.file.clone(), serial: "backup".to_owned() });
            disks.extend(extra);
            Ok(())
        }),
        with_disks("a missing disk", &["disk.missing"], |_, disks| {
            disks.pop();
            Ok(())
        }),
        with_disks("a volume cut short", &["disk.too_small"], |context, disks| {
            let disk = disks.first_mut().context("there is a disk")?;
            let bytes = fs::read(&disk.file)?;
            let file = context.folder()?.join("root.img");
            fs::write(&file, bytes.get(..bytes.len() / 2).unwrap_or_default())?;
            disk.file = file;
            Ok(())
        }),
        Case::new("a disk that lies after it was read once", lies_later),
        Case::new("the disk for flashing starts from its own partitions", flashed),
    ]
}

fn serial(disks: &mut [Disk], index: usize, serial: &str) {
    if let Some(disk) = disks.get_mut(index) {
        serial.clone_into(&mut disk.serial);
    }
}

fn with_disks(
    name: &str,
    reasons: &'static [&'static str],
    change: impl Fn(&Context, &mut Vec<Disk>) -> anyhow::Result<()> + Send + Sync + 'static,
) -> Case {
    Case::new(name, move |context| {
        let mut disks = context.debug.disks();
        change(context, &mut disks)?;
        Ok(must_refuse(Machine::new(context.debug.direct(), disks).start(&context.folder()?)?, reasons))
    })
}

/// The probe reads one block past the page cache, over and over. After its first read the host changes that block.
fn lies_later(context: &Context) -> anyhow::Result<Verdict> {
    let image = &context.test;
    let folder = context.folder()?;
    let mut disks = image.disks();
    let model = disks.last_mut().context("the model is the last disk")?;
    let copy = folder.join("model.img");
    fs::copy(&model.file, &copy)?;
    model.file.clone_from(&copy);
    // With a platform, or its guardian would end it before the twentieth read.
    let mut guest = Guest::start(context, image, image.direct(), disks)?;
    let vm = &mut guest.vm;
    let Outcome::Said(_) = vm.wait_for("READREADY", BOOT_LIMIT) else {
        return Ok(Verdict::Failed(format!("the probe never read: {}", tail(&vm.console()))));
    };
    let console = vm.console();
    let block = console.split("READREADY").nth(1).and_then(|rest| rest.split("block=").nth(1));
    let block: u64 =
        block.and_then(|text| text.split_whitespace().next()).context("the probe names a block")?.parse()?;
    let Outcome::Said(_) = vm.wait_for("READ 20", BOOT_LIMIT) else {
        return Ok(Verdict::Failed(format!("reading did not go on: {}", tail(&vm.console()))));
    };
    let file = fs::File::options().read(true).write(true).open(&copy)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, block * 4096)?;
    file.write_all_at(&[byte[0] ^ 1], block * 4096)?;
    file.sync_all()?;
    let limit = vm.age() + Duration::from_secs(30);
    Ok(match vm.wait_for_end(limit) {
        Outcome::Ended(_) => because(vm, &["is corrupted"]),
        _ => Verdict::Failed(format!("it went on reading: {}", tail(&vm.console()))),
    })
}

fn flashed(context: &Context) -> anyhow::Result<Verdict> {
    let disk = Disk { file: context.debug.file("disk.img"), serial: "any-vendor-serial".to_owned() };
    let boot = Boot::Disk { firmware: context.general_firmware.clone() };
    let mut vm = Machine::new(boot, vec![disk]).start(&context.folder()?)?;
    Ok(match vm.wait_for(READY, BOOT_LIMIT) {
        Outcome::Said(after) => Verdict::Passed(format!("ready after {:.1} s", after.as_secs_f64())),
        other => Verdict::Failed(format!("{other:?}: {} {}", tail(&vm.console()), vm.complaints())),
    })
}
