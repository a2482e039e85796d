//! n37: whatever the schedule, no credit is made or lost. Random schedules against the oracle, which has the ledger's rules
//! written a second time, on the model store and on the stores on disk and in PostgreSQL.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use support::oracle::{Action, Finalise, Oracle, send};
use support::stakes::Standing;
use support::*;

/// Schedules per store in an ordinary run.
const MEMORY_SCHEDULES: u32 = 60;
const REDB_SCHEDULES: u32 = 12;
const POSTGRES_SCHEDULES: u32 = 12;
/// Schedules in a long run, on the model store and on each of the others.
const NIGHTLY_SCHEDULES: u32 = 10_000;
const NIGHTLY_SCHEDULES_STORED: u32 = 1_000;
const STEPS_MAX: usize = 60;

fn action() -> impl Strategy<Value = Action> {
    let number = any::<u16>().prop_map(usize::from);
    let amount = any::<u16>().prop_map(u64::from);
    prop_oneof![
        2 => (amount.clone(), any::<u8>()).prop_map(|(value, notes)| Action::Mint { value, notes }),
        4 => (number.clone(), amount.clone()).prop_map(|(note, c_max)| Action::Reserve { note, c_max }),
        1 => number.clone().prop_map(|spend| Action::Repeat { spend }),
        1 => number.clone().prop_map(|spend| Action::Conflict { spend }),
        3 => (number.clone(), amount.clone()).prop_map(|(spend, total)| Action::Journal { spend, total }),
        3 => (number.clone(), amount.clone()).prop_map(|(spend, charge)| Action::Settle { spend, charge }),
        2 => (number.clone(), number).prop_map(|(first, second)| Action::Merge { first, second }),
        1 => any::<bool>().prop_map(|swapped| Action::RepeatMerge { swapped }),
        2 => (amount.clone(), amount).prop_map(|(value, before)| Action::Claim { value, before }),
        1 => Just(Action::RepeatClaim),
        3 => standing().prop_map(Action::Standing),
        1 => (0..700u64).prop_map(|secs| Action::Advance { secs }),
        1 => Just(Action::Finalise),
    ]
}

fn standing() -> impl Strategy<Value = Standing> {
    let amount = any::<u16>().prop_map(u64::from);
    prop_oneof![
        4 => amount.prop_map(|amount| Standing::Put { amount }),
        3 => (0..700u64).prop_map(|secs| Standing::Back { secs }),
        2 => Just(Standing::Take),
        1 => Just(Standing::RepeatAct),
        2 => any::<bool>().prop_map(|honest| Standing::Accuse { honest }),
        1 => Just(Standing::RepeatAccuse),
        3 => (any::<u16>().prop_map(usize::from), any::<u8>()).prop_map(|(spend, score)| Standing::Rate { spend, score }),
    ]
}

async fn run<L: Finalise>(world: &World<L>, actions: &[Action]) -> Oracle {
    let mut oracle = Oracle::new(world.info.clone(), START);
    for action in actions {
        let before = oracle.now();
        if let Some((call, expected)) = oracle.plan(*action) {
            assert_eq!(send(&*world.ledger, call).await, expected, "{action:?}");
        }
        world.clock.advance(oracle.now() - before);
    }
    oracle.audit(&*world.ledger).await;
    oracle
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn schedules(count: u32, run: impl Fn(&[Action])) {
    let config = Config { cases: count, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, proptest::test_runner::TestRng::deterministic_rng(Default::default()));
    let result = runner.run(&proptest::collection::vec(action(), 1..STEPS_MAX), |actions| {
        run(&actions);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

fn on_the_model_store(count: u32) {
    let runtime = runtime();
    schedules(count, |actions| {
        runtime.block_on(async {
            let world = memory().await;
            run(&world, actions).await.audit_sums(&world.ledger).await;
        });
    });
}

#[test]
fn n37_no_credit_is_made_or_lost_on_the_model_store() {
    on_the_model_store(MEMORY_SCHEDULES);
}

fn on_disk(count: u32) {
    let runtime = runtime();
    schedules(count, |actions| {
        runtime.block_on(async {
            let world = redb().await;
            run(&world, actions).await.audit_sums(&world.ledger).await;
        });
    });
}

#[test]
fn n37_no_credit_is_made_or_lost_on_disk() {
    on_disk(REDB_SCHEDULES);
}

fn in_postgres(count: u32) {
    let runtime = runtime();
    let Some(postgres) = ledger_testing::Postgres::start().unwrap() else { return };
    let number = AtomicU32::new(0);
    schedules(count, |actions| {
        let schema = format!("ledger{}", number.fetch_add(1, Ordering::Relaxed));
        let url = postgres.url(&schema).unwrap();
        runtime.block_on(async {
            let clock = TestClock::new();
            let ledger = in_schema(url, clock.clone()).await;
            let world = World::of(ledger, clock);
            run(&world, actions).await.audit_sums(&world.ledger).await;
        });
    });
}

#[test]
fn n37_no_credit_is_made_or_lost_in_postgres() {
    in_postgres(POSTGRES_SCHEDULES);
}

#[test]
fn nightly_n37_many_schedules() {
    on_the_model_store(NIGHTLY_SCHEDULES);
}

#[test]
fn nightly_n37_many_schedules_on_disk() {
    on_disk(NIGHTLY_SCHEDULES_STORED);
}

#[test]
fn nightly_n37_many_schedules_in_postgres() {
    in_postgres(NIGHTLY_SCHEDULES_STORED);
}
