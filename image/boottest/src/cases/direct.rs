//! Direct boot: it starts, its probes find nothing open, and a command line that was added to is refused.

use std::time::Instant;

use crate::cases::Case;
use crate::context::{BOOT_LIMIT, Context, READY, must_refuse, tail};
use crate::report::{Report, Verdict};
use crate::vm::{Boot, Machine, Outcome};

/// What the probe prints last, in each of its three places.
const PROBE_SUMMARIES: usize = 3;

/// Checklist lines of the design that the probe must have something to say about.
const CHECKLIST: std::ops::RangeInclusive<u32> = 1..=16;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("a direct boot starts the services", |context| {
            let mut vm = Machine::new(context.debug.direct(), context.debug.disks()).start(&context.folder()?)?;
            Ok(match vm.wait_for(READY, BOOT_LIMIT) {
                Outcome::Said(after) => Verdict::Passed(format!("ready after {:.1} s", after.as_secs_f64())),
                other => Verdict::Failed(format!("{other:?}: {} {}", tail(&vm.console()), vm.complaints())),
            })
        }),
        Case::new("the shipped flavour shows nothing on the console", |context| {
            let image = &context.production;
            let mut vm = Machine::new(image.direct(), image.disks()).start(&context.folder()?)?;
            // Without a platform the guardian ends, and then the machine must power off.
            Ok(match (vm.wait_for_end(BOOT_LIMIT), vm.console().is_empty()) {
                (Outcome::Ended(_), true) if vm.complaints().is_empty() => {
                    Verdict::Passed("not one byte; powered off without a platform".to_owned())
                }
                (outcome, _) => Verdict::Failed(format!("{outcome:?}, console: {}", tail(&vm.console()))),
            })
        }),
        with_command_line("a second root hash on the command line", "cmdline.duplicate", |line| {
            format!("{line} cloister.roothash={}", "00".repeat(32))
        }),
        with_command_line("an unknown key on the command line", "cmdline.unknown", |line| format!("{line} evil=1")),
        with_command_line("init= on the command line", "cmdline.unknown", |line| format!("{line} init=/bin/sh")),
        with_command_line("rdinit= naming nothing, and a disk to start from instead", "cmdline.unknown", |line| {
            format!("{line} rdinit=/nothing root=/dev/vda rootfstype=erofs init=/usr/sbin/cloister-init")
        }),
        with_command_line("no root hash on the command line", "cmdline.missing", |line| {
            line.split(' ').filter(|word| !word.starts_with("cloister.")).collect::<Vec<_>>().join(" ")
        }),
    ]
}

fn with_command_line(
    name: &str,
    reason: &'static str,
    change: impl Fn(&str) -> String + Send + Sync + 'static,
) -> Case {
    Case::new(name, move |context| {
        let image = &context.debug;
        let boot = Boot::Direct {
            kernel: image.file("vmlinuz"),
            initrd: Some(image.file("initrd.cpio")),
            cmdline: change(&image.manifest.cmdline),
        };
        Ok(must_refuse(Machine::new(boot, image.disks()).start(&context.folder()?)?, &[reason]))
    })
}

/// The probes print many lines, so this case reports by itself.
pub(crate) fn probes(context: &Context, report: &mut Report) {
    report.heading("probes from inside, by line of the checklist");
    let started = Instant::now();
    let verdict = run_probes(context, report).unwrap_or_else(|error| Verdict::Failed(format!("{error:#}")));
    report.case("every line of the checklist has a probe or a reason", started.elapsed(), &verdict);
}

fn run_probes(context: &Context, report: &Report) -> anyhow::Result<Verdict> {
    let mut vm = Machine::new(context.test.direct(), context.test.disks()).start(&context.folder()?)?;
    let finished = |console: &str| console.matches("PROBE-SUMMARY").count() >= PROBE_SUMMARIES;
    while vm.runs() && !finished(&vm.console()) && vm.age() < BOOT_LIMIT {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let console = vm.console();
    let lines: Vec<&str> =
        console.lines().filter_map(|line| line.find("PROBE ").and_then(|at| line.get(at..))).collect();
    for line in &lines {
        report.detail(line.trim_end());
    }
    if !finished(&console) {
        return Ok(Verdict::Failed(format!("not all probes finished: {}", tail(&console))));
    }
    let word = |line: &str| line.split_whitespace().nth(2).unwrap_or_default().to_owned();
    let count = |wanted: &str| lines.iter().filter(|line| word(line) == wanted).count();
    let covered = |number: u32| {
        lines.iter().any(|line| {
            let item = line.split_whitespace().nth(1).and_then(|name| name.split('/').nth(1)).unwrap_or_default();
            item.split('-').next().and_then(|text| text.parse().ok()) == Some(number)
        })
    };
    let (passed, failed, reasons) = (count("PASS"), count("FAIL"), count("NA"));
    let open: Vec<String> = CHECKLIST.filter(|number| !covered(*number)).map(|number| number.to_string()).collect();
    if failed > 0 || passed == 0 || !open.is_empty() {
        let open = open.join(", ");
        return Ok(Verdict::Failed(format!(
            "{passed} pass, {failed} fail, {reasons} reasons; lines without any: [{open}]"
        )));
    }
    Ok(Verdict::Passed(format!("{passed} probes pass, {reasons} written reasons, lines 1 to 16 all covered")))
}
