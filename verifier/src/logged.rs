//! The log of receipts, as their holders see it: that a receipt stands in it, who watches it, and that it only grew since.
//!
//! Decides: whether a proof shows that this receipt is in a log whose head the receipt's own key signed, and how many of the witnesses
//! that the *reader* names cosigned that head. Trusts on entry: the keyset, which was attested, and the reader's witnesses. A node
//! that keeps no log is no fault; one that shows another log than before is.

use std::time::Duration;

use attestation::{Keyset, Receipt, Transcript, UnixTime};
use credits::Bytes32;
use credits::merkle::{empty_root, verify_consistency};
use http::Method;
use serde::Deserialize;
use tlog::{Checkpoint, LogFault, LogKey, LogProof, ReceiptLogEntry, WitnessKey, witnessed};

use crate::bundle::{BundleError, ReceiptBundle};
use crate::clock::format_time;
use crate::exchange::Answer;
use crate::fetch::{NodeError, call_json};
use crate::session::{Session, SessionError, fresh_idempotency_key};
use crate::tab::Tab;

/// Time before a proof that is not there yet is asked for again.
const PAUSE: Duration = Duration::from_secs(1);

/// Whose word the reader takes that a log only grows.
#[derive(Debug, Clone, Default)]
pub struct WitnessTrust {
    /// The witnesses.
    pub keys: Vec<WitnessKey>,
    /// How many of them must have cosigned.
    pub needed: usize,
}

/// A receipt that is in a log.
#[derive(Debug, Clone)]
pub struct Logged {
    /// The log's name.
    pub origin: String,
    /// Where it is.
    pub index: u64,
    /// The head it is under.
    pub head: Checkpoint,
    /// Who of the named witnesses cosigned that, and when.
    pub witnesses: Vec<(String, UnixTime)>,
}

/// What a node answers for a receipt in its log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoggedAnswer {
    receipt: Receipt,
    log_proof: String,
}

/// What a node answers about its log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadAnswer {
    checkpoint: String,
    consistency: Option<Vec<Bytes32>>,
}

/// Why a log is not shown to be what it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The node refuses or gives no answer.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// What it gives does not hold.
    #[error("the node's log of receipts was not accepted")]
    Fault(#[from] LogFault),
    /// The node does not show that its log grew from what it was.
    #[error(
        "the node does not show that its log of receipts, of {got} entries, begins with the {seen} seen before: ask again; if \
         it stays so, the log was changed"
    )]
    GrowthUnproved {
        /// Entries now.
        got: u64,
        /// Entries then.
        seen: u64,
    },
    /// The log is shorter than it was.
    #[error("the node's log of receipts has {got} entries, {seen} were seen before: it was put back to an older state")]
    RolledBack {
        /// Entries now.
        got: u64,
        /// Entries then.
        seen: u64,
    },
}

impl LogError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Session(error) => error.code(),
            Self::Fault(fault) => fault.code(),
            Self::GrowthUnproved { .. } => "log.growth_unproved",
            Self::RolledBack { .. } => "log.rolled_back",
        }
    }
}

/// The head that a receipt key of the keyset signed, of whatever log it names.
fn open_head(note: &str, keyset: &Keyset, key_id: &str) -> Result<(String, Checkpoint), LogFault> {
    let origin = note.split('\n').next().unwrap_or_default();
    let unknown = || LogFault::Unsigned { key: key_id.to_owned() };
    let key = LogKey::new(origin, keyset.receipt_key(key_id).ok_or_else(unknown)?)?;
    Ok((origin.to_owned(), Checkpoint::open(note, &key)?))
}

/// Judges the proof that `receipt`, which was verified, stands in a log.
///
/// # Errors
/// See [`LogFault`]; [`LogFault::Unwitnessed`] when too few of the named witnesses cosigned.
pub fn check_logged(
    receipt: &Receipt,
    proof: &str,
    keyset: &Keyset,
    trust: &WitnessTrust,
    transcript: &mut Transcript,
) -> Result<Logged, LogFault> {
    let logged = included(receipt, proof, keyset);
    let (origin, proof, head) = match logged {
        Ok(logged) => logged,
        Err(fault) => {
            transcript.fail("receipt.log", fault.to_string());
            return Err(fault);
        }
    };
    let index = proof.index;
    transcript.pass("receipt.log", format!("entry {index} of {} of {origin}", head.size));
    if trust.keys.is_empty() && trust.needed == 0 {
        transcript.skip("receipt.witnesses", "no witness named: nobody else says that this log is everybody's");
        return Ok(Logged { origin, index, head, witnesses: Vec::new() });
    }
    let witnesses = match witnessed(&proof.checkpoint, &trust.keys, trust.needed) {
        Ok(seen) => seen.times,
        Err(fault) => {
            transcript.fail("receipt.witnesses", fault.to_string());
            return Err(fault);
        }
    };
    let who: Vec<_> = witnesses.iter().map(|(name, time)| format!("{name} at {}", format_time(*time))).collect();
    transcript.pass("receipt.witnesses", format!("cosigned by {}", who.join(", ")));
    Ok(Logged { origin, index, head, witnesses })
}

