//! Stakes answer for guardians, faults lose them, and tabs that were charged are rated.

use std::sync::Arc;

use credits::merkle::verify_inclusion;
use credits::stake::{BACKED_MAX, BACKED_SECS_MAX, Backing};
use credits::{
    Bond, Bytes32, Evidence, Ledger, LedgerError, LogEntry, PayeeAccount, RatingRequest, Said, SignatureBytes,
    SigningKey, SlashRequest, StakeAct, StakeRequest, journal_message, settle_message,
};

use super::log::whole_log;
use super::support::stakes::{bill, two_charges};
use super::support::*;

/// Contenders in a race.
const CONTENDERS: u8 = 40;

/// Has somebody charged for the payee, under a tab of a known key.
async fn earn<L: Ledger>(world: &World<L>, number: u64, charge: u64) -> SigningKey {
    let tab = SigningKey::from_seed(&[u8::try_from(number).unwrap(); 32]);
    let mut spend = world.spend(number, charge.max(1)).await;
    spend.context.tab_key = tab.public();
    world.ledger.reserve(spend.clone()).await.unwrap();
    world.ledger.settle(world.settle(&spend, charge)).await.unwrap();
    tab
}

fn act<L>(world: &World<L>, seq: u64, act: StakeAct) -> StakeRequest {
    StakeRequest::sign(&payee_key(), &world.info.ledger_id, seq, act)
}

fn put(amount: u64) -> StakeAct {
    StakeAct::Put { amount: credits(amount) }
}

fn back(until: u64) -> StakeAct {
    StakeAct::Back { settle_key: settle_key().public(), until }
}

/// What the payee is owed, and what it has at stake.
async fn worth<L: Ledger>(world: &World<L>) -> (u64, u64) {
    let payee = payee_key().public();
    let PayeeAccount { owed, .. } = world.ledger.payee(payee).await.unwrap();
    (owed.get(), world.ledger.bond(payee).await.unwrap().amount.get())
}

/// A payee with 100 of which 60 are at stake, behind the guardian for a minute.
async fn staked<L: Ledger>(world: &World<L>) {
    world.mint(1, 100).await;
    earn(world, 1, 100).await;
    world.ledger.stake(act(world, 0, put(60))).await.unwrap();
    world.ledger.stake(act(world, 1, back(START + 60))).await.unwrap();
}

fn accuse(evidence: Evidence) -> SlashRequest {
    let (payee, settle_key) = (payee_key().public(), settle_key().public());
    SlashRequest { payee, settle_key, evidence, reporter: reporter().public() }
}

fn reporter() -> SigningKey {
    SigningKey::from_seed(&[77; 32])
}

fn guilty<L>(world: &World<L>) -> Evidence {
    two_charges(&world.info, &settle_key(), credits::Nullifier(credits::Fe::from(5)), [3, 4])
}

pub(crate) async fn a_stake_is_put_backed_with_and_taken_back<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let ask = |seq, what| world.ledger.stake(act(&world, seq, what));
    assert_eq!(ask(0, put(1)).await, Err(LedgerError::StakeAboveOwed));
    assert_eq!(ask(0, back(START + 60)).await, Err(LedgerError::StakeNone));
    assert_eq!(ask(0, StakeAct::Take {}).await, Err(LedgerError::StakeNone));
    earn(&world, 1, 50).await;
    assert_eq!(ask(0, put(0)).await, Err(LedgerError::StakeZero));
    assert_eq!(ask(0, put(51)).await, Err(LedgerError::StakeAboveOwed));
    let answer = ask(0, put(30)).await.unwrap();
    assert_eq!((worth(&world).await, answer.entry.at), ((20, 30), START));
    let (leaf, at) = (LogEntry::Stake(answer.entry.clone()).leaf_hash(), &answer.checkpoint);
    assert_eq!(verify_inclusion(leaf, answer.entry_index, at.log_size, &answer.inclusion, &at.log_root), Ok(()));
    // What is at stake is not to be claimed.
    let claim = credits::ClaimRequest::sign(&payee_key(), &world.info.ledger_id, 0, output(9, 21));
    assert_eq!(world.ledger.claim(claim).await, Err(LedgerError::ClaimAboveCharges));

    ask(1, back(START + 30)).await.unwrap();
    for until in [START + 30, START + 29, START, START - 1, 0, START + BACKED_SECS_MAX + 1, u64::MAX] {
        // What was promised is not taken back, and can be promised for longer.
        assert_eq!(ask(2, back(until)).await, Err(LedgerError::StakeUntil), "{until}");
    }
    ask(2, back(START + 90)).await.unwrap();
    ask(3, put(10)).await.unwrap();
    let bond = world.ledger.bond(payee_key().public()).await.unwrap();
    let backing = Backing { settle_key: settle_key().public(), until: START + 90 };
    assert_eq!((bond.amount, &bond.backed, bond.acts), (credits(40), &vec![backing], 4));
    world.clock.advance(90);
    assert_eq!(ask(4, StakeAct::Take {}).await, Err(LedgerError::StakeHeld));
    world.clock.advance(1);
    ask(4, StakeAct::Take {}).await.unwrap();
    assert_eq!(worth(&world).await, (50, 0));
    // It is there to be claimed again, and to be staked again.
    ask(5, put(50)).await.unwrap();
    assert_eq!(worth(&world).await, (0, 50));
    // Others have theirs.
    assert_eq!(world.ledger.bond(Bytes32([1; 32])).await, Ok(Bond::default()));
}

