//! Wallets, guardians and one ledger while everything goes wrong that may: a simulation that a seed determines.
//!
//! Real are the wallet ([`credits::wallet`]), the ledger with its stores ([`ledger::StoredLedger`] in memory, or on a disk that
//! loses power) and all messages, signatures and statements between them. A small guardian follows the protocol (what
//! `enclave/src/{admission,tabs,calls,settlement}.rs` decide about money); a small client keeps the account that
//! `verifier/src/{payment,tab}.rs` keep, and withdraws, deposits and claims as `verifier/src/{withdraw,payment/resume}.rs` do.
//! Proofs are not computed: each is the number of its witness, and the statement is computed again where one is verified.
//!
//! A schedule is a list of [`Op`](simulation::op::Op)s. Messages wait until a step delivers, copies or drops one, so they arrive
//! late, twice, in another order or never; calls to the ledger lose request or answer, or arrive twice or late; clocks of all
//! parties jump both ways; devices and guardians are killed, devices come back from what they stored, from an older copy or from
//! the seed alone, and two have one seed; the ledger is killed, on disk in the middle of a commit. In some seeds a guardian, a
//! wallet, a payee, or somebody who shows the ledger's pages is hostile.
//!
//! Two owners are operators and claim what their guardians charged, one of them on two devices that do not know of each other. A
//! withdrawal is cut off before it is sent, before it is charged or before its text is shown; texts are deposited by anybody, its
//! owner too, and by two at once; somebody pays into one on purpose. Notes are merged, by devices that are killed, put back, or two
//! with one seed, while the notes are spent elsewhere; a merge that was cut off is sent again, or given up.
//!
//! Operators put what they earned at stake and back their guardians with it, boot by boot; who sees two things that a guardian signed
//! and that contradict each other shows them, others make some up; payers rate their tabs, some twice.
//!
//! After every step the [invariants](simulation::invariant::Invariant) are checked by somebody who knows all secrets, and at the
//! end, when faults have stopped, that everything ends and everybody has what is theirs: operators take their stakes back and claim the rest of what they
//! earned, and what is left of every withdrawal is deposited by its text.
//!
//! Failures: any invariant that does not hold. The schedule is then made shorter and printed with a command that shows it again.
//!
//! No failures, because the protocol promises no more:
//! - A hostile guardian charges up to the whole reserve of a tab; the client sees that its receipts do not explain it.
//! - What a guardian serves while the ledger does not answer is lost to it when it dies before the ledger is back.
//! - Two devices with one seed, or one that was put back to an older copy, send two spends of one note: the ledger takes one.
//! - Two devices with one seed ask for notes on the same keys, and so does one that was put back while a request was on its way:
//!   whoever reads the log sees that such notes are one wallet's. Two that claim at once can make one and the same claim; both are
//!   told of it, and the notes are there once.
//! - Whoever has a text can claim it, also before whom it was meant for; who comes second is told so.
//! - A ledger that shows two logs to two wallets, each of them growing, is not noticed before their checkpoints meet.
//! - A spend that was given up is reserved after all, when the ledger's clock was set back by more than the grace.
//! - A merge that its owner gave up is recorded after all, or the notes are spent: whichever comes first.
//!
//! Not in it: a ledger that lies about what a payee is owed and about nothing else, and settlement on an EVM.
//!
//! Nothing here depends on time, threads or the order of maps. The threads of the ledger are asked one at a time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

mod simulation {
    pub(crate) mod bonds;
    pub(crate) mod books;
    pub(crate) mod checks;
    pub(crate) mod claims;
    pub(crate) mod device;
    pub(crate) mod guardian;
    pub(crate) mod happened;
    pub(crate) mod hostile;
    pub(crate) mod invariant;
    pub(crate) mod line;
    pub(crate) mod merges;
    pub(crate) mod op;
    pub(crate) mod oracle;
    pub(crate) mod regressions;
    pub(crate) mod run;
    pub(crate) mod schedule;
    pub(crate) mod secrets;
    pub(crate) mod shown;
    pub(crate) mod standing;
    pub(crate) mod views;
    pub(crate) mod withdrawals;
    pub(crate) mod world;
}

