//! What can happen in a simulation, and the schedule that a seed gives.
//!
//! Every number that a step depends on is in the step, reduced to what exists when it is taken: a schedule with steps left out
//! is a schedule, and the same steps give the same run.

use crate::support::disk::Seeded;

/// Devices of the wallets' owners: the first two have one seed.
pub(crate) const OWNERS: [usize; 4] = [0, 0, 1, 2];
/// The owner that cheats in some seeds.
pub(crate) const HOSTILE_OWNER: usize = 2;
/// Operators of the guardians: the first two are one's.
pub(crate) const OPERATORS: [u8; 3] = [0, 0, 1];
/// The guardian that cheats in some seeds.
pub(crate) const HOSTILE_GUARDIAN: usize = 2;
/// Reserves that guardians offer.
pub(crate) const TIERS: [u64; 3] = [16, 64, 256];
/// Most credits served between two running totals.
pub(crate) const INTERVAL_CREDITS_MAX: u64 = 8;

const STEPS_MIN: usize = 50;
const STEPS_SPREAD: usize = 50;

/// What kind of world a seed has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    /// The store on a disk that loses power; else the store in memory.
    pub(crate) on_disk: bool,
    pub(crate) hostile_guardian: bool,
    pub(crate) hostile_wallet: bool,
    /// Somebody shows wallets pages that are not the ledger's newest, with its signature.
    pub(crate) hostile_view: bool,
}

impl Setup {
    pub(crate) fn of(seed: u64) -> Self {
        Self {
            seed,
            on_disk: seed.is_multiple_of(8),
            hostile_guardian: seed % 3 == 1,
            hostile_wallet: seed % 5 < 2,
            hostile_view: seed % 2 == 1,
        }
    }
}

/// What becomes of one call to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Whole,
    /// It never arrives.
    RequestLost,
    /// It is carried out, and nobody hears of it.
    ReplyLost,
    /// It arrives twice, at once.
    RequestTwice,
    /// It arrives, and a copy much later.
    CopyLate,
    /// It arrives much later, when nobody waits for it.
    RequestLate,
}

/// Somebody with a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    Ledger,
    Guardian(usize),
    Device(usize),
}

/// What a device starts again from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restored {
    /// What it saved last.
    Crash,
    /// An older copy of what it saved.
    Backup,
    /// The seed and the ledger's log.
    SeedAlone,
}

/// What a hostile guardian tries with a spend of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misdeed {
    ChargeAboveReserve,
    /// The whole reserve, whatever was served.
    ChargeEverything,
    JournalEverything,
    /// A total below the last one.
    JournalLess,
    /// After it settled, at another charge.
    SettleAgain,
    /// A spend at another guardian.
    SettleAnothers,
}

/// What a hostile wallet tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fraud {
    /// One note to two guardians.
    SpendTwice,
    /// A note spent before, at the ledger itself.
    SpendAgain,
    /// A note worth more than it is.
    SpendMore,
    /// Another's nullifier and successor, under a proof of its own.
    SpendAnothers,
    /// A used voucher, for other notes.
    RedeemAgain,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Deposit {
        device: usize,
        value: u64,
        notes: u32,
        link: Link,
    },
    RetryDeposit {
        device: usize,
        link: Link,
    },
    Sync {
        device: usize,
        limit: u32,
        link: Link,
    },
    /// A spend is prepared, stored, proved and sent.
    Open {
        device: usize,
        guardian: usize,
        tier: usize,
        life: u64,
    },
    /// A pending spend is proved and sent again, to the guardian boot it is for.
    Resend {
        device: usize,
        pick: u64,
    },
    Call {
        device: usize,
        pick: u64,
        cost: u64,
    },
    /// The same call again.
    Repeat {
        device: usize,
        pick: u64,
    },
    Close {
        device: usize,
        pick: u64,
    },
    /// A message arrives; the guardian may be killed at its n-th step.
    Deliver {
        pick: u64,
        link: Link,
        killed: u64,
    },
    /// A message arrives and stays on the way.
    DeliverCopy {
        pick: u64,
    },
    Drop {
        pick: u64,
    },
    /// All messages arrive, oldest first, and what they cause; the first call to the ledger meets a fault.
    Calm {
        link: Link,
    },
    Pass {
        secs: u64,
    },
    Jump {
        party: Party,
        secs: i64,
    },
    Restore {
        device: usize,
        from: Restored,
    },
    /// A guardian ends and starts with new keys; gracefully it settles before.
    Reboot {
        guardian: usize,
        gracefully: bool,
        link: Link,
    },
    /// A guardian settles tabs that have ended.
    Expire {
        guardian: usize,
        link: Link,
    },
    Finalise,
    /// The ledger ends: on disk at the n-th sync from now, in memory now.
    Fail {
        syncs: u64,
    },
    /// It starts again; on disk the power may fail once more meanwhile.
    Start {
        syncs: u64,
    },
    Misbehave {
        pick: u64,
        misdeed: Misdeed,
    },
    Cheat {
        fraud: Fraud,
        pick: u64,
    },
    /// A page that was shown before, to a device that has seen more.
    ShowOld {
        device: usize,
        pick: u64,
    },
    /// A log of the newest size that the device has seen, with another entry.
    ShowFork {
        device: usize,
        pick: u64,
    },
}

impl Op {
    /// For counting.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Deposit { .. } => "op: deposit",
            Self::RetryDeposit { .. } => "op: retry deposit",
            Self::Sync { .. } => "op: sync",
            Self::Open { .. } => "op: open",
            Self::Resend { .. } => "op: resend",
            Self::Call { .. } => "op: call",
            Self::Repeat { .. } => "op: repeat",
            Self::Close { .. } => "op: close",
            Self::Deliver { .. } => "op: deliver",
            Self::DeliverCopy { .. } => "op: deliver copy",
            Self::Drop { .. } => "op: drop",
            Self::Calm { .. } => "op: calm",
            Self::Pass { .. } => "op: pass",
            Self::Jump { .. } => "op: jump",
            Self::Restore { .. } => "op: restore",
            Self::Reboot { .. } => "op: reboot",
            Self::Expire { .. } => "op: expire",
            Self::Finalise => "op: finalise",
            Self::Fail { .. } => "op: fail",
            Self::Start { .. } => "op: start",
            Self::Misbehave { .. } => "op: misbehave",
            Self::Cheat { .. } => "op: cheat",
            Self::ShowOld { .. } => "op: show old",
            Self::ShowFork { .. } => "op: show fork",
        }
    }
}

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
        if seed.below(24) == 0 {
            session(setup, &mut seed, &mut ops);
        } else {
            ops.push(step(setup, &mut seed));
        }
    }
    ops
}

/// A tab as clients use one, with faults on the way and now and then something else in between.
fn session(setup: &Setup, seed: &mut Seeded, ops: &mut Vec<Op>) {
    let (device, guardian, pick) = (index(seed, OWNERS.len()), index(seed, OPERATORS.len()), seed.next());
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
    then(Op::Close { device, pick }, seed);
    then(Op::Calm { link: link(seed) }, seed);
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
        89..=91 => Op::Start { syncs: if seed.below(3) == 0 { 1 + seed.below(3) } else { 0 } },
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
    let fraud = match seed.below(6) {
        0 | 1 => Fraud::SpendTwice,
        2 => Fraud::SpendAgain,
        3 => Fraud::SpendMore,
        4 => Fraud::SpendAnothers,
        _ => Fraud::RedeemAgain,
    };
    Op::Cheat { fraud, pick }
}
