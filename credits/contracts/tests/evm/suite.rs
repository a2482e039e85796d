//! The suite that every ledger passes, `ledger/tests/contract.rs`, over the settlement contract: its cases as they are, for those that have a meaning
//! on a chain, and why the others have none. Behind the trait is an adapter; `books.rs` says what is judged by the contract and what by that.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ledger::EvmLedger;
use support::{TestClock, World};

#[allow(dead_code, reason = "not every case of it is run here")]
#[path = "../../../../ledger/tests/contract/claims.rs"]
mod claims;
#[path = "../../../../ledger/tests/contract/log.rs"]
mod log;
#[path = "../../../../ledger/tests/contract/mints.rs"]
mod mints;
#[allow(dead_code, reason = "not every case of it is run here")]
#[path = "../../../../ledger/tests/contract/spends.rs"]
mod spends;
#[allow(dead_code, reason = "the contract needs no home")]
#[path = "../../../../ledger/tests/support/world.rs"]
pub(crate) mod support;

mod cases {
    pub(crate) use super::claims::*;
    pub(crate) use super::log::*;
    pub(crate) use super::mints::*;
    pub(crate) use super::spends::*;
}

/// What must be there for as long as the contract is: nothing, its chain is in this process.
pub(crate) struct Home;

/// A contract of its own.
fn world() -> World<EvmLedger> {
    let clock = TestClock::new();
    let ledger = EvmLedger::new(Arc::clone(&clock));
    let info = ledger.ask(|books| books.info.clone());
    World { ledger: Arc::new(ledger), clock, info, home: Home }
}

/// Runs cases against a contract each. On one thread: contenders in a race come one after the other, as they do on a chain.
macro_rules! on_the_contract {
    ($($case:ident),* $(,)?) => {
        /// The names of the cases that are run.
        const RUN: &[&str] = &[$(stringify!($case)),*];

        $(
            #[test]
            fn $case() {
                tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(cases::$case(world()));
            }
        )*
    };
}

on_the_contract! {
    n14_a_spend_must_reserve_something,
    n27_deadlines,
    n29_a_spend_for_another_ledger,
    n30_roots_outside_the_window,
    n31_a_race_for_one_nullifier_has_one_winner,
    n32_a_repeat_is_answered_as_before,
    n33_another_spend_of_the_nullifier_is_refused,
    n34_an_outcome_is_final,
    n35_a_successor_is_used_once,
    n36_mint_rules,
    n36_a_voucher_is_redeemed_once,
    n36_the_cap_on_all_credits,
    n38_a_charge_is_never_above_the_reserve,
    claims_are_the_payees,
    a_race_for_one_balance_has_one_winner,
    bad_proofs_are_refused_and_burn_nothing,
    signatures_are_the_settle_keys,
    overdue_spends_without_a_total_are_void,
    refused_operations_do_not_disturb_their_neighbours,
    unknown_things_are_not_found,
    the_log_proves_itself,
    what_a_crowd_is_answered_is_in_the_log,
}

const ALL_AT_ONCE: &str = "claims have no numbers and no amounts: one pays all that is owed, in tokens";
const NO_TOTALS: &str = "nothing is journalled: a running total is a signed `Settle`, which the operator keeps, and what is overdue is void";
const NO_MERGES: &str = "the contract verifies no merges (decision 32)";
const OTHER_STAKES: &str =
    "stakes are another contract's, `Stake`: in tokens, behind one key, by its secp256k1 signatures, asked back";

/// The cases that are not run, each with the reason.
const NOT_RUN: &[(&str, &str)] = &[
    ("claims_are_of_what_was_charged", ALL_AT_ONCE),
    ("a_claim_counts_once_wherever_it_arrives", ALL_AT_ONCE),
    ("a_merge_makes_one_note_of_two", NO_MERGES),
    ("a_merged_note_is_spent", NO_MERGES),
    ("n21_a_merge_is_of_two_notes", NO_MERGES),
    ("n30_n35_merges_are_under_recent_roots_and_into_new_successors", NO_MERGES),
    ("n31_a_race_of_merges_and_spends_has_one_winner_for_each_note", NO_MERGES),
    ("bad_merges_are_refused_and_burn_nothing", NO_MERGES),
    ("a_stake_is_put_backed_with_and_taken_back", OTHER_STAKES),
    ("acts_are_the_payees_and_count_once", OTHER_STAKES),
    ("a_payee_backs_so_many_keys_at_a_time", OTHER_STAKES),
    ("a_fault_loses_the_stake_once", OTHER_STAKES),
    ("every_fault_loses_a_stake", OTHER_STAKES),
    ("honest_words_lose_nothing", OTHER_STAKES),
    ("a_race_of_accusers_has_one_winner", OTHER_STAKES),
    ("tabs_that_were_charged_are_rated_once", "the contract has no ratings"),
    ("totals_are_journalled_in_order", NO_TOTALS),
    ("overdue_spends_are_ended_at_their_last_total", NO_TOTALS),
];

fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The cases that are run on the other ledgers.
fn cases_of_the_suite() -> BTreeSet<String> {
    let suite = read("ledger/tests/contract.rs");
    let (_, listed) = suite.split_once("\ncontract! {\n").unwrap();
    let (listed, _) = listed.split_once("\n}").unwrap();
    let cases: BTreeSet<_> = listed.lines().map(|line| line.trim().trim_end_matches(',').to_owned()).collect();
    assert!(cases.len() >= 20, "{cases:?}");
    cases
}

/// So a new case is run here too, or somebody has thought about why not.
#[test]
fn every_case_of_the_ledgers_suite_is_run_or_has_its_reason() {
    let not_run = NOT_RUN.iter().map(|(case, _)| *case);
    let mut told = BTreeSet::new();
    for case in RUN.iter().copied().chain(not_run) {
        assert!(told.insert(case.to_owned()), "{case} is told twice");
    }
    assert_eq!(told, cases_of_the_suite());
}

/// Each case has a line in `docs/credit-tests.md`, which says whether it is run and what else tests the same of the contract.
#[test]
fn every_case_of_the_ledgers_suite_has_its_line() {
    let page = read("docs/credit-tests.md");
    let (_, table) = page.split_once("\n## The ledgers' suite, on the contract\n").unwrap();
    let lines = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let mut named = BTreeSet::new();
    for (case, rest) in lines {
        assert_eq!(rest.starts_with("run"), RUN.contains(&case), "{case}: {rest}");
        assert!(named.insert(case.to_owned()), "{case} has two lines");
    }
    assert_eq!(named, cases_of_the_suite());
}
