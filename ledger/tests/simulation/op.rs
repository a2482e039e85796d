//! What can happen in a simulation.
//!
//! Every number that a step depends on is in the step, reduced to what exists when it is taken: a schedule with steps left out
//! is a schedule, and the same steps give the same run.

/// Devices of the wallets' owners: the first two have one seed.
pub(crate) const OWNERS: [usize; 4] = [0, 0, 1, 2];
/// The owner that cheats in some seeds.
pub(crate) const HOSTILE_OWNER: usize = 2;
/// Operators of the guardians: the first two are one's.
pub(crate) const OPERATORS: [u8; 3] = [0, 0, 1];
/// Who has the payee's key of an operator: the first on two devices. The second is hostile in some seeds.
pub(crate) const OPERATOR_OWNERS: [usize; 2] = [0, HOSTILE_OWNER];
/// The guardian that cheats in some seeds.
pub(crate) const HOSTILE_GUARDIAN: usize = 2;
/// Reserves that guardians offer.
pub(crate) const TIERS: [u64; 3] = [16, 64, 256];
/// Most credits served between two running totals.
pub(crate) const INTERVAL_CREDITS_MAX: u64 = 8;

/// What kind of world a seed has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    /// The store on a disk that loses power; else the store in memory.
    pub(crate) on_disk: bool,
    pub(crate) hostile_guardian: bool,
    pub(crate) hostile_wallet: bool,
    /// The second operator claims what is not its own.
    pub(crate) hostile_payee: bool,
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
            hostile_payee: seed % 7 < 3,
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
    /// Two notes into one that is worth more.
    MergeMore,
    /// A note and itself.
    MergeWithItself,
    /// One note in a merge and to a guardian.
    MergeAndSpend,
}

/// Where a program that withdraws is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Never,
    /// The spend is stored and was not sent.
    Prepared,
    /// It is reserved and not charged.
    Reserved,
    /// It is charged, and nobody has the text.
    Charged,
}

/// What comes between the steps of a program that merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    Nothing,
    /// Whatever is on its way arrives after it read the log and before its merge does.
    Overtaken,
    /// It is killed: the merge is stored and was not sent.
    Prepared,
    /// It is killed: the merge was sent, and nobody reads the answer.
    Sent,
}

/// What a hostile payee claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misclaim {
    AboveOwed,
    /// What another payee is owed, with its own key.
    Anothers,
    /// Its last claim once more, into another note.
    OtherTarget,
    /// With a number that is still to come.
    AheadOfTime,
    /// For a payee of small order, under which anybody signs.
    SmallOrder,
    Nothing,
}

/// What an operator does with its stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Staking {
    /// Puts a part of what it is owed: one in so many.
    Put {
        part: u64,
    },
    /// Answers for one of its guardians.
    Back {
        guardian: usize,
        secs: u64,
    },
    Take,
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
    /// A program of an operator asks what is owed and claims a part of it (0 for all) into so many notes. Killed, it has stored the
    /// notes and sent nothing.
    Claim {
        operator: usize,
        pick: u64,
        part: u64,
        notes: u32,
        is_killed: bool,
    },
    Misclaim {
        wrong: Misclaim,
        pick: u64,
    },
    /// A withdrawal from beginning to end, or to where it is cut off. The links are those of reservation and charge.
    Withdraw {
        device: usize,
        amount: u64,
        life: u64,
        cut: Cut,
        links: [Link; 2],
    },
    /// Withdrawals that were cut off are charged, and the texts of those that nobody has claimed are shown again.
    ListWithdrawals {
        device: usize,
        link: Link,
    },
    /// Somebody claims what a text is worth.
    DepositWithdrawal {
        device: usize,
        pick: u64,
        notes: u32,
        is_killed: bool,
    },
    /// Somebody pays into a withdrawal on purpose.
    PayInto {
        device: usize,
        pick: u64,
        amount: u64,
    },
    /// Two notes of a device become one, the smallest or, until one is worth so much, the largest; a merge that was cut off comes first.
    Merge {
        device: usize,
        needed: u64,
        meanwhile: Meanwhile,
        link: Link,
    },
    /// A person gives up what was cut off.
    GiveUpMerges {
        device: usize,
    },
    /// A program of an operator does something with its stake.
    Stake {
        operator: usize,
        staking: Staking,
        link: Link,
    },
    /// Somebody who has seen two things that a guardian signed and that contradict each other shows them.
    Accuse {
        pick: u64,
        link: Link,
    },
    /// Somebody shows what is no fault, or what nobody signed.
    Slander {
        pick: u64,
    },
    /// The payer of a tab says what it thinks of it.
    Rate {
        device: usize,
        pick: u64,
        score: u8,
        link: Link,
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
            Self::Claim { .. } => "op: claim",
            Self::Misclaim { .. } => "op: misclaim",
            Self::Withdraw { .. } => "op: withdraw",
            Self::ListWithdrawals { .. } => "op: list withdrawals",
            Self::DepositWithdrawal { .. } => "op: deposit withdrawal",
            Self::PayInto { .. } => "op: pay into",
            Self::Merge { .. } => "op: merge",
            Self::GiveUpMerges { .. } => "op: give up merges",
            Self::Stake { .. } => "op: stake",
            Self::Accuse { .. } => "op: accuse",
            Self::Slander { .. } => "op: slander",
            Self::Rate { .. } => "op: rate",
            Self::ShowOld { .. } => "op: show old",
            Self::ShowFork { .. } => "op: show fork",
        }
    }
}
