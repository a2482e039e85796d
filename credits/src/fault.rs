//! Faults that lose a stake: two things that one settle key signed and an honest guardian does not sign both.
//! `docs/protocol.md` §4.10, decision 34.
//!
//! Nobody is asked who is right: both signatures are the guardian's own, and anybody verifies them. A receipt is no evidence here,
//! since showing it would show digests of a prompt and its answer to everybody.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::bytes::{Bytes32, LengthPrefixed, SignatureBytes, decode_hex};
use crate::entry::SlashEntry;
use crate::hash::sha256;
use crate::keys::{is_small_order, verify_ed25519};
use crate::ledger::{LedgerError, Recorded, journal_message, settle_message};
use crate::note::Nullifier;
use crate::settlement::{SETTLEMENT_VERSION, Settlement};
use crate::stake::Bond;
use crate::value::Credits;

/// What whoever shows a fault gets, as a fraction of the stake. Small, since who has the key can accuse himself: an owner who wants
/// his stake out at once, or a thief of the key. The rest is burnt.
pub const REWARD_DIVISOR: u64 = 20;
/// Longest name of a log of receipts, as `tlog` has it.
const ORIGIN_BYTES_MAX: usize = 128;

/// Something that a settle key signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "snake_case", deny_unknown_fields)]
pub enum Said {
    /// A running total (protocol §4.4).
    Total {
        /// The spend.
        nullifier: Nullifier,
        /// What it had cost.
        total: Credits,
        /// Over [`journal_message`].
        signature: SignatureBytes,
    },
    /// What a ledger was told to charge (protocol §4.4).
    Charge {
        /// The spend.
        nullifier: Nullifier,
        /// What to charge.
        charge: Credits,
        /// Over [`settle_message`].
        signature: SignatureBytes,
    },
    /// What a client was told that it was charged (protocol §5.2).
    Bill {
        /// The statement.
        settlement: Box<Settlement>,
        /// As a statement of a settlement.
        signature: SignatureBytes,
    },
    /// A head of a log of receipts (protocol §6.1).
    Head {
        /// The text that was signed.
        text: String,
        /// Over the text.
        signature: SignatureBytes,
    },
}

/// Two things that one settle key signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The one.
    pub first: Said,
    /// The other.
    pub second: Said,
}

/// What is wrong with what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A running total, or a charge, above what the client was told.
    Overcharge,
    /// Two charges of one spend.
    TwoCharges,
    /// Two bills of one spend.
    TwoBills,
    /// Two heads of one size.
    TwoHeads,
}

impl Evidence {
    /// The fault that it shows, without asking whether the signatures are the key's.
    pub fn fault(&self) -> Option<Fault> {
        match (&self.first, &self.second) {
            (Said::Bill { settlement, .. }, claimed @ (Said::Total { .. } | Said::Charge { .. }))
            | (claimed @ (Said::Total { .. } | Said::Charge { .. }), Said::Bill { settlement, .. }) => {
                let (nullifier, amount) = claimed.amount()?;
                let above = nullifier == settlement.nullifier && amount > settlement.charge;
                above.then_some(Fault::Overcharge)
            }
            (Said::Charge { nullifier, charge, .. }, Said::Charge { nullifier: same, charge: other, .. }) => {
                (nullifier == same && charge != other).then_some(Fault::TwoCharges)
            }
            (Said::Bill { settlement, .. }, Said::Bill { settlement: other, .. }) => {
                let of_one = settlement.nullifier == other.nullifier;
                (of_one && settlement.charge != other.charge).then_some(Fault::TwoBills)
            }
            (Said::Head { text, .. }, Said::Head { text: other, .. }) => {
                let (head, other) = (Head::read(text)?, Head::read(other)?);
                let of_one = head.origin == other.origin && head.size == other.size;
                (of_one && head.root != other.root).then_some(Fault::TwoHeads)
            }
            _ => None,
        }
    }

    /// The fault of a settle key that it proves at a ledger.
    pub fn verify(&self, ledger_id: &Bytes32, settle_key: &Bytes32) -> Result<Fault, LedgerError> {
        let fault = self.fault().ok_or(LedgerError::SlashNoFault)?;
        self.first.verify(ledger_id, settle_key)?;
        self.second.verify(ledger_id, settle_key)?;
        Ok(fault)
    }

    /// Appends its fields to what is hashed.
    pub(crate) fn extend(&self, string: LengthPrefixed) -> LengthPrefixed {
        self.second.extend(self.first.extend(string))
    }
}

impl Said {
    const fn amount(&self) -> Option<(Nullifier, Credits)> {
        match self {
            Self::Total { nullifier, total, .. } => Some((*nullifier, *total)),
            Self::Charge { nullifier, charge, .. } => Some((*nullifier, *charge)),
            Self::Bill { .. } | Self::Head { .. } => None,
        }
    }