use simulation::books::LedgerFlaw;
use simulation::device::WalletFlaw;
use simulation::guardian::GuardianFlaw;
use simulation::happened::HAPPENED;
use simulation::invariant::Invariant;
use simulation::line::Tally;
use simulation::op::Setup;
use simulation::regressions::{REGRESSIONS, Regression};
use simulation::run::{report, run, runtime, seeds, shrink};
use simulation::schedule::schedule;
use simulation::world::Flaw;

/// Seeds in an ordinary run and in a long one.
const SEEDS: u64 = 300;
const NIGHTLY_SEEDS: u64 = 10_000;
/// Tests that share a long run, so that it can use more than one processor and says how far it got.
const NIGHTLY_PARTS: u64 = 4;
/// Seeds within which a program that is wrong must be noticed.
const SEEDS_TO_NOTICE: u64 = 300;

#[test]
fn invariants_hold_after_every_step() {
    let tally = seeds(0..SEEDS);
    assert_eq!(tally.0["seed"], SEEDS);
    println!("{tally}");
    for (what, least) in HAPPENED {
        let count = tally.0.get(*what).copied().unwrap_or(0);
        assert!(count >= *least, "{what}: {count} times, expected at least {least}");
    }
}

/// Every one of the many seeds is in one part.
fn nightly_part(part: u64) -> Tally {
    let each = NIGHTLY_SEEDS / NIGHTLY_PARTS;
    let tally = seeds(part * each..(part + 1) * each);
    assert_eq!(tally.0["seed"], each);
    tally
}

#[test]
fn nightly_invariants_hold_over_the_first_quarter_of_many_seeds() {
    println!("{}", nightly_part(0));
}

#[test]
fn nightly_invariants_hold_over_the_second_quarter_of_many_seeds() {
    println!("{}", nightly_part(1));
}

#[test]
fn nightly_invariants_hold_over_the_third_quarter_of_many_seeds() {
    println!("{}", nightly_part(2));
}

#[test]
fn nightly_invariants_hold_over_the_last_quarter_of_many_seeds() {
    println!("{}", nightly_part(3));
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let runtime = runtime();
    // The first is on disk.
    for seed in 0..4 {
        let setup = Setup::of(seed);
        let ops = schedule(&setup);
        let tallies = [(); 2].map(|()| run(&setup, &ops, None, &runtime).unwrap().0);
        assert_eq!(tallies[0], tallies[1], "seed {seed}");
    }
}

#[test]
fn what_failed_once_holds() {
    let runtime = runtime();
    for Regression { what, setup, ops, was } in REGRESSIONS {
        if let Err(failure) = run(setup, ops, None, &runtime) {
            panic!("{what}\n{}", report(setup, ops, &failure, &runtime));
        }
        if let Some((flaw, invariant)) = was {
            let failed = run(setup, ops, Some(*flaw), &runtime).unwrap_err();
            assert_eq!(failed.violation.invariant, *invariant, "{what}: {}", failed.violation.what);
        }
    }
}

/// The seed that the environment names when this is built, for looking at one run.
#[test]
fn the_named_seed() {
    if let Some(seed) = option_env!("SIMULATION_SEED") {
        seeds(std::iter::once(seed.parse().unwrap()));
    }
}

/// A program that is wrong is noticed by the invariant that it violates, and by a schedule that can be made short.
fn is_noticed(flaw: Flaw, expected: Invariant) -> String {
    is_noticed_as(flaw, &[expected])
}