pub(crate) async fn acts_are_the_payees_and_count_once<L: Ledger>(world: World<L>) {
    staked(&world).await;
    let good = act(&world, 2, put(10));
    let mut identity = Bytes32::default();
    identity.0[0] = 1;
    let changed = [
        StakeRequest { act: put(11), ..good.clone() },
        StakeRequest { act: StakeAct::Take {}, ..good.clone() },
        StakeRequest { act: back(START + 70), ..good.clone() },
        StakeRequest { seq: 3, ..good.clone() },
        StakeRequest { payee: reporter().public(), ..good.clone() },
        StakeRequest { payee: identity, ..good.clone() },
        StakeRequest::sign(&payee_key(), &Bytes32([1; 32]), 2, put(10)),
        StakeRequest { signature: SignatureBytes([0; 64]), ..good.clone() },
    ];
    let size = world.log_size().await;
    for bad in changed {
        assert_eq!(world.ledger.stake(bad.clone()).await, Err(LedgerError::StakeSignature), "{bad:?}");
    }
    assert_eq!(world.ledger.stake(act(&world, 1, put(10))).await, Err(LedgerError::StakeStale));
    assert_eq!(world.ledger.stake(act(&world, 3, put(10))).await, Err(LedgerError::StakeStale));
    assert_eq!(world.log_size().await, size);
    let answer = world.ledger.stake(good.clone()).await.unwrap();
    let again = world.ledger.stake(good.clone()).await.unwrap();
    assert_eq!((&again.entry, again.entry_index), (&answer.entry, answer.entry_index));
    assert_eq!((world.log_size().await, worth(&world).await), (size + 1, (30, 70)));
    world.ledger.stake(act(&world, 3, back(START + 61))).await.unwrap();
    assert_eq!(world.ledger.stake(good).await, Err(LedgerError::StakeStale));
}

pub(crate) async fn a_payee_backs_so_many_keys_at_a_time<L: Ledger>(world: World<L>) {
    staked(&world).await;
    let key = |number: usize| Bytes32([u8::try_from(number).unwrap() + 100; 32]);
    let back = |seq: usize, number, until| {
        let settle_key = key(number);
        act(&world, u64::try_from(seq).unwrap(), StakeAct::Back { settle_key, until })
    };
    for number in 1..BACKED_MAX {
        world.ledger.stake(back(number + 1, number, START + 100)).await.unwrap();
    }
    let one_more = back(BACKED_MAX + 1, 0, START + 100);
    assert_eq!(world.ledger.stake(one_more.clone()).await, Err(LedgerError::StakeTooMany));
    // One that is backed already can be backed for longer, and what is past makes room.
    world.ledger.stake(back(BACKED_MAX + 1, 1, START + 101)).await.unwrap();
    world.clock.advance(61);
    world.ledger.stake(back(BACKED_MAX + 2, 0, START + 100)).await.unwrap();
    let bond = world.ledger.bond(payee_key().public()).await.unwrap();
    assert_eq!(bond.backed.len(), BACKED_MAX);
    assert!(bond.backed.iter().all(|backing| backing.settle_key != settle_key().public()), "it is past");
}

