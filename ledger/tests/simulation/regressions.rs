//! Schedules that failed once, made short, and what was wrong. They always run.

use super::guardian::GuardianFlaw;
use super::invariant::Invariant;
use super::op::{Link, Op, Setup, Staking};
use super::world::Flaw;

/// A schedule that failed.
pub(crate) struct Regression {
    pub(crate) what: &'static str,
    pub(crate) setup: Setup,
    pub(crate) ops: &'static [Op],
    /// The program as it was then, if the simulation can still be given it, and what it violated.
    pub(crate) was: Option<(Flaw, Invariant)>,
}

const QUIET: Setup = Setup {
    seed: 0,
    on_disk: false,
    hostile_guardian: false,
    hostile_wallet: false,
    hostile_payee: false,
    hostile_view: false,
};
const WHOLE: Link = Link::Whole;

pub(crate) const REGRESSIONS: &[Regression] = &[
    Regression {
        what: "a settlement whose answer was lost reopened its tab, and the guardian served on although the ledger refused \
               every further total",
        setup: QUIET,
        ops: &[
            Op::Deposit { device: 0, value: 300, notes: 1, link: WHOLE },
            Op::Sync { device: 0, limit: 1000, link: WHOLE },
            Op::Open { device: 0, guardian: 0, tier: 2, life: 400 },
            Op::Calm { link: WHOLE },
            Op::Call { device: 0, pick: 0, cost: 10 },
            Op::Calm { link: WHOLE },
            Op::Close { device: 0, pick: 0 },
            Op::Calm { link: Link::ReplyLost },
            Op::Call { device: 0, pick: 0, cost: 30 },
            Op::Calm { link: WHOLE },
        ],
        was: Some((Flaw::Guardian(GuardianFlaw::ServesForNothing), Invariant::ExposureBounded)),
    },
    Regression {
        what: "the same when the ledger had ended the spend, by a clock ahead of the guardian's",
        setup: QUIET,
        ops: &[
            Op::Deposit { device: 0, value: 300, notes: 1, link: WHOLE },
            Op::Sync { device: 0, limit: 1000, link: WHOLE },
            Op::Open { device: 0, guardian: 0, tier: 2, life: 400 },
            Op::Calm { link: WHOLE },
            Op::Jump { party: super::op::Party::Ledger, secs: 1000 },
            Op::Finalise,
            Op::Call { device: 0, pick: 0, cost: 30 },
            Op::Calm { link: WHOLE },
        ],
        was: Some((Flaw::Guardian(GuardianFlaw::ServesForNothing), Invariant::ExposureBounded)),
    },
    Regression {
        what: "a request to stake that came late took what a claim under way was for: the claim is refused, and the simulation took \
               that for a loss",
        setup: QUIET,
        ops: &[
            Op::Deposit { device: 0, value: 300, notes: 1, link: WHOLE },
            Op::Sync { device: 0, limit: 1000, link: WHOLE },
            Op::Open { device: 0, guardian: 0, tier: 2, life: 400 },
            Op::Calm { link: WHOLE },
            Op::Call { device: 0, pick: 0, cost: 10 },
            Op::Close { device: 0, pick: 0 },
            Op::Calm { link: WHOLE },
            Op::Stake { operator: 0, staking: Staking::Put { part: 1 }, link: Link::RequestLate },
            Op::Claim { operator: 0, pick: 0, part: 5, notes: 3, is_killed: false },
        ],
        was: None,
    },
];
