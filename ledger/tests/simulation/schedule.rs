//! The schedule that a seed gives.

use super::op::{
    Cut, Fraud, HOSTILE_GUARDIAN, INTERVAL_CREDITS_MAX, Link, Meanwhile, Misclaim, Misdeed, OPERATOR_OWNERS, OPERATORS,
    OWNERS, Op, Party, Restored, Setup, Staking, TIERS,
};
use crate::support::disk::Seeded;

const STEPS_MIN: usize = 56;
const STEPS_SPREAD: usize = 50;

/// The schedule of a seed: everybody deposits, then anything happens.
pub(crate) fn schedule(setup: &Setup) -> Vec<Op> {
    let mut seed = Seeded::new(setup.seed);
    let mut ops = Vec::new();
    for device in 0..OWNERS.len() {
        let (value, notes) = (100 + seed.below(900), number(&mut seed, 4) + 1);
        ops.push(Op::Deposit { device, value, notes, link: Link::Whole });
        ops.push(Op::Sync { device, limit: 1000, link: Link::Whole });
    }
    let end = ops.len() + STEPS_MIN + index(&mut seed, STEPS_SPREAD);
    while ops.len() < end {
        match seed.below(49) {
            0 | 1 => {
                let guardian = index(&mut seed, OPERATORS.len());
                session(setup, &mut seed, &mut ops, guardian);
            }
            2 => earnings(setup, &mut seed, &mut ops),
            3 => withdrawal(setup, &mut seed, &mut ops),
            4 => merges(setup, &mut seed, &mut ops),
            5 => standing(setup, &mut seed, &mut ops),
            _ => ops.push(step(setup, &mut seed)),
        }
    }
    ops
}

/// A tab as clients use one, with faults on the way and now and then something else in between.
fn session(setup: &Setup, seed: &mut Seeded, ops: &mut Vec<Op>, guardian: usize) {
    let (device, pick) = (index(seed, OWNERS.len()), seed.next());
    let (tier, life) = (index(seed, TIERS.len()), 120 + seed.below(400));
    let mut then = |op: Op, seed: &mut Seeded| {
        ops.push(op);
        if seed.below(10) == 0 {
            ops.push(step(setup, seed));
        }
    };
    then(Op::Sync { device, limit: 1000, link: Link::Whole }, seed);
    then(Op::Open { device, guardian, tier, life }, seed);
    for turn in 0..2 + seed.below(4) {
        then(Op::Calm { link: link(seed) }, seed);
        then(
            match seed.below(8) {
                0 => Op::Repeat { device, pick },
                1 if turn > 0 => Op::Close { device, pick },
                _ => Op::Call { device, pick, cost: seed.below(3 * INTERVAL_CREDITS_MAX) },
            },
            seed,
        );
    }
    then(Op::Calm { link: link(seed) }, seed);
    if setup.hostile_guardian && guardian == HOSTILE_GUARDIAN && seed.below(2) == 0 {
        // It takes back what it signed, and takes everything, before or after its time is up.
        then(Op::Misbehave { pick, misdeed: Misdeed::JournalLess }, seed);
        then(Op::Pass { secs: 900 * seed.below(2) }, seed);
        let misdeed = if seed.below(2) == 0 { Misdeed::ChargeEverything } else { Misdeed::JournalEverything };
        then(Op::Misbehave { pick, misdeed }, seed);
    }
    then(Op::Close { device, pick }, seed);
    if seed.below(8) == 0 {
        // Nobody hears that it is closed, and it is used again.
        then(Op::Calm { link: Link::ReplyLost }, seed);
        then(Op::Call { device, pick, cost: 1 + seed.below(3 * INTERVAL_CREDITS_MAX) }, seed);
    }
    then(Op::Calm { link: link(seed) }, seed);
}

/// What was charged is claimed, sometimes by two programs at once, and sometimes the ledger starts again before a copy arrives.
fn earnings(setup: &Setup, seed: &mut Seeded, ops: &mut Vec<Op>) {
    let operator = index(seed, OPERATOR_OWNERS.len());
    if seed.below(4) == 0 {
        ops.push(Op::Calm { link: Link::Whole });
        ops.push(claim(seed, operator));
        copy_after_restart(seed, ops);
        return;
    }
    for _ in 0..1 + seed.below(2) {
        ops.push(claim(seed, operator));
        match seed.below(8) {
            0 | 1 => ops.push(step(setup, seed)),
            2 => ops.push(Op::Drop { pick: seed.next() }),
            _ => {}
        }
    }
    ops.push(arrival(seed));
    ops.push(claim(seed, operator));
    ops.push(Op::Calm { link: link(seed) });
    for _ in 0..if setup.hostile_payee { 1 + seed.below(3) } else { 0 } {
        ops.push(misclaim(seed));
    }
}

