//! What payees were paid becomes notes, once.

use std::collections::BTreeSet;
use std::sync::Arc;

use credits::merkle::verify_inclusion;
use credits::note::{Blind, inner, leaf, mint_rho};
use credits::{
    Bytes32, ClaimRequest, Credits, Fe, Ledger, LedgerError, LogEntry, MintOutput, PayeeAccount, SigningKey,
};

use super::support::*;

/// Contenders in a race.
const CONTENDERS: u64 = 60;

/// Has somebody charged for the payee.
async fn pay<L: Ledger>(world: &World<L>, number: u64, charge: u64) {
    let spend = world.spend(number, charge).await;
    world.ledger.reserve(spend.clone()).await.unwrap();
    world.ledger.settle(world.settle(&spend, charge)).await.unwrap();
}

fn claim<L: Ledger>(world: &World<L>, claim_seq: u64, output: MintOutput) -> ClaimRequest {
    ClaimRequest::sign(&payee_key(), &world.info.ledger_id, claim_seq, output)
}

/// What the payee is owed, and its number of claims.
async fn account<L: Ledger>(world: &World<L>) -> (u64, u64) {
    let PayeeAccount { owed, claims } = world.ledger.payee(payee_key().public()).await.unwrap();
    (owed.get(), claims)
}

pub(crate) async fn claims_are_of_what_was_charged<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    assert_eq!(account(&world).await, (0, 0));
    let ask = |claim_seq, value| world.ledger.claim(claim(&world, claim_seq, output(9, value)));
    assert_eq!(ask(0, 1).await, Err(LedgerError::ClaimAboveCharges));
    pay(&world, 1, 30).await;
    // What is only reserved or journalled is nobody's yet.
    let open = world.spend(2, 50).await;
    world.ledger.reserve(open.clone()).await.unwrap();
    world.ledger.journal(world.journal(&open, 20)).await.unwrap();
    assert_eq!(account(&world).await, (30, 0));
    assert_eq!(ask(0, 31).await, Err(LedgerError::ClaimAboveCharges));
    assert_eq!(ask(0, 0).await, Err(LedgerError::ClaimZero));

    let answer = ask(0, 12).await.unwrap();
    assert_eq!(account(&world).await, (18, 1));
    // The note is one like those of vouchers: numbered with them, in the tree, in the log.
    let rho = mint_rho(world.info.ledger_id, 1);
    let expected = leaf(inner(output(9, 12).pk, credits(12), rho, Blind(output(9, 12).b)), Credits::ZERO);
    assert_eq!((answer.entry.mint_seq, answer.entry.rho, answer.entry.leaf), (1, rho, expected));
    let leaf = LogEntry::Claim(answer.entry.clone()).leaf_hash();
    let checkpoint = &answer.checkpoint;
    let proved =
        verify_inclusion(leaf, answer.entry_index, checkpoint.log_size, &answer.inclusion, &checkpoint.log_root);
    assert_eq!(proved, Ok(()));
    assert_eq!(answer.entry.leaf_index + 1, checkpoint.note_count);

    assert_eq!(ask(1, 19).await, Err(LedgerError::ClaimAboveCharges));
    ask(1, 18).await.unwrap();
    assert_eq!(account(&world).await, (0, 2));
    // What is charged later can be claimed later.
    world.ledger.settle(world.settle(&open, 25)).await.unwrap();
    assert_eq!(ask(2, 26).await, Err(LedgerError::ClaimAboveCharges));
    ask(2, 25).await.unwrap();
    assert_eq!(account(&world).await, (0, 3));
    // Other payees have their own sums.
    assert_eq!(world.ledger.payee(Bytes32([1; 32])).await, Ok(PayeeAccount::default()));
}

pub(crate) async fn a_claim_counts_once_wherever_it_arrives<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    pay(&world, 1, 30).await;
    let first = claim(&world, 0, output(9, 10));
    let answer = world.ledger.claim(first.clone()).await.unwrap();
    let size = world.log_size().await;
    let again = world.ledger.claim(first.clone()).await.unwrap();
    assert_eq!((again.entry, again.entry_index), (answer.entry, answer.entry_index));
    assert_eq!(world.log_size().await, size);
    // The payee's word for another note under the same number is no second claim.
    let other = claim(&world, 0, output(8, 10));
    assert_eq!(world.ledger.claim(other).await, Err(LedgerError::ClaimStale));
    // Once another one followed, the first is history: it is refused, and the note it made stays.
    world.ledger.claim(claim(&world, 1, output(9, 10))).await.unwrap();
    assert_eq!(world.ledger.claim(first).await, Err(LedgerError::ClaimStale));
    assert_eq!(account(&world).await, (10, 2));
}

pub(crate) async fn claims_are_the_payees<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    pay(&world, 1, 30).await;
    let good = claim(&world, 0, output(9, 10));
    let other = SigningKey::from_seed(&[99; 32]);
    let mut identity = Bytes32::default();
    identity.0[0] = 1;
    let changed = [
        ClaimRequest { output: output(8, 10), ..good.clone() },
        ClaimRequest { output: output(9, 11), ..good.clone() },
        ClaimRequest { claim_seq: 1, ..good.clone() },
        ClaimRequest { payee: other.public(), ..good.clone() },
        ClaimRequest { payee: identity, ..good.clone() },
        ClaimRequest::sign(&payee_key(), &Bytes32([1; 32]), 0, output(9, 10)),
        ClaimRequest { signature: world.settle(&world.spend(1, 30).await, 30).signature, ..good.clone() },
    ];
    let size = world.log_size().await;
    for bad in changed {
        assert_eq!(world.ledger.claim(bad.clone()).await, Err(LedgerError::ClaimSignature), "{bad:?}");
    }
    // Who was paid nothing has nothing, whatever he signs.
    let poor = ClaimRequest::sign(&other, &world.info.ledger_id, 0, output(9, 10));
    assert_eq!(world.ledger.claim(poor).await, Err(LedgerError::ClaimAboveCharges));
    assert_eq!((world.log_size().await, account(&world).await), (size, (30, 0)));
    world.ledger.claim(good).await.unwrap();
}

/// Whoever holds the key may claim, and many may: the sum is claimed once.
pub(crate) async fn a_race_for_one_balance_has_one_winner<L: Ledger + 'static>(world: World<L>) {
    world.mint(1, 100).await;
    pay(&world, 1, 30).await;
    let world = Arc::new(world);
    let contenders: Vec<_> = (0..CONTENDERS)
        .map(|number| {
            let world = Arc::clone(&world);
            let note = MintOutput { b: Fe::from(10_000 + number), ..output(9, 30) };
            tokio::spawn(async move { world.ledger.claim(claim(&world, 0, note)).await })
        })
        .collect();
    let mut won = BTreeSet::new();
    for contender in contenders {
        match contender.await.unwrap() {
            Ok(answer) => assert!(won.insert(answer.entry_index)),
            Err(error) => assert_eq!(error, LedgerError::ClaimStale),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(account(&world).await, (0, 1));
}