fn included(receipt: &Receipt, proof: &str, keyset: &Keyset) -> Result<(String, LogProof, Checkpoint), LogFault> {
    let proof = LogProof::from_text(proof)?;
    let (origin, head) = open_head(&proof.checkpoint, keyset, &receipt.key_id)?;
    let digest = receipt.digest().map_err(|_| LogFault::NotInLog)?;
    proof.verify(&ReceiptLogEntry::Receipt(digest).bytes(), &head)?;
    Ok((origin, proof, head))
}

impl Answer {
    /// Asks the node for the proof that this answer's receipt is in its log, and puts it into the bundle. Nothing, if the node keeps
    /// no log.
    ///
    /// # Errors
    /// When the node gives no proof, or one that does not hold.
    pub async fn ask_for_log_proof(&mut self) -> Result<Option<Logged>, LogError> {
        let receipt = &self.receipt.receipt;
        let mut proof = self.session.log_proof(&self.tab, receipt).await;
        if let Err(SessionError::Node(NodeError::Refused { status, .. })) = &proof
            && *status == http::StatusCode::SERVICE_UNAVAILABLE
        {
            // A witness may be slow, or many may ask: once more.
            tokio::time::sleep(PAUSE).await;
            proof = self.session.log_proof(&self.tab, receipt).await;
        }
        let Some(proof) = proof? else { return Ok(None) };
        let keyset = self.session.keyset();
        let logged = check_logged(receipt, &proof, keyset, &WitnessTrust::default(), &mut Transcript::default())?;
        self.bundle.log_proof = Some(proof);
        Ok(Some(logged))
    }
}

impl Session {
    /// The proof that a receipt is in the node's log, not judged. Nothing, if the node keeps no log.
    async fn log_proof(&self, tab: &Tab, receipt: &Receipt) -> Result<Option<String>, SessionError> {
        let path = format!("/v1/receipts/{}", receipt.receipt_id);
        let ask = self.signed(Method::GET, &path, tab, &fresh_idempotency_key()?, bytes::Bytes::new())?;
        let answer: LoggedAnswer = match call_json(self.sender(), ask, "the receipt's place in the log").await {
            // What older nodes say, and those without a log.
            Err(NodeError::Refused { status: http::StatusCode::NOT_FOUND, code, .. })
                if code == "log.none" || code == "not_found" =>
            {
                return Ok(None);
            }
            other => other.map_err(SessionError::Node)?,
        };
        let detail = || "the node's log holds another receipt under its id".to_owned();
        if answer.receipt == *receipt {
            Ok(Some(answer.log_proof))
        } else {
            Err(SessionError::Statement { what: "receipt", detail: detail() })
        }
    }

    /// Whether the node's log is the one that `seen` was a head of, grown: its head now.
    ///
    /// # Errors
    /// When the node gives no answer, or shows another log.
    pub async fn check_log_grew(&self, seen: &Logged, transcript: &mut Transcript) -> Result<Checkpoint, LogError> {
        let now = self.log_head_since(seen.head.size).await;
        let grown = now.and_then(|(origin, head, hashes)| {
            if origin != seen.origin {
                return Err(LogFault::Origin { got: origin, expected: seen.origin.clone() }.into());
            }
            let Some(hashes) = hashes else {
                return Err(LogError::RolledBack { got: head.size, seen: seen.head.size });
            };
            let root = if seen.head.size == 0 { &empty_root() } else { &seen.head.root };
            let (got, seen_size) = (head.size, seen.head.size);
            // Two heads of one size speak for themselves; a proof that does not hold may be a lie of whoever keeps the log.
            if got == seen_size && head.root != *root {
                return Err(LogFault::Forked { got, seen: seen_size }.into());
            }
            verify_consistency(seen_size, got, &hashes, root, &head.root)
                .map_err(|_| LogError::GrowthUnproved { got, seen: seen_size })?;
            Ok(head)
        });
        match &grown {
            Ok(head) => transcript.pass("log.growth", format!("from {} to {} entries", seen.head.size, head.size)),
            Err(error) => transcript.fail("log.growth", crate::error::chain(error)),
        }
        grown
    }

    async fn log_head_since(&self, size: u64) -> Result<(String, Checkpoint, Option<Vec<Bytes32>>), LogError> {
        let (_, bytes) = self.get(&format!("/v1/receipt-log?from={size}")).await?;
        let malformed =
            |error: serde_json::Error| SessionError::Statement { what: "log of receipts", detail: error.to_string() };
        let answer: HeadAnswer = serde_json::from_slice(&bytes).map_err(malformed)?;
        let (origin, head) = open_head(&answer.checkpoint, self.keyset(), &self.signed_offer().key_id)?;
        Ok((origin, head, answer.consistency))
    }
}

impl ReceiptBundle {
    /// 5. The stored proof that the receipt is in the node's log, if there is one. Call it once the rest was verified.
    ///
    /// # Errors
    /// When the proof does not hold, or witnesses are named and too few of them cosigned.
    pub fn check_log(&self, trust: &WitnessTrust, transcript: &mut Transcript) -> Result<Option<Logged>, BundleError> {
        let Some(proof) = &self.log_proof else {
            transcript.skip("receipt.log", "no proof is stored with the receipt");
            return match trust.needed {
                0 => Ok(None),
                needed => Err(BundleError::Log(LogFault::Unwitnessed { got: 0, needed })),
            };
        };
        let keyset = &self.attestation.keyset;
        check_logged(&self.receipt, proof, keyset, trust, transcript).map(Some).map_err(BundleError::Log)
    }
}