/// The oldest message arrives, the ledger ends and starts again, and a copy of the message arrives.
fn copy_after_restart(seed: &mut Seeded, ops: &mut Vec<Op>) {
    ops.push(Op::Deliver { pick: 0, link: Link::CopyLate, killed: 0 });
    ops.push(Op::Fail { syncs: 1 + seed.below(3) });
    ops.push(Op::Start { syncs: 0 });
    ops.push(Op::Calm { link: link(seed) });
}

/// A withdrawal, and one or two who deposit it, sometimes at once.
fn withdrawal(setup: &Setup, seed: &mut Seeded, ops: &mut Vec<Op>) {
    let device = index(seed, OWNERS.len());
    withdrawn(setup, seed, ops, device);
    if setup.hostile_view && seed.below(4) == 0 {
        // Of before it was charged.
        ops.push(Op::ShowOld { device, pick: seed.next() });
    }
    if seed.below(6) == 0 {
        ops.push(Op::Restore { device, from: Restored::SeedAlone });
    }
    if seed.below(2) == 0 {
        ops.push(Op::ListWithdrawals { device, link: link(seed) });
    }
    if seed.below(4) == 0 {
        ops.push(Op::PayInto { device: index(seed, OWNERS.len()), pick: seed.next(), amount: 1 + seed.below(40) });
    }
    let pick = seed.next();
    if seed.below(6) == 0 {
        ops.push(Op::Calm { link: Link::Whole });
        ops.push(Op::DepositWithdrawal { device, pick, notes: 1, is_killed: false });
        copy_after_restart(seed, ops);
    }
    for _ in 0..1 + seed.below(2) {
        let (device, notes, is_killed) = (index(seed, OWNERS.len()), number(seed, 4) + 1, seed.below(10) == 0);
        ops.push(Op::DepositWithdrawal { device, pick, notes, is_killed });
        if setup.hostile_view && seed.below(3) == 0 {
            // Of a log that the device has seen the end of, and not read.
            ops.push(Op::Calm { link: Link::Whole });
            ops.push(Op::ShowFork { device, pick: seed.next() });
        }
        if seed.below(4) == 0 {
            ops.push(arrival(seed));
        }
    }
    ops.push(Op::Calm { link: link(seed) });
    if setup.hostile_payee {
        ops.push(misclaim(seed));
    }
}

fn withdrawn(setup: &Setup, seed: &mut Seeded, ops: &mut Vec<Op>, device: usize) {
    let first = withdraw(seed, device, None);
    match (seed.below(6), first) {
        // Cut off, and taken up by one of the same amount.
        (0, Op::Withdraw { amount, life, links, .. }) => {
            ops.push(Op::Withdraw { device, amount, life: life.max(200), cut: Cut::Prepared, links });
            ops.push(withdraw(seed, device, Some(amount)));
        }
        // Cut off, until nobody can reserve it any more, and then another amount is wanted.
        (1, Op::Withdraw { amount, life, links, .. }) => {
            ops.push(Op::Withdraw { device, amount, life, cut: Cut::Prepared, links });
            ops.push(Op::Pass { secs: 500 });
            ops.push(withdraw(seed, device, Some(amount + 1)));
        }
        // Cut off, and charged by the next who looks, if the ledger has not given it back before.
        (2, Op::Withdraw { amount, life, links, .. }) => {
            ops.push(Op::Withdraw { device, amount, life, cut: Cut::Reserved, links });
            ops.push(Op::Pass { secs: seed.below(600) });
            ops.push(Op::ListWithdrawals { device, link: link(seed) });
        }
        (_, first) => {
            ops.push(first);
            if seed.below(6) == 0 {
                ops.push(step(setup, seed));
            }
        }
    }
}

/// Two notes become one, often cut off somewhere, and what follows is often in the way of it.
fn merges(setup: &Setup, seed: &mut Seeded, ops: &mut Vec<Op>) {
    let device = index(seed, OWNERS.len());
    for _ in 0..1 + seed.below(3) {
        ops.push(merge(seed, device));
        let (guardian, tier, life) = (index(seed, OPERATORS.len()), index(seed, TIERS.len()), 120 + seed.below(400));
        match seed.below(9) {
            0 => {
                ops.push(Op::GiveUpMerges { device });
                ops.push(Op::Open { device, guardian, tier, life });
            }
            1 => ops.push(Op::Restore { device, from: Restored::SeedAlone }),
            2 => ops.push(Op::Restore { device, from: Restored::Backup }),
            // The devices of the first owner: two merge some of the same notes in other ways, and the first arrives last.
            3 => {
                let (meanwhile, link) = (Meanwhile::Nothing, Link::RequestLate);
                ops.push(Op::Merge { device: 0, needed: 0, meanwhile, link });
                let (needed, meanwhile) = (200 + seed.below(800), Meanwhile::Overtaken);
                ops.push(Op::Merge { device: 1, needed, meanwhile, link: Link::Whole });
            }
            4 => ops.push(Op::Open { device: device ^ usize::from(device < 2), guardian, tier, life }),
            5 => copy_after_restart(seed, ops),
            6 => ops.push(Op::Calm { link: Link::Whole }),
            _ => ops.push(step(setup, seed)),
        }
    }
    ops.push(Op::Calm { link: link(seed) });
}