/// The same of one that violates several.
fn is_noticed_as(flaw: Flaw, expected: &[Invariant]) -> String {
    let runtime = runtime();
    // Seeds in memory: what the store is makes no difference here. Nobody is hostile unless it takes somebody: the flaw alone is
    // noticed.
    let hostile_wallet = expected.contains(&Invariant::FraudRefused);
    let hostile_payee =
        [Invariant::ClaimsSigned, Invariant::ClaimsCovered].iter().any(|hostile| expected.contains(hostile));
    for seed in 0..SEEDS_TO_NOTICE {
        let setup = Setup::of(2 * seed + 1);
        let setup = Setup { on_disk: false, hostile_guardian: false, hostile_wallet, hostile_payee, ..setup };
        let ops = schedule(&setup);
        let Err(failure) = run(&setup, &ops, Some(flaw), &runtime) else { continue };
        let noticed = failure.violation.invariant;
        assert!(expected.contains(&noticed), "seed {seed}: {noticed:?}: {}", failure.violation.what);
        let steps = failure.step;
        let (short, last) = shrink(&setup, &ops, Some(flaw), failure, &runtime);
        assert_eq!(last.violation.invariant, noticed);
        assert!(short.len() <= steps + 1);
        let again = run(&setup, &short, Some(flaw), &runtime).unwrap_err();
        assert_eq!(again.violation, last.violation, "a shorter schedule fails in the same way");
        // Without the flaw the same steps are fine.
        assert!(run(&setup, &short, None, &runtime).is_ok());
        return format!("{flaw:?}: seed {seed}, {} of {} steps: {}", short.len(), ops.len(), last.violation.what);
    }
    panic!("{flaw:?} is not noticed within {SEEDS_TO_NOTICE} seeds");
}

#[test]
fn a_refund_of_one_more_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::RefundsOneMore), Invariant::SuccessorExact));
}

#[test]
fn a_second_reservation_of_a_note_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::ReservesTwice), Invariant::OneReservation));
}

#[test]
fn a_note_minted_twice_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::MintsTwice), Invariant::Conservation));
}

#[test]
fn a_ledger_that_forgets_an_entry_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::ForgetsLast), Invariant::LogOnlyGrows));
}

#[test]
fn a_payee_with_one_credit_more_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::PaysOneMore), Invariant::PayeesAreSums));
}

#[test]
fn a_reservation_that_never_ends_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::NeverFinalises), Invariant::EverythingEnds));
}

#[test]
fn a_reservation_that_ends_early_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::FinalisesEarly), Invariant::InTime));
}

#[test]
fn a_charge_above_what_was_served_is_noticed() {
    println!("{}", is_noticed(Flaw::Guardian(GuardianFlaw::ChargesOneMore), Invariant::ChargesServed));
}

#[test]
fn a_guardian_that_journals_nothing_is_noticed() {
    println!("{}", is_noticed(Flaw::Guardian(GuardianFlaw::NeverJournals), Invariant::ExposureBounded));
}

#[test]
fn a_repeated_call_that_is_charged_twice_is_noticed() {
    println!("{}", is_noticed(Flaw::Guardian(GuardianFlaw::ChargesRepeats), Invariant::SettlementsExplained));
}

#[test]
fn service_under_a_tab_that_has_ended_is_noticed() {
    // What it serves after its settlement was not answered is lost, or it asks for it with a second one.
    let expected = [Invariant::ExposureBounded, Invariant::HonestSayOneThing];
    println!("{}", is_noticed_as(Flaw::Guardian(GuardianFlaw::ServesForNothing), &expected));
}

#[test]
fn a_wallet_that_sends_before_it_saves_is_noticed() {
    println!("{}", is_noticed(Flaw::Wallet(WalletFlaw::SendsBeforeSaving), Invariant::OneSpendPerNote));
}

#[test]
fn a_wallet_that_frees_a_note_without_a_clear_no_is_noticed() {
    println!("{}", is_noticed(Flaw::Wallet(WalletFlaw::FreesOnAnyError), Invariant::OneSpendPerNote));
}

#[test]
fn a_wallet_that_trusts_old_pages_is_noticed() {
    println!("{}", is_noticed(Flaw::Wallet(WalletFlaw::TrustsOldPages), Invariant::ViewsOnlyGrow));
}

#[test]
fn a_spend_that_is_settled_twice_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::SettlesTwice), Invariant::OneOutcome));
}

#[test]
fn a_charge_that_nobody_signed_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::ChargesUnsigned), Invariant::ChargesSigned));
}

#[test]
fn a_sum_that_is_not_the_logs_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::TellsOtherSums), Invariant::LogReplays));
}

#[test]
fn a_reservation_that_is_not_proved_to_be_in_the_log_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::ProvesNothing), Invariant::AnswersProved));
}