pub(crate) async fn a_fault_loses_the_stake_once<L: Ledger>(world: World<L>) {
    staked(&world).await;
    let request = accuse(guilty(&world));
    let answer = world.ledger.slash(request.clone()).await.unwrap();
    assert_eq!((answer.entry.amount, answer.entry.reward), (credits(60), credits(3)));
    assert_eq!(whole_log(&world).await.pop(), Some(LogEntry::Slash(answer.entry.clone())));
    let (leaf, at) = (LogEntry::Slash(answer.entry.clone()).leaf_hash(), &answer.checkpoint);
    assert_eq!(verify_inclusion(leaf, answer.entry_index, at.log_size, &answer.inclusion, &at.log_root), Ok(()));
    assert_eq!(worth(&world).await, (40, 0));
    let rewarded = world.ledger.payee(reporter().public()).await.unwrap();
    assert_eq!(rewarded.owed, credits(3));
    // Once: the same again is answered as before, and by somebody else, or with another fault, there is nothing to lose.
    let size = world.log_size().await;
    assert_eq!(world.ledger.slash(request.clone()).await.unwrap().entry_index, answer.entry_index);
    let by_another = SlashRequest { reporter: payee_key().public(), ..request };
    assert_eq!(world.ledger.slash(by_another).await, Err(LedgerError::SlashNotBacked));
    assert_eq!(world.log_size().await, size);
    assert_eq!(world.ledger.payee(reporter().public()).await.unwrap().owed, credits(3));
    // The reward is a claim like any other, and the payee's next act continues its numbers.
    let claim = credits::ClaimRequest::sign(&reporter(), &world.info.ledger_id, 0, output(9, 3));
    world.ledger.claim(claim).await.unwrap();
    assert_eq!(world.ledger.stake(act(&world, 2, StakeAct::Take {})).await, Err(LedgerError::StakeNone));
    world.ledger.stake(act(&world, 2, put(40))).await.unwrap();
    // A new stake answers only for what is backed anew.
    let other = two_charges(&world.info, &settle_key(), credits::Nullifier(credits::Fe::from(6)), [3, 4]);
    assert_eq!(world.ledger.slash(accuse(other)).await, Err(LedgerError::SlashNotBacked));
}

pub(crate) async fn every_fault_loses_a_stake<L: Ledger>(world: World<L>) {
    world.mint(1, 200).await;
    earn(&world, 1, 200).await;
    let nullifier = credits::Nullifier(credits::Fe::from(5));
    let id = world.info.ledger_id;
    let charge = |amount: u64| {
        let signature = settle_key().sign(&settle_message(&id, &nullifier, credits(amount)));
        Said::Charge { nullifier, charge: credits(amount), signature }
    };
    let total = |amount: u64| {
        let signature = settle_key().sign(&journal_message(&id, &nullifier, credits(amount)));
        Said::Total { nullifier, total: credits(amount), signature }
    };
    let billed = |amount: u64| bill(&world.info, &settle_key(), nullifier, amount);
    let head = |root: &str| {
        let text = format!("node.example/1\n7\n{root}\nround {}\n", "0f".repeat(32));
        let signature = settle_key().sign(text.as_bytes());
        Said::Head { text, signature }
    };
    let (one, two) = ("A".repeat(43) + "=", "B".repeat(42) + "A=");
    let faults = [
        (charge(3), charge(4)),
        (charge(4), billed(3)),
        (billed(3), charge(4)),
        (billed(3), total(4)),
        (billed(3), billed(4)),
        (head(&one), head(&two)),
    ];
    for (round, (first, second)) in (0..).zip(faults) {
        world.ledger.stake(act(&world, 2 * round, put(20))).await.unwrap();
        let evidence = Evidence { first, second };
        // Nothing is lost for a key that is not backed.
        let not_yet = world.ledger.slash(accuse(evidence.clone())).await;
        assert_eq!(not_yet, Err(LedgerError::SlashNotBacked), "{round}");
        world.ledger.stake(act(&world, 2 * round + 1, back(START + 60))).await.unwrap();
        let answer = world.ledger.slash(accuse(evidence)).await.unwrap();
        assert_eq!((answer.entry.amount, answer.entry.reward), (credits(20), credits(1)), "{round}");
    }
    assert_eq!(world.ledger.payee(reporter().public()).await.unwrap().owed, credits(6));
}

