//! Stakes, faults and ratings in the oracle: the ledger's rules written a second time, for one payee and one guardian.

use std::collections::BTreeMap;

use credits::stake::BACKED_SECS_MAX;
use credits::{
    Bytes32, Evidence, LedgerError, LedgerInfo, LogEntry, Nullifier, RatingRequest, Said, Settlement, SigningKey,
    SlashRequest, StakeAct, StakeRequest, settle_message,
};

use super::disk::Seeded;
use super::oracle::Call;
use super::{credits, payee_key, settle_key};

/// A step that is about stakes or ratings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Standing {
    /// Put some of what is owed at stake, perhaps too much or nothing.
    Put { amount: u64 },
    /// Back the guardian for some time.
    Back { secs: u64 },
    /// Take all of it back.
    Take,
    /// Send the last act again.
    RepeatAct,
    /// Show two charges of the guardian, or one twice.
    Accuse { honest: bool },
    /// Show the last fault again.
    RepeatAccuse,
    /// Rate a spend.
    Rate { spend: usize, score: u8 },
}

/// A bill of a spend for so much, as a client is given one.
pub(crate) fn bill(info: &LedgerInfo, key: &SigningKey, nullifier: Nullifier, charge: u64) -> Said {
    let settlement = Settlement {
        version: credits::settlement::SETTLEMENT_VERSION.to_owned(),
        ledger_id: info.ledger_id,
        nullifier,
        reserve: credits(10),
        charge: credits(charge),
        refund: credits(10 - charge),
        leaf: credits::Leaf(credits::Fe::from(4)),
        leaf_index: 5,
        entry_index: 6,
        requests: 7,
        keyset_digest: Bytes32([8; 32]),
    };
    let signature = key.sign(&settlement.signed_bytes());
    Said::Bill { settlement: Box::new(settlement), signature }
}

impl Standing {
    /// One of them, by a seed.
    pub(crate) fn any(seed: &mut Seeded) -> Self {
        match seed.below(12) {
            0..=2 => Self::Put { amount: seed.below(1 << 16) },
            3 | 4 => Self::Back { secs: seed.below(700) },
            5 => Self::Take,
            6 => Self::RepeatAct,
            7 => Self::Accuse { honest: seed.below(2) == 0 },
            8 => Self::RepeatAccuse,
            _ => Self::Rate {
                spend: usize::try_from(seed.below(1 << 16)).unwrap(),
                score: u8::try_from(seed.below(8)).unwrap(),
            },
        }
    }
}

/// What the payee has at stake.
#[derive(Default)]
pub(crate) struct Stakes {
    pub(crate) staked: u64,
    pub(crate) burnt: u64,
    pub(crate) acts: u64,
    /// Until when the guardian is backed; 0 when it is not.
    until: u64,
    last: Option<StakeRequest>,
    last_slash: Option<SlashRequest>,
    /// Whether the ledger knows the last fault for what took the stake.
    remembered: bool,
    pub(crate) slashes: u64,
    pub(crate) ratings: BTreeMap<Nullifier, u8>,
}

/// The key of all tabs of the oracle.
pub(crate) fn tab_key() -> SigningKey {
    SigningKey::from_seed(&[8; 32])
}

/// Two charges that the guardian signed of one spend.
pub(crate) fn two_charges(info: &LedgerInfo, key: &SigningKey, nullifier: Nullifier, amounts: [u64; 2]) -> Evidence {
    let said = |amount| {
        let charge = credits(amount);
        let signature = key.sign(&settle_message(&info.ledger_id, &nullifier, charge));
        Said::Charge { nullifier, charge, signature }
    };
    let [first, second] = amounts.map(said);
    Evidence { first, second }
}

impl Stakes {
    /// The call of a step and what the ledger must answer, of a payee who is owed so much besides.
    pub(crate) fn plan(
        &mut self,
        step: Standing,
        info: &LedgerInfo,
        owed: u64,
        now: u64,
    ) -> Option<(Call, Result<(), LedgerError>)> {
        match step {
            Standing::Put { amount } => {
                let amount = amount % (owed + owed / 4 + 2);
                let expected = match amount {
                    0 => Err(LedgerError::StakeZero),
                    _ if amount > owed => Err(LedgerError::StakeAboveOwed),
                    _ => Ok(()),
                };
                if expected.is_ok() {
                    self.staked += amount;
                    self.remembered = false;
                    self.forget_past(now);
                }
                Some(self.act(info, StakeAct::Put { amount: credits(amount) }, expected))
            }
            Standing::Back { secs } => {
                // Sometimes for longer than anybody may.
                let until = now + secs * if secs % 50 == 49 { BACKED_SECS_MAX } else { 1 };
                let good = until > now && until <= now + BACKED_SECS_MAX && until > self.until;
                let expected = match self.staked {
                    0 => Err(LedgerError::StakeNone),
                    _ if good => Ok(()),
                    _ => Err(LedgerError::StakeUntil),
                };
                if expected.is_ok() {
                    self.until = until;
                }
                let settle_key = settle_key().public();
                Some(self.act(info, StakeAct::Back { settle_key, until }, expected))
            }
            Standing::Take => {
                let expected = match self.staked {
                    0 => Err(LedgerError::StakeNone),
                    _ if self.until >= now => Err(LedgerError::StakeHeld),
                    _ => Ok(()),
                };
                if expected.is_ok() {
                    (self.staked, self.until) = (0, 0);
                }
                Some(self.act(info, StakeAct::Take {}, expected))
            }
            Standing::RepeatAct => Some((Call::Stake(Box::new(self.last.clone()?)), Ok(()))),
            Standing::Accuse { honest } => Some(self.accuse(info, honest, now)),
            Standing::RepeatAccuse => {
                let request = self.last_slash.clone()?;
                Some((
                    Call::Slash(Box::new(request.clone())),
                    if self.remembered { Ok(()) } else { self.lose(request, now) },
                ))
            }
            Standing::Rate { .. } => None,
        }
    }