    fn verify(&self, ledger_id: &Bytes32, settle_key: &Bytes32) -> Result<(), LedgerError> {
        let (message, signature) = match self {
            Self::Total { nullifier, total, signature } => (journal_message(ledger_id, nullifier, *total), signature),
            Self::Charge { nullifier, charge, signature } => (settle_message(ledger_id, nullifier, *charge), signature),
            // A bill of a spend at another ledger says nothing about one here.
            Self::Bill { settlement, .. }
                if settlement.ledger_id != *ledger_id || settlement.version != SETTLEMENT_VERSION =>
            {
                return Err(LedgerError::SlashNoFault);
            }
            Self::Bill { settlement, signature } => (settlement.signed_bytes(), signature),
            Self::Head { text, signature } => (text.clone().into_bytes(), signature),
        };
        verify_ed25519(settle_key, &message, signature).map_err(|_| LedgerError::SlashSignature)
    }

    fn extend(&self, string: LengthPrefixed) -> LengthPrefixed {
        match self {
            Self::Total { nullifier, total, signature } => {
                string.bytes("total").bytes(nullifier).number(total.get()).bytes(signature)
            }
            Self::Charge { nullifier, charge, signature } => {
                string.bytes("charge").bytes(nullifier).number(charge.get()).bytes(signature)
            }
            Self::Bill { settlement, signature } => {
                string.bytes("bill").bytes(settlement.signed_bytes()).bytes(signature)
            }
            Self::Head { text, signature } => string.bytes("head").bytes(text).bytes(signature),
        }
    }
}

/// What a head of a log of receipts says (C2SP tlog-checkpoint). It is read in the one form that guardians sign, and in no other: entries
/// of the log stay short, and nothing else that is signed reads as a head.
struct Head<'a> {
    origin: &'a str,
    size: u64,
    root: Bytes32,
}

impl<'a> Head<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root, round) = (lines.next()?, lines.next()?, lines.next()?, lines.next()?);
        if lines.next().is_some() || origin.len() > ORIGIN_BYTES_MAX {
            return None;
        }
        decode_hex::<32>(round.strip_prefix("round ")?).ok()?;
        let number: u64 = size.parse().ok()?;
        let root = Bytes32(STANDARD.decode(root).ok()?.try_into().ok()?);
        // A number is written in one way.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/');
        let is_name = !origin.is_empty() && origin.bytes().all(plain);
        (is_name && number.to_string() == size).then_some(Self { origin, size: number, root })
    }
}

/// Body of `POST /v1/slashes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlashRequest {
    /// Whose stake answers for it.
    pub payee: Bytes32,
    /// Who said it.
    pub settle_key: Bytes32,
    /// What was said.
    pub evidence: Evidence,
    /// The payee that gets the reward.
    pub reporter: Bytes32,
}

impl SlashRequest {
    /// Identity of what is shown, and by whom.
    pub fn digest(&self) -> Bytes32 {
        let string = LengthPrefixed::new("cloister/slash/v1").bytes(self.payee).bytes(self.settle_key);
        sha256(&self.evidence.extend(string).bytes(self.reporter).finish())
    }
}

/// Answer to [`SlashRequest`].
pub type SlashResponse = Recorded<SlashEntry>;

/// Evidence that verified.
#[derive(Clone, Debug)]
pub struct VerifiedSlash(SlashRequest);

impl VerifiedSlash {
    /// Verifies evidence: that it is a fault, and that both signatures are the key's.
    pub fn verify(request: SlashRequest, ledger_id: &Bytes32) -> Result<Self, LedgerError> {
        // Under a key of small order anybody signs, and nobody but a payee who can sign for himself claims a reward.
        if is_small_order(&request.settle_key) || is_small_order(&request.reporter) {
            return Err(LedgerError::SlashSignature);
        }
        request.evidence.verify(ledger_id, &request.settle_key)?;
        Ok(Self(request))
    }

    /// The request.
    pub const fn request(&self) -> &SlashRequest {
        &self.0
    }
}

/// What to do about evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlashDecision {
    /// It took the stake before: answer with the entry at this position.
    Repeat {
        /// Position of the slash entry.
        entry_index: u64,
    },
    /// Take the stake.
    Record {
        /// What is at stake.
        amount: Credits,
        /// What the reporter gets of it.
        reward: Credits,
    },
}

/// Decides what becomes of a payee's stake.
pub fn decide_slash(bond: Option<&Bond>, slash: &VerifiedSlash, now: u64) -> Result<SlashDecision, LedgerError> {
    let request = slash.request();
    let bond = bond.ok_or(LedgerError::SlashNotBacked)?;
    if let Some((shown, entry_index)) = bond.slashed
        && shown == request.digest()
    {
        return Ok(SlashDecision::Repeat { entry_index });
    }
    let amount = bond.at_stake(&request.settle_key, now);
    if amount.is_zero() {
        return Err(LedgerError::SlashNotBacked);
    }
    Ok(SlashDecision::Record { amount, reward: reward(amount) })
}

/// The reporter's part of a stake.
pub fn reward(amount: Credits) -> Credits {
    // A part of an amount is one.
    Credits::new(amount.get() / REWARD_DIVISOR).unwrap_or_default()
}

#[cfg(test)]
#[path = "fault_tests.rs"]
mod tests;
