//! Stakes: credits of a payee that answer for the guardians it backs. `docs/protocol.md` §4.10, decision 34.
//!
//! A payee's key is its nodes' lineage: it backs the settle key of each boot until a time, and until then its stake cannot be taken
//! back, whatever it does. What loses it is [`crate::fault`].

use serde::{Deserialize, Serialize};

use crate::bytes::{Bytes32, LengthPrefixed, SignatureBytes};
use crate::claim::PayeeKey;
use crate::entry::{SlashEntry, StakeEntry};
use crate::keys::{is_small_order, verify_ed25519};
use crate::ledger::{LedgerError, Recorded};
use crate::value::Credits;

/// Most settle keys that a payee backs at a time.
pub const BACKED_MAX: usize = 64;
/// Longest time that a settle key is backed for, from now, in seconds: a slip of the keyboard must not lock a stake up for good.
pub const BACKED_SECS_MAX: u64 = 366 * 24 * 3600;

/// What a payee does with its stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum StakeAct {
    /// Puts some of what it is owed behind its guardians.
    Put {
        /// How much more.
        amount: Credits,
    },
    /// Answers for a guardian, or does so for longer.
    Back {
        /// The guardian's receipt key.
        settle_key: Bytes32,
        /// Until when, in Unix seconds.
        until: u64,
    },
    /// Takes all of it back, once nothing is backed.
    Take {},
}

impl StakeAct {
    /// Appends its fields to what is hashed or signed.
    pub(crate) fn extend(&self, string: LengthPrefixed) -> LengthPrefixed {
        match self {
            Self::Put { amount } => string.bytes("put").number(amount.get()),
            Self::Back { settle_key, until } => string.bytes("back").bytes(settle_key).number(*until),
            Self::Take {} => string.bytes("take"),
        }
    }
}

/// Body of `POST /v1/stakes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StakeRequest {
    /// Whose stake.
    pub payee: Bytes32,
    /// How many acts the payee made before this one.
    pub seq: u64,
    /// What it does.
    pub act: StakeAct,
    /// By the payee over [`stake_message`].
    pub signature: SignatureBytes,
}

impl StakeRequest {
    /// Signs an act.
    pub fn sign(key: &PayeeKey, ledger_id: &Bytes32, seq: u64, act: StakeAct) -> Self {
        let payee = key.public();
        Self { payee, seq, act, signature: key.sign(&stake_message(ledger_id, &payee, seq, &act)) }
    }
}

/// Answer to [`StakeRequest`].
pub type StakeResponse = Recorded<StakeEntry>;

/// The string a payee signs (protocol §4.10).
pub fn stake_message(ledger_id: &Bytes32, payee: &Bytes32, seq: u64, act: &StakeAct) -> Vec<u8> {
    act.extend(LengthPrefixed::new("cloister/stake/v1").bytes(ledger_id).bytes(payee).number(seq)).finish()
}

/// An act whose signature verified.
#[derive(Clone, Debug)]
pub struct VerifiedStake(StakeRequest);

impl VerifiedStake {
    /// Verifies the signature.
    pub fn verify(request: StakeRequest, ledger_id: &Bytes32) -> Result<Self, LedgerError> {
        let StakeRequest { payee, seq, act, signature } = &request;
        // Under a key of small order anybody signs.
        if is_small_order(payee) {
            return Err(LedgerError::StakeSignature);
        }
        let message = stake_message(ledger_id, payee, *seq, act);
        verify_ed25519(payee, &message, signature).map_err(|_| LedgerError::StakeSignature)?;
        Ok(Self(request))
    }

    /// The request.
    pub const fn request(&self) -> &StakeRequest {
        &self.0
    }
}

/// A settle key that a payee answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backing {
    /// The guardian's receipt key.
    pub settle_key: Bytes32,
    /// Until when, in Unix seconds.
    pub until: u64,
}

/// A payee's stake, as ledgers record it and as everybody who replays the log knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bond {
    /// What is at stake.
    pub amount: Credits,
    /// The settle keys it answers for; what is past stays until the next act.
    pub backed: Vec<Backing>,
    /// How many acts the payee made.
    pub acts: u64,
    /// The last of them, with the position of its entry in the log.
    pub last: Option<(StakeAct, u64)>,
    /// What took the stake: the digest of what was shown, and the position of its entry. Until another stake is put.
    pub slashed: Option<(Bytes32, u64)>,
}

