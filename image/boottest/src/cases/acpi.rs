//! Hostile ACPI tables: code in a table that writes guest memory when the guest runs it (BadAML, CVE-2026-100839), and a table that says
//! registers lie in guest memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use crate::cases::Case;
use crate::context::{BOOT_LIMIT, Context, READY, tail};
use crate::report::Verdict;
use crate::vm::{Boot, Machine, Outcome, Vm};

/// What the table writes, and where (`image/kernel/badaml/bad.asl`).
const ADDRESS: u64 = 0x1000_0000;
const WORD: u32 = 0xb4db_4d01;

/// What our kernel says.
const REFUSED: &str = "ACPI access to RAM refused";

/// How the distribution's kernel is started. It finds no root file system and stops; its tables were read long before.
const OTHER_CMDLINE: &str = "console=ttyS0 lockdown=integrity panic=0";

/// Size of a FADT of version 6, and of the block of event registers: half status, half enable bits.
const FADT_BYTES: usize = 276;
const GPE_BLOCK_BYTES: u8 = 8;

/// Where the machine's firmware puts these tables with 1 GiB of memory; without them the kernel is in other trouble.
const FACS: u32 = 0x3ffe_0000;
const DSDT: u32 = 0x3ffe_0040;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("the table writes into a kernel without the patch", |context| {
            let mut vm = hostile(context, other_kernel(context))?;
            vm.wait_for("Kernel panic", BOOT_LIMIT);
            let word = vm.memory_word(ADDRESS)?;
            let locked = vm.console().contains("Kernel is locked down");
            Ok(if word == WORD {
                Verdict::Passed(format!("memory at {ADDRESS:#x} reads {word:#x}, locked down: {locked}"))
            } else {
                Verdict::Failed(format!("memory reads {word:#x}: the attack does not work: {}", tail(&vm.console())))
            })
        }),
        Case::new("our kernel refuses, and starts all the same", |context| {
            let mut vm = hostile(context, context.debug.direct())?;
            refused_and_ready(&mut vm, |word| word == WORD)
        }),
        Case::new("event registers in RAM are written by a kernel without the patch", |context| {
            let mut vm = with_table(context, other_kernel(context), &registers_in_ram(context)?)?;
            vm.wait_for("Kernel panic", BOOT_LIMIT);
            let word = vm.memory_word(ADDRESS)?;
            Ok(if cleared(word) {
                Verdict::Passed(format!("status bits were cleared there: memory at {ADDRESS:#x} reads {word:#x}"))
            } else {
                Verdict::Failed(format!("memory reads {word:#x}: the attack does not work: {}", tail(&vm.console())))
            })
        }),
        Case::new("our kernel refuses event registers in RAM, and starts all the same", |context| {
            let mut vm = with_table(context, context.debug.direct(), &registers_in_ram(context)?)?;
            refused_and_ready(&mut vm, cleared)
        }),
        Case::new("honest tables are not refused", |context| {
            let mut vm = Machine::new(context.debug.direct(), context.debug.disks()).start(&context.folder()?)?;
            vm.wait_for(READY, BOOT_LIMIT);
            std::thread::sleep(Duration::from_millis(200));
            let console = vm.console();
            Ok(if console.contains(READY) && !console.contains(REFUSED) {
                Verdict::Passed("no refusal".to_owned())
            } else {
                Verdict::Failed(tail(&console))
            })
        }),
    ]
}

/// The services are up, the kernel said that it refused, and the memory does not hold what the table would have written.
fn refused_and_ready(vm: &mut Vm, written: fn(u32) -> bool) -> anyhow::Result<Verdict> {
    let outcome = vm.wait_for(READY, BOOT_LIMIT);
    let word = vm.memory_word(ADDRESS)?;
    let said = vm.console().contains(REFUSED);
    Ok(match outcome {
        Outcome::Said(_) if said && !written(word) => Verdict::Passed(format!("{REFUSED}; memory reads {word:#x}")),
        other => Verdict::Failed(format!("{other:?}, refusal {said}, word {word:#x}: {}", tail(&vm.console()))),
    })
}

/// A distribution's kernel, without our patch: what shows that an attack works.
fn other_kernel(context: &Context) -> Boot {
    Boot::Direct { kernel: context.other_kernel.clone(), initrd: None, cmdline: OTHER_CMDLINE.to_owned() }
}

fn hostile(context: &Context, boot: Boot) -> anyhow::Result<Vm> {
    with_table(context, boot, &context.repo.join("image/kernel/badaml/bad.aml"))
}

fn with_table(context: &Context, boot: Boot, table: &Path) -> anyhow::Result<Vm> {
    table.metadata().with_context(|| format!("find {}", table.display()))?;
    let mut machine = Machine::new(boot, context.debug.disks());
    machine.extra = vec!["-acpitable".to_owned(), format!("file={}", table.display())];
    machine.start(&context.folder()?)
}

/// Whether ones were written over the status bits; the first byte may have changed since.
fn cleared(word: u32) -> bool {
    word >> 8 == 0xff_ffff
}

/// A second FADT, which counts since it comes last: as QEMU's own, but the registers of general purpose events lie in RAM. When it takes
/// them over the kernel clears all status bits, by writing ones.
fn registers_in_ram(context: &Context) -> anyhow::Result<PathBuf> {
    let mut table = vec![0_u8; FADT_BYTES];
    let mut put = |at: usize, bytes: &[u8]| -> anyhow::Result<()> {
        let place = table.get_mut(at..at + bytes.len()).context("inside the table")?;
        place.copy_from_slice(bytes);
        Ok(())
    };
    // ACPI 6.5, table 5.9; ports and commands are those of the q35 machine.
    put(0, b"FACP")?;
    put(4, &u32::try_from(FADT_BYTES)?.to_le_bytes())?;
    put(8, &[6])?;
    put(10, b"HOSTILREGISTER")?;
    put(36, &FACS.to_le_bytes())?;
    put(40, &DSDT.to_le_bytes())?;
    put(46, &9_u16.to_le_bytes())?;
    put(48, &0xb2_u32.to_le_bytes())?;
    put(52, &[2, 3])?;
    put(56, &0x600_u32.to_le_bytes())?;
    put(64, &0x604_u32.to_le_bytes())?;
    put(76, &0x608_u32.to_le_bytes())?;
    put(88, &[4, 2, 0, 4, GPE_BLOCK_BYTES])?;
    // X_GPE0_BLK: system memory, width in bits, offset, access by bytes, address.
    put(220, &[0, GPE_BLOCK_BYTES * 8, 0, 1])?;
    put(224, &ADDRESS.to_le_bytes())?;
    let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    *table.get_mut(9).context("inside the table")? = sum.wrapping_neg();
    let file = context.folder()?.join("fadt");
    fs::write(&file, table)?;
    Ok(file)
}