    fn act(
        &mut self,
        info: &LedgerInfo,
        act: StakeAct,
        expected: Result<(), LedgerError>,
    ) -> (Call, Result<(), LedgerError>) {
        let request = StakeRequest::sign(&payee_key(), &info.ledger_id, self.acts, act);
        if expected.is_ok() {
            self.acts += 1;
            self.last = Some(request.clone());
        }
        (Call::Stake(Box::new(request)), expected)
    }

    fn accuse(&mut self, info: &LedgerInfo, honest: bool, now: u64) -> (Call, Result<(), LedgerError>) {
        let second = if honest { 5 } else { 6 };
        // Another one each time, so that none is a repeat.
        let nullifier = Nullifier(credits::Fe::from(500_000 + self.slashes));
        let evidence = two_charges(info, &settle_key(), nullifier, [5, second]);
        let (payee, reporter) = (payee_key().public(), payee_key().public());
        let request = SlashRequest { payee, settle_key: settle_key().public(), evidence, reporter };
        let call = Call::Slash(Box::new(request.clone()));
        if honest {
            return (call, Err(LedgerError::SlashNoFault));
        }
        let expected = self.lose(request, now);
        (call, expected)
    }

    /// Loses what is at stake for a fault, if anything is.
    fn lose(&mut self, request: SlashRequest, now: u64) -> Result<(), LedgerError> {
        if self.staked == 0 || self.until < now {
            return Err(LedgerError::SlashNotBacked);
        }
        // A twentieth comes back to who reports, here the payee itself.
        self.burnt += self.staked - self.staked / 20;
        (self.staked, self.until) = (0, 0);
        self.slashes += 1;
        (self.last_slash, self.remembered) = (Some(request), true);
        Ok(())
    }

    /// What is past is gone with the next act.
    fn forget_past(&mut self, now: u64) {
        if self.until < now {
            self.until = 0;
        }
    }

    /// The rating of a spend that ended with a charge, or has not ended.
    pub(crate) fn rate(
        &mut self,
        info: &LedgerInfo,
        nullifier: Nullifier,
        charged: Option<u64>,
        score: u8,
    ) -> (Call, Result<(), LedgerError>) {
        let score = score % 8;
        let call = Call::Rate(RatingRequest::sign(&tab_key(), &info.ledger_id, nullifier, score));
        let expected = match (charged, self.ratings.get(&nullifier)) {
            _ if !(1..=5).contains(&score) => Err(LedgerError::RatingScore),
            (None | Some(0), _) => Err(LedgerError::RatingUnpaid),
            (Some(_), Some(rated)) if *rated == score => Ok(()),
            (Some(_), Some(_)) => Err(LedgerError::RatingConflict),
            (Some(_), None) => {
                self.ratings.insert(nullifier, score);
                Ok(())
            }
        };
        (call, expected)
    }

    /// Holds the entries of a log against what was done.
    pub(crate) fn audit(&self, entries: &[LogEntry]) {
        let (mut staked, mut burnt, mut acts, mut slashes) = (0, 0, 0, 0);
        let mut ratings = BTreeMap::new();
        for entry in entries {
            match entry {
                LogEntry::Stake(entry) => {
                    assert_eq!(entry.seq, acts, "one act after the other");
                    acts += 1;
                    match entry.act {
                        StakeAct::Put { amount } => staked += amount.get(),
                        StakeAct::Back { .. } => {}
                        StakeAct::Take {} => staked = 0,
                    }
                }
                LogEntry::Slash(entry) => {
                    assert_eq!((entry.amount.get(), entry.reward.get()), (staked, staked / 20));
                    burnt += entry.burnt().unwrap().get();
                    (staked, slashes) = (0, slashes + 1);
                }
                LogEntry::Rating(entry) => {
                    assert_eq!(ratings.insert(entry.nullifier, entry.score), None, "one rating per spend");
                }
                _ => {}
            }
        }
        assert_eq!((staked, burnt, acts, slashes), (self.staked, self.burnt, self.acts, self.slashes));
        assert_eq!(ratings, self.ratings);
    }

    /// Holds what a ledger keeps of the stake against what was done.
    pub(crate) async fn audit_bond<L: credits::Ledger>(&self, ledger: &L) {
        let bond = ledger.bond(payee_key().public()).await.unwrap();
        assert_eq!((bond.amount.get(), bond.acts), (self.staked, self.acts));
        // While anything is at stake, all that is backed is live or past, and never of another.
        assert!(bond.backed.iter().all(|backing| backing.settle_key == settle_key().public()));
        assert_eq!(bond.held_until(), self.until);
        assert_eq!(bond.slashed.is_some(), self.remembered);
        let nobody: Bytes32 = Bytes32([1; 32]);
        assert_eq!(ledger.bond(nobody).await.unwrap(), credits::Bond::default());
    }
}