/// An operator stakes what a guardian earned and backs it; what then happens, whether somebody finds fault with it, and who rates.
fn standing(setup: &Setup, seed: &mut Seeded, ops: &mut Vec<Op>) {
    // Only a hostile guardian has faults.
    let is_hostile = setup.hostile_guardian && seed.below(3) > 0;
    let guardian = if is_hostile { HOSTILE_GUARDIAN } else { index(seed, OPERATORS.len()) };
    let operator = usize::from(OPERATORS[guardian]);
    session(setup, seed, ops, guardian);
    let stake = |staking, link| Op::Stake { operator, staking, link };
    ops.push(Op::Calm { link: Link::Whole });
    ops.push(stake(Staking::Put { part: 1 + seed.below(3) }, link(seed)));
    ops.push(stake(Staking::Back { guardian, secs: 1 + seed.below(900) }, link(seed)));
    match seed.below(6) {
        0 => ops.push(stake(Staking::Take, link(seed))),
        1 => {
            ops.push(Op::Pass { secs: seed.below(1200) });
            ops.push(stake(Staking::Take, link(seed)));
        }
        2 => copy_after_restart(seed, ops),
        3 => ops.push(step(setup, seed)),
        _ => {}
    }
    if is_hostile {
        ops.push(Op::Misbehave { pick: seed.next(), misdeed: Misdeed::SettleAgain });
        for _ in 0..1 + seed.below(2) {
            ops.push(Op::Accuse { pick: seed.next(), link: link(seed) });
        }
    }
    if seed.below(2) == 0 {
        ops.push(Op::Slander { pick: seed.next() });
    }
    for _ in 0..seed.below(3) {
        let (device, score) = (index(seed, OWNERS.len()), 1 + u8::try_from(seed.below(5)).unwrap());
        // The first tab it finds, so that it is often the one that was rated before.
        let pick = if seed.below(2) == 0 { 0 } else { seed.next() };
        ops.push(Op::Sync { device, limit: 1000, link: Link::Whole });
        ops.push(Op::Rate { device, pick, score, link: link(seed) });
    }
}

fn merge(seed: &mut Seeded, device: usize) -> Op {
    let needed = if seed.below(3) == 0 { 1 + seed.below(600) } else { 0 };
    // Faults are more frequent than elsewhere: few merges are made.
    let link = if seed.below(3) == 0 { Link::RequestLate } else { link(seed) };
    let meanwhile = match seed.below(8) {
        0 => Meanwhile::Prepared,
        1 => Meanwhile::Sent,
        2..4 => Meanwhile::Overtaken,
        _ => Meanwhile::Nothing,
    };
    Op::Merge { device, needed, meanwhile, link }
}

fn claim(seed: &mut Seeded, operator: usize) -> Op {
    let part = if seed.below(2) == 0 { 0 } else { 1 + seed.below(30) };
    Op::Claim { operator, pick: seed.next(), part, notes: number(seed, 4) + 1, is_killed: seed.below(8) == 0 }
}

fn withdraw(seed: &mut Seeded, device: usize, amount: Option<u64>) -> Op {
    let amount = amount.unwrap_or_else(|| match seed.below(4) {
        0 => 1 + seed.below(200),
        power => 16 << power,
    });
    let cut = match seed.below(10) {
        0 => Cut::Prepared,
        1 => Cut::Reserved,
        2 => Cut::Charged,
        _ => Cut::Never,
    };
    Op::Withdraw { device, amount, life: 100 + seed.below(200), cut, links: [link(seed), link(seed)] }
}

fn arrival(seed: &mut Seeded) -> Op {
    let killed = u64::from(seed.below(6) == 0);
    Op::Deliver { pick: seed.next(), link: link(seed), killed }
}

fn misclaim(seed: &mut Seeded) -> Op {
    let wrong = match seed.below(7) {
        0 => Misclaim::AboveOwed,
        1 => Misclaim::Anothers,
        // For want of a claim before, sometimes nothing.
        2 | 3 => Misclaim::OtherTarget,
        4 => Misclaim::AheadOfTime,
        5 => Misclaim::SmallOrder,
        _ => Misclaim::Nothing,
    };
    Op::Misclaim { wrong, pick: seed.next() }
}