pub(crate) async fn honest_words_lose_nothing<L: Ledger>(world: World<L>) {
    staked(&world).await;
    let (nullifier, other) = (credits::Nullifier(credits::Fe::from(5)), credits::Nullifier(credits::Fe::from(6)));
    let id = world.info.ledger_id;
    let charge = |key: &SigningKey, id: &Bytes32, nullifier, amount: u64| {
        let signature = key.sign(&settle_message(id, &nullifier, credits(amount)));
        Said::Charge { nullifier, charge: credits(amount), signature }
    };
    let ours = |nullifier, amount| charge(&settle_key(), &id, nullifier, amount);
    let total = |amount: u64| {
        let signature = settle_key().sign(&journal_message(&id, &nullifier, credits(amount)));
        Said::Total { nullifier, total: credits(amount), signature }
    };
    let billed = |amount: u64| bill(&world.info, &settle_key(), nullifier, amount);
    let head = |size: &str, origin: &str, root: &str| {
        let text = format!("{origin}\n{size}\n{root}\nround {}\n", "0f".repeat(32));
        let signature = settle_key().sign(text.as_bytes());
        Said::Head { text, signature }
    };
    let (one, two) = ("A".repeat(43) + "=", "B".repeat(42) + "A=");
    let node = "node.example/1";
    // What an honest guardian says: running totals up to its bill, the bill, and the charge that is the bill's.
    let honest = [
        (ours(nullifier, 4), ours(nullifier, 4)),
        (ours(nullifier, 4), ours(other, 5)),
        (ours(nullifier, 4), billed(4)),
        (total(3), billed(4)),
        (total(4), billed(4)),
        (total(3), total(4)),
        (total(3), ours(nullifier, 4)),
        (billed(4), billed(4)),
        (billed(4), ours(other, 5)),
        (head("7", node, &one), head("7", node, &one)),
        (head("7", node, &one), head("8", node, &two)),
        (head("7", node, &one), head("7", "node.example/2", &two)),
        // A size that is written in two ways is no size, a name that no log has is none, and nothing reads as a head but one.
        (head("7", node, &one), head("07", node, &two)),
        (head("7", "a name", &one), head("7", "a name", &two)),
        (head("7", node, &one), head("7", node, "root")),
        (head("7", node, &one), ours(nullifier, 4)),
    ];
    for (first, second) in honest {
        let refused = world.ledger.slash(accuse(Evidence { first: first.clone(), second: second.clone() })).await;
        assert_eq!(refused, Err(LedgerError::SlashNoFault), "{first:?} {second:?}");
    }
    // Words of others, of another ledger, and words that were changed.
    let foreign = charge(&settle_key(), &Bytes32([1; 32]), nullifier, 4);
    let strangers = charge(&reporter(), &id, nullifier, 4);
    let changed = match billed(4) {
        Said::Bill { mut settlement, signature } => {
            settlement.charge = credits(3);
            Said::Bill { settlement, signature }
        }
        said => said,
    };
    for second in [foreign, strangers, changed] {
        let evidence = Evidence { first: ours(nullifier, 5), second };
        assert_eq!(world.ledger.slash(accuse(evidence)).await, Err(LedgerError::SlashSignature));
    }
    let mut elsewhere = billed(3);
    if let Said::Bill { settlement, signature } = &mut elsewhere {
        settlement.ledger_id = Bytes32([1; 32]);
        *signature = settle_key().sign(&settlement.signed_bytes());
    }
    let evidence = Evidence { first: ours(nullifier, 4), second: elsewhere };
    assert_eq!(world.ledger.slash(accuse(evidence)).await, Err(LedgerError::SlashNoFault));
    // A reward that nobody alone could claim, a stake of another, a key that is not backed, a time that is past.
    let good = accuse(guilty(&world));
    let nobody = SlashRequest { reporter: Bytes32::default(), ..good.clone() };
    assert_eq!(world.ledger.slash(nobody).await, Err(LedgerError::SlashSignature));
    let others = SlashRequest { payee: reporter().public(), ..good.clone() };
    assert_eq!(world.ledger.slash(others).await, Err(LedgerError::SlashNotBacked));
    let evidence = two_charges(&world.info, &reporter(), nullifier, [3, 4]);
    let unbacked = SlashRequest { settle_key: reporter().public(), evidence, ..good.clone() };
    assert_eq!(world.ledger.slash(unbacked).await, Err(LedgerError::SlashNotBacked));
    world.clock.advance(61);
    assert_eq!(world.ledger.slash(good).await, Err(LedgerError::SlashNotBacked));
    assert_eq!(worth(&world).await, (40, 60));
}

