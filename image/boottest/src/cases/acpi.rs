//! Hostile ACPI tables: a table of the host whose code writes guest memory when the guest reads its tables (BadAML, CVE-2026-100839).

use std::time::Duration;

use anyhow::Context as _;

use crate::cases::Case;
use crate::context::{BOOT_LIMIT, Context, READY, tail};
use crate::report::Verdict;
use crate::vm::{Boot, Machine, Outcome, Vm};

/// What the table writes, and where (`image/kernel/badaml/bad.asl`).
const ADDRESS: u64 = 0x1000_0000;
const WORD: u32 = 0xb4db_4d01;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("the table writes into a kernel without the patch", |context| {
            let Some(kernel) = &context.other_kernel else {
                return Ok(Verdict::Skipped("no kernel without the patch is there".to_owned()));
            };
            let cmdline = "console=ttyS0 lockdown=integrity panic=0".to_owned();
            let boot = Boot::Direct { kernel: kernel.clone(), initrd: None, cmdline };
            let mut vm = hostile(context, boot)?;
            // It finds no root file system and stops; its tables were read long before.
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
            let outcome = vm.wait_for(READY, BOOT_LIMIT);
            let word = vm.memory_word(ADDRESS)?;
            let said = vm.console().contains("AML access to RAM refused");
            Ok(match outcome {
                Outcome::Said(_) if said && word != WORD => {
                    Verdict::Passed(format!("AML access to RAM refused; memory reads {word:#x}"))
                }
                other => Verdict::Failed(format!("{other:?}, refusal {said}, word {word:#x}: {}", tail(&vm.console()))),
            })
        }),
        Case::new("honest tables are not refused", |context| {
            let mut vm = Machine::new(context.debug.direct(), context.debug.disks()).start(&context.folder()?)?;
            vm.wait_for(READY, BOOT_LIMIT);
            std::thread::sleep(Duration::from_millis(200));
            let console = vm.console();
            Ok(if console.contains(READY) && !console.contains("AML access to RAM refused") {
                Verdict::Passed("no refusal".to_owned())
            } else {
                Verdict::Failed(tail(&console))
            })
        }),
    ]
}

fn hostile(context: &Context, boot: Boot) -> anyhow::Result<Vm> {
    let table = context.repo.join("image/kernel/badaml/bad.aml");
    table.metadata().with_context(|| format!("find {}", table.display()))?;
    let mut machine = Machine::new(boot, context.debug.disks());
    machine.extra = vec!["-acpitable".to_owned(), format!("file={}", table.display())];
    machine.start(&context.folder()?)
}