fn number(seed: &mut Seeded, limit: u64) -> u32 {
    u32::try_from(seed.below(limit)).unwrap()
}

fn index(seed: &mut Seeded, limit: usize) -> usize {
    usize::try_from(seed.below(u64::try_from(limit).unwrap())).unwrap()
}

fn link(seed: &mut Seeded) -> Link {
    match seed.below(16) {
        0 => Link::RequestLost,
        1 => Link::ReplyLost,
        2 => Link::RequestTwice,
        3 => Link::CopyLate,
        4 => Link::RequestLate,
        _ => Link::Whole,
    }
}

fn step(setup: &Setup, seed: &mut Seeded) -> Op {
    let device = index(seed, OWNERS.len());
    let guardian = index(seed, OPERATORS.len());
    let (pick, link) = (seed.next(), link(seed));
    match seed.below(100) {
        0..=1 => Op::Deposit { device, value: 20 + seed.below(600), notes: number(seed, 8) + 1, link },
        2 => Op::RetryDeposit { device, link },
        3..=15 => Op::Sync { device, limit: if seed.below(6) == 0 { 3 } else { 1000 }, link },
        16..=27 => Op::Open { device, guardian, tier: index(seed, TIERS.len()), life: 60 + seed.below(460) },
        28 => Op::Resend { device, pick },
        29..=39 => Op::Call { device, pick, cost: seed.below(5 * INTERVAL_CREDITS_MAX) },
        40..=41 => Op::Repeat { device, pick },
        42..=47 => Op::Close { device, pick },
        48..=61 => Op::Deliver { pick, link, killed: if seed.below(12) == 0 { 1 + seed.below(4) } else { 0 } },
        62 | 63 => Op::DeliverCopy { pick },
        64 | 65 => Op::Drop { pick },
        66..=77 => Op::Calm { link },
        78 => Op::Pass { secs: seed.below(120) },
        79 | 80 => Op::Pass { secs: seed.below(900) },
        81 => jump(seed, device, guardian),
        82 => match seed.below(4) {
            0 => Op::Restore { device, from: Restored::Backup },
            1 => Op::Restore { device, from: Restored::SeedAlone },
            _ => Op::Restore { device, from: Restored::Crash },
        },
        83 => Op::Reboot { guardian, gracefully: seed.below(2) == 0, link },
        84 | 85 => Op::Expire { guardian, link },
        86 | 87 => Op::Finalise,
        88 => Op::Fail { syncs: 1 + seed.below(5) },
        89..=91 => Op::Start { syncs: if seed.below(2) == 0 { 1 + seed.below(3) } else { 0 } },
        92..=94 => hostile_guardian(setup, seed, pick),
        95..=97 => hostile_wallet(setup, seed, pick),
        _ if setup.hostile_view && seed.below(2) == 0 => Op::ShowOld { device, pick },
        _ if setup.hostile_view => Op::ShowFork { device, pick },
        _ => Op::Sync { device, limit: 1000, link },
    }
}

fn jump(seed: &mut Seeded, device: usize, guardian: usize) -> Op {
    let party = match seed.below(3) {
        0 => Party::Ledger,
        1 => Party::Guardian(guardian),
        _ => Party::Device(device),
    };
    let secs = i64::try_from(seed.below(1200)).unwrap();
    Op::Jump { party, secs: if seed.below(2) == 0 { secs } else { -secs } }
}

fn hostile_guardian(setup: &Setup, seed: &mut Seeded, pick: u64) -> Op {
    if !setup.hostile_guardian {
        return Op::Deliver { pick, link: Link::Whole, killed: 0 };
    }
    let misdeed = match seed.below(8) {
        0 => Misdeed::ChargeAboveReserve,
        1 => Misdeed::ChargeEverything,
        2 => Misdeed::JournalEverything,
        3..=5 => Misdeed::JournalLess,
        6 => Misdeed::SettleAgain,
        _ => Misdeed::SettleAnothers,
    };
    Op::Misbehave { pick, misdeed }
}

fn hostile_wallet(setup: &Setup, seed: &mut Seeded, pick: u64) -> Op {
    if !setup.hostile_wallet {
        return Op::Deliver { pick, link: Link::Whole, killed: 0 };
    }
    let fraud = match seed.below(9) {
        0 | 1 => Fraud::SpendTwice,
        2 => Fraud::SpendAgain,
        3 => Fraud::SpendMore,
        4 => Fraud::SpendAnothers,
        5 => Fraud::MergeMore,
        6 => Fraud::MergeWithItself,
        7 => Fraud::MergeAndSpend,
        _ => Fraud::RedeemAgain,
    };
    Op::Cheat { fraud, pick }
}