/// Whoever sees a fault may show it, and many may: the stake is lost once, and one is rewarded.
pub(crate) async fn a_race_of_accusers_has_one_winner<L: Ledger + 'static>(world: World<L>) {
    staked(&world).await;
    let world = Arc::new(world);
    let contenders: Vec<_> = (1..=CONTENDERS)
        .map(|number| {
            let world = Arc::clone(&world);
            let by = SigningKey::from_seed(&[number; 32]).public();
            let request = SlashRequest { reporter: by, ..accuse(guilty(&world)) };
            tokio::spawn(async move { world.ledger.slash(request).await.map(|_| by) })
        })
        .collect();
    let mut won = Vec::new();
    for contender in contenders {
        match contender.await.unwrap() {
            Ok(by) => won.push(by),
            Err(error) => assert_eq!(error, LedgerError::SlashNotBacked),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(worth(&world).await, (40, 0));
    assert_eq!(world.ledger.payee(won[0]).await.unwrap().owed, credits(3));
}

pub(crate) async fn tabs_that_were_charged_are_rated_once<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let spend = |number: u64| credits::Nullifier(credits::Fe::from(1_000 + number));
    let rate = |key: &SigningKey, number, score| {
        world.ledger.rate(RatingRequest::sign(key, &world.info.ledger_id, spend(number), score))
    };
    let tab = earn(&world, 1, 30).await;
    for score in [0, 6, 255] {
        assert_eq!(rate(&tab, 1, score).await, Err(LedgerError::RatingScore));
    }
    for stranger in [payee_key(), settle_key(), reporter()] {
        assert_eq!(rate(&stranger, 1, 5).await, Err(LedgerError::RatingSignature));
    }
    let foreign = RatingRequest::sign(&tab, &Bytes32([1; 32]), spend(1), 5);
    assert_eq!(world.ledger.rate(foreign).await, Err(LedgerError::RatingSignature));
    let answer = rate(&tab, 1, 4).await.unwrap();
    assert_eq!((answer.entry.nullifier, answer.entry.score), (spend(1), 4));
    let size = world.log_size().await;
    assert_eq!(rate(&tab, 1, 4).await.unwrap().entry_index, answer.entry_index);
    assert_eq!(rate(&tab, 1, 5).await, Err(LedgerError::RatingConflict));
    assert_eq!(world.log_size().await, size);
    // The settlement stays what it was.
    let settled = world.ledger.settle(settle(&world.info, &spend(1), 30)).await.unwrap();
    assert_eq!(settled.charge, credits(30));

    // What is unknown, open, free of charge, void, or no guardian's is not rated.
    assert_eq!(rate(&tab, 9, 4).await, Err(LedgerError::NotFound));
    let free = earn(&world, 2, 0).await;
    assert_eq!(rate(&free, 2, 4).await, Err(LedgerError::RatingUnpaid));
    let mut open = world.spend(3, 10).await;
    open.context.tab_key = tab.public();
    let mut withdrawal = world.spend(4, 10).await;
    withdrawal.context.tab_key = tab.public();
    withdrawal.context.keyset_digest = Bytes32::default();
    for request in [&open, &withdrawal] {
        world.ledger.reserve(request.clone()).await.unwrap();
    }
    world.ledger.settle(world.settle(&withdrawal, 10)).await.unwrap();
    assert_eq!(rate(&tab, 3, 4).await, Err(LedgerError::RatingUnpaid));
    assert_eq!(rate(&tab, 4, 4).await, Err(LedgerError::RatingUnpaid));
    world.ledger.merge(merge(&world, [5, 6]).await).await.unwrap();
    assert_eq!(rate(&tab, 5, 4).await, Err(LedgerError::NotFound));
    assert_eq!(world.log_size().await, size + 6);
}

/// Two notes of nobody's become one.
async fn merge<L: Ledger>(world: &World<L>, numbers: [u64; 2]) -> credits::MergeRequest {
    let nullifiers = numbers.map(|number| credits::Nullifier(credits::Fe::from(1_000 + number)));
    let inner_next = credits::Inner(credits::Fe::from(77));
    credits::MergeRequest { root: world.root().await, nullifiers, inner_next, proof: good_proof() }
}
