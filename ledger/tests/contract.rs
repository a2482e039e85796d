//! One suite for every way to reach a ledger: the model in memory, the stores on disk and in PostgreSQL, and the client through the service.
//! The contracts on an EVM run the same cases, those that have a meaning there: `credits/contracts/tests/evm/suite.rs` includes these files.
//! The names carry the numbers of the negative tests of the credits design.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "contract/claims.rs"]
mod claims;
#[path = "contract/log.rs"]
mod log;
#[path = "contract/merges.rs"]
mod merges;
#[path = "contract/mints.rs"]
mod mints;
#[path = "contract/spends.rs"]
mod spends;
#[path = "contract/standing.rs"]
mod standing;
mod support;

/// Runs every case against every kind of ledger, where it is to be had.
macro_rules! contract {
    ($($case:ident),* $(,)?) => {
        contract!(@ memory, Some(memory().await), $($case),*);
        contract!(@ redb, Some(redb().await), $($case),*);
        contract!(@ postgres, postgres().await, $($case),*);
        contract!(@ http, Some(http().await), $($case),*);
    };
    (@ $kind:ident, $made:expr, $($case:ident),*) => {
        mod $kind {
            use super::support::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if let Some(world) = $made {
                        super::cases::$case(world).await;
                    }
                }
            )*
        }
    };
}

contract! {
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
    claims_are_of_what_was_charged,
    a_claim_counts_once_wherever_it_arrives,
    claims_are_the_payees,
    a_race_for_one_balance_has_one_winner,
    a_merge_makes_one_note_of_two,
    a_merged_note_is_spent,
    n21_a_merge_is_of_two_notes,
    n30_n35_merges_are_under_recent_roots_and_into_new_successors,
    n31_a_race_of_merges_and_spends_has_one_winner_for_each_note,
    bad_merges_are_refused_and_burn_nothing,
    a_stake_is_put_backed_with_and_taken_back,
    acts_are_the_payees_and_count_once,
    a_payee_backs_so_many_keys_at_a_time,
    a_fault_loses_the_stake_once,
    every_fault_loses_a_stake,
    honest_words_lose_nothing,
    a_race_of_accusers_has_one_winner,
    tabs_that_were_charged_are_rated_once,
    bad_proofs_are_refused_and_burn_nothing,
    totals_are_journalled_in_order,
    signatures_are_the_settle_keys,
    overdue_spends_are_ended_at_their_last_total,
    overdue_spends_without_a_total_are_void,
    refused_operations_do_not_disturb_their_neighbours,
    unknown_things_are_not_found,
    the_log_proves_itself,
    what_a_crowd_is_answered_is_in_the_log,
}

mod cases {
    pub(crate) use crate::claims::*;
    pub(crate) use crate::log::*;
    pub(crate) use crate::merges::*;
    pub(crate) use crate::mints::*;
    pub(crate) use crate::spends::*;
    pub(crate) use crate::standing::*;
}