#[test]
fn a_repeat_that_is_refused_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::RefusesRepeats), Invariant::RepeatsAgree));
}

#[test]
fn a_proof_that_is_not_verified_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::TakesAnyProof), Invariant::FraudRefused));
}

#[test]
fn a_wallet_that_hides_what_is_pending_is_noticed() {
    println!("{}", is_noticed(Flaw::Wallet(WalletFlaw::HidesPending), Invariant::WalletsExact));
}

#[test]
fn a_claim_above_what_is_owed_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::ClaimsAboveOwed), Invariant::ClaimsCovered));
}

#[test]
fn a_claim_that_a_restart_forgets_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::ForgetsClaims), Invariant::ClaimsCountedOnce));
}

#[test]
fn a_claim_that_the_payee_did_not_sign_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::TakesAnyClaim), Invariant::ClaimsSigned));
}

#[test]
fn an_account_that_owes_what_was_claimed_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::OwesWhatWasClaimed), Invariant::PayeesAreSums));
}

#[test]
fn a_withdrawal_that_is_sent_before_it_is_saved_is_noticed() {
    println!("{}", is_noticed(Flaw::Wallet(WalletFlaw::ForgetsWithdrawals), Invariant::OneSpendPerNote));
}

#[test]
fn a_deposit_that_another_won_is_noticed() {
    println!("{}", is_noticed(Flaw::Wallet(WalletFlaw::TellsOfLostClaims), Invariant::DepositsWon));
}

#[test]
fn an_operator_that_reuses_a_claims_number_is_noticed() {
    println!("{}", is_noticed(Flaw::Wallet(WalletFlaw::ReusesClaimNumbers), Invariant::EarningsKept));
}

#[test]
fn a_text_that_is_shown_before_its_charge_is_noticed() {
    println!("{}", is_noticed(Flaw::Wallet(WalletFlaw::HandsOutUncharged), Invariant::WithdrawalsKept));
}

#[test]
fn a_wallet_that_forgets_its_withdrawals_is_noticed() {
    println!("{}", is_noticed(Flaw::Wallet(WalletFlaw::HidesWithdrawals), Invariant::WithdrawalsKept));
}

#[test]
fn one_payee_for_all_withdrawals_is_noticed() {
    println!("{}", is_noticed(Flaw::Wallet(WalletFlaw::HasOnePayee), Invariant::WithdrawalsUnlinked));
}

#[test]
fn a_wallet_that_asks_for_notes_again_is_noticed() {
    println!("{}", is_noticed(Flaw::Wallet(WalletFlaw::AsksForNotesAgain), Invariant::NoteKeysUnlinked));
}

#[test]
fn a_merge_that_is_made_twice_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::MergesTwice), Invariant::OneReservation));
}

#[test]
fn a_merge_whose_proof_is_not_verified_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::TakesAnyMerge), Invariant::FraudRefused));
}

#[test]
fn a_merge_that_is_sent_before_it_is_saved_is_noticed() {
    println!("{}", is_noticed(Flaw::Wallet(WalletFlaw::MergesBeforeSaving), Invariant::OneSpendPerNote));
}

#[test]
fn a_merge_that_is_given_up_without_a_word_is_noticed() {
    println!("{}", is_noticed(Flaw::Wallet(WalletFlaw::GivesUpMerges), Invariant::OneSpendPerNote));
}

#[test]
fn a_stake_that_is_given_back_early_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::GivesStakesBack), Invariant::StakesHeld));
}

#[test]
fn a_stake_that_is_never_given_back_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::KeepsStakes), Invariant::StakesCovered));
}

#[test]
fn a_stake_that_is_taken_for_nothing_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::TakesAnyEvidence), Invariant::FaultsProved));
}

#[test]
fn a_tab_that_is_rated_again_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::RatesAgain), Invariant::RatingsEarned));
}

#[test]
fn a_note_that_is_spent_after_it_was_merged_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::SpendsMerged), Invariant::OneReservation));
}

#[test]
fn a_good_merge_that_is_refused_is_noticed() {
    println!("{}", is_noticed(Flaw::Ledger(LedgerFlaw::RefusesMerges), Invariant::GoodMergesTaken));
}