/// What an act moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StakeMove {
    /// Out of the payee's account into its stake.
    In(Credits),
    /// Nothing.
    Nothing,
    /// Out of the stake into the account.
    Out(Credits),
}

/// What to do about an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StakeDecision {
    /// It is the payee's last one: answer with the entry at this position.
    Repeat {
        /// Position of the stake entry.
        entry_index: u64,
    },
    /// Record it.
    Record,
}

impl Bond {
    /// What is at stake for a guardian's key at a time: a fault of that key loses it.
    pub fn at_stake(&self, settle_key: &Bytes32, time: u64) -> Credits {
        let is_backed = self.backed.iter().any(|backing| backing.settle_key == *settle_key && backing.until >= time);
        if is_backed { self.amount } else { Credits::ZERO }
    }

    /// The time until which it cannot be taken back.
    pub fn held_until(&self) -> u64 {
        self.backed.iter().map(|backing| backing.until).max().unwrap_or_default()
    }

    /// Decides an act at a time. What the payee is owed is not asked here: see [`Bond::carry_out`].
    pub fn decide(&self, request: &StakeRequest, now: u64) -> Result<StakeDecision, LedgerError> {
        if let Some((act, entry_index)) = &self.last
            && (act, self.acts) == (&request.act, request.seq.saturating_add(1))
        {
            return Ok(StakeDecision::Repeat { entry_index: *entry_index });
        }
        if request.seq != self.acts {
            return Err(LedgerError::StakeStale);
        }
        match request.act {
            StakeAct::Put { amount } if amount.is_zero() => Err(LedgerError::StakeZero),
            StakeAct::Put { amount } if self.amount.checked_add(amount).is_none() => Err(LedgerError::StakeAboveOwed),
            StakeAct::Back { .. } | StakeAct::Take {} if self.amount.is_zero() => Err(LedgerError::StakeNone),
            StakeAct::Back { settle_key, until } => self.decide_back(&settle_key, until, now),
            StakeAct::Take {} if self.held_until() >= now => Err(LedgerError::StakeHeld),
            StakeAct::Put { .. } | StakeAct::Take {} => Ok(()),
        }?;
        Ok(StakeDecision::Record)
    }

    fn decide_back(&self, settle_key: &Bytes32, until: u64, now: u64) -> Result<(), LedgerError> {
        let before = self.backed.iter().find(|backing| backing.settle_key == *settle_key);
        // Who was told a later time relies on it.
        let is_later = before.is_none_or(|before| until > before.until);
        if until <= now || until > now.saturating_add(BACKED_SECS_MAX) || !is_later {
            return Err(LedgerError::StakeUntil);
        }
        let live = self.backed.iter().filter(|backing| backing.until >= now && backing.settle_key != *settle_key);
        if live.count() >= BACKED_MAX { Err(LedgerError::StakeTooMany) } else { Ok(()) }
    }

    /// What follows from an act that was decided to be recorded: the bond that it leaves, and what moves.
    pub fn carry_out(&mut self, act: StakeAct, now: u64, entry_index: u64) -> StakeMove {
        self.acts = self.acts.saturating_add(1);
        self.last = Some((act, entry_index));
        self.backed.retain(|backing| backing.until >= now);
        match act {
            StakeAct::Put { amount } => {
                // `decide` has refused a sum that is no amount.
                self.amount = self.amount.checked_add(amount).unwrap_or(self.amount);
                // What took the last stake has nothing to say of this one.
                self.slashed = None;
                StakeMove::In(amount)
            }
            StakeAct::Back { settle_key, until } => {
                self.backed.retain(|backing| backing.settle_key != settle_key);
                self.backed.push(Backing { settle_key, until });
                StakeMove::Nothing
            }
            StakeAct::Take {} => {
                self.backed.clear();
                StakeMove::Out(std::mem::take(&mut self.amount))
            }
        }
    }

    /// Takes the stake for a fault, and what was backed with it.
    pub fn slash(&mut self, shown: Bytes32, entry_index: u64) -> Credits {
        self.backed.clear();
        self.slashed = Some((shown, entry_index));
        std::mem::take(&mut self.amount)
    }
}

impl StakeEntry {
    /// The request that it records.
    pub const fn request(&self) -> StakeRequest {
        StakeRequest { payee: self.payee, seq: self.seq, act: self.act, signature: self.signature }
    }
}

impl SlashEntry {
    /// What was burnt.
    pub fn burnt(&self) -> Option<Credits> {
        self.amount.checked_sub(self.reward)
    }
}

#[cfg(test)]
#[path = "stake_tests.rs"]
mod tests;
