//! The cases, by subject, and how they are run: two machines at a time, since there are two processors.

pub(crate) mod acpi;
pub(crate) mod build;
pub(crate) mod direct;
pub(crate) mod disks;
pub(crate) mod end_to_end;
pub(crate) mod firmware;
pub(crate) mod measured;
pub(crate) mod tamper;

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::context::Context;
use crate::report::{Report, Verdict};

/// What a case does.
type Run = dyn Fn(&Context) -> anyhow::Result<Verdict> + Send + Sync;

/// One case.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) run: Box<Run>,
}

impl Case {
    pub(crate) fn new(
        name: impl Into<String>,
        run: impl Fn(&Context) -> anyhow::Result<Verdict> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// Runs `cases`, `at_once` at a time, and reports them in their order.
pub(crate) fn run(context: &Context, report: &mut Report, heading: &str, at_once: usize, cases: &[Case]) {
    report.heading(heading);
    let next = Mutex::new(0_usize);
    let done: Mutex<Vec<Option<(Duration, Verdict)>>> = Mutex::new(cases.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let index = {
                        let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
                        *next += 1;
                        *next - 1
                    };
                    let Some(case) = cases.get(index) else { return };
                    let started = Instant::now();
                    let verdict = (case.run)(context)
                        .unwrap_or_else(|error| Verdict::Failed(format!("could not run: {error:#}")));
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(slot) = done.get_mut(index) {
                        *slot = Some((started.elapsed(), verdict));
                    }
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (case, outcome) in cases.iter().zip(done) {
        let missing = || (Duration::ZERO, Verdict::Failed("it was never run".to_owned()));
        let (took, verdict) = outcome.unwrap_or_else(missing);
        report.case(&case.name, took, &verdict);
    }
}
