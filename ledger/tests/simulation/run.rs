//! Runs of schedules, and shorter schedules that fail in the same way.

use std::fmt::Write as _;
use std::sync::Arc;

use tokio::runtime::Runtime;

use super::invariant::Violation;
use super::line::Tally;
use super::op::{Op, Setup};
use super::schedule::schedule;
use super::world::{Flaw, World};

/// Most runs that are spent on making a failing schedule shorter.
const SHRINK_RUNS_MAX: usize = 300;

/// Where a run failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Steps taken before; all of them when the end failed.
    pub(crate) step: usize,
    pub(crate) violation: Violation,
}

pub(crate) fn runtime() -> Arc<Runtime> {
    Arc::new(tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap())
}

/// Takes every step, and then the end.
pub(crate) fn run(setup: &Setup, ops: &[Op], flaw: Option<Flaw>, runtime: &Arc<Runtime>) -> Result<Tally, Failure> {
    let mut world = World::new(*setup, Arc::clone(runtime), flaw);
    for (step, op) in ops.iter().enumerate() {
        world.step(op).map_err(|violation| Failure { step, violation })?;
    }
    world.finish().map_err(|violation| Failure { step: ops.len(), violation })?;
    Ok(world.tally().clone())
}

/// A shorter schedule that violates the same invariant: nothing after the failing step, and without whatever can be left out.
pub(crate) fn shrink(
    setup: &Setup,
    ops: &[Op],
    flaw: Option<Flaw>,
    failure: Failure,
    runtime: &Arc<Runtime>,
) -> (Vec<Op>, Failure) {
    let mut kept: Vec<_> = ops.iter().take(failure.step + 1).copied().collect();
    let mut known = failure;
    let mut size = kept.len().div_ceil(2);
    let mut runs = 0;
    while size > 0 && runs < SHRINK_RUNS_MAX {
        let mut from = 0;
        while from < kept.len() && runs < SHRINK_RUNS_MAX {
            let left_out = from..(from + size).min(kept.len());
            let shorter: Vec<_> =
                kept.iter().enumerate().filter(|(at, _)| !left_out.contains(at)).map(|(_, op)| *op).collect();
            runs += 1;
            match run(setup, &shorter, flaw, runtime) {
                Err(failure) if failure.violation.invariant == known.violation.invariant => {
                    kept = shorter.into_iter().take(failure.step + 1).collect();
                    known = failure;
                }
                _ => from += size,
            }
        }
        size /= 2;
    }
    (kept, known)
}

/// A failure with all that it takes to see it again.
pub(crate) fn report(setup: &Setup, ops: &[Op], failure: &Failure, runtime: &Arc<Runtime>) -> String {
    let (short, last) = shrink(setup, ops, None, failure.clone(), runtime);
    let seed = setup.seed;
    let mut text =
        format!("seed {seed}, step {}: {:?}: {}\n", failure.step, failure.violation.invariant, failure.violation.what);
    writeln!(text, "{} of {} steps suffice: {}", short.len(), ops.len(), last.violation.what).unwrap();
    writeln!(text, "{setup:?}").unwrap();
    short.iter().for_each(|op| writeln!(text, "    Op::{op:?},").unwrap());
    write!(text, "again: SIMULATION_SEED={seed} cargo nextest run -p ledger --test simulation the_named_seed").unwrap();
    text
}

/// Runs the schedule of every seed and adds up what happened.
pub(crate) fn seeds(seeds: impl Iterator<Item = u64>) -> Tally {
    let runtime = runtime();
    let mut tally = Tally::default();
    for seed in seeds {
        let setup = Setup::of(seed);
        let ops = schedule(&setup);
        match run(&setup, &ops, None, &runtime) {
            Ok(happened) => {
                tally.add(&happened);
                tally.count("seed");
            }
            Err(failure) => panic!("{}", report(&setup, &ops, &failure, &runtime)),
        }
    }
    tally
}
