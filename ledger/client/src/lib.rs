//! The HTTP client of a ledger. It implements [`credits::Ledger`] and believes nothing the ledger cannot prove.
//!
//! Trust comes from the [`Pins`] alone. Of every answer it is checked that
//! 1. its checkpoint is signed by the pinned key and names the pinned ledger,
//! 2. the checkpoint is not older than the newest one seen when the request was sent,
//! 3. the newest one and it lie on one log, by a consistency proof,
//! 4. what was asked for is in that log, as an entry that says what the request said.
//!
//! With a [`Watch`], witnesses are asked before: what is shown must continue the newest state that they saw.
//!
//! `docs/protocol.md` §4.

mod checks;
mod history;
mod transport;
mod watch;

use std::sync::Arc;

use credits::checkpoint::ledger_id;
use credits::ledger::LEDGER_VERSION;
use credits::merkle::verify_inclusion;
use credits::params::{MergeVerifyingParams, VERIFYING_PARAMS_LEN, VerifyingParams};
use credits::{
    Bond, Bytes32, Checkpoint, CheckpointAnswer, ClaimRequest, ClaimResponse, Contradiction, JournalRequest, Ledger,
    LedgerError, LedgerInfo, LogEntry, LogPage, MergeRequest, MergeResponse, PayeeAccount, RatingRequest,
    RatingResponse, RedeemRequest, RedeemResponse, Reservation, ReserveEntry, ReserveRequest, SettleRequest,
    SettleResponse, SlashRequest, SlashResponse, StakeRequest, StakeResponse,
};
use serde::Deserialize;
use tokio::time::Instant;

use history::History;
pub use watch::{WITNESSED_FOR, WITNESSED_PATIENCE, Watch};

use transport::{ANSWER_BYTES_MAX, LOG_PAGE_BYTES_MAX, PROVING_KEY_BYTES_MAX, Transport};
use watch::{LOOK_TIMEOUT, Watching};

/// What identifies a ledger: the whole trust of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pins {
    /// Its id.
    pub ledger_id: Bytes32,
    /// The key it signs checkpoints with.
    pub ledger_key: Bytes32,
    /// The verifying key of its proofs.
    pub vk_digest: Bytes32,
}

impl From<&LedgerInfo> for Pins {
    /// Trusts a description, as a wallet does on first use.
    fn from(info: &LedgerInfo) -> Self {
        Self { ledger_id: info.ledger_id, ledger_key: info.ledger_key, vk_digest: info.vk_digest }
    }
}

/// What a client goes by besides the pins; nothing by default.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The newest checkpoint seen before: the ledger must extend it.
    pub seen: Option<Checkpoint>,
    /// Witnesses, who must say that the ledger's state is the newest.
    pub watch: Option<Watch>,
    /// Is handed what the ledger signed against itself.
    pub evidence: Option<EvidenceSink>,
}

/// Takes evidence. It is called before the answer that shows it is refused, from wherever that is, and must not wait.
#[derive(Clone)]
pub struct EvidenceSink(pub Arc<dyn Fn(&Contradiction) + Send + Sync>);

impl std::fmt::Debug for EvidenceSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EvidenceSink")
    }
}

/// A ledger that cannot be connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not `http://HOST[:PORT][/PATH]`.
    #[error("{url:?} is not a ledger's URL: expected http://HOST[:PORT][/PATH]")]
    Url {
        /// What was given.
        url: String,
    },
    /// The URL is `https`, which this client does not speak. Answers are authenticated by the ledger key in either case.
    #[error("https is not supported for ledgers: use http, answers are authenticated by the ledger's key")]
    HttpsUnsupported,
    /// The HTTP client could not be made; a fault of this program.
    #[error("the HTTP client could not be made")]
    Client,
    /// The ledger refused, or its answer is refused.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl ConnectError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Url { .. } => "ledger_client.url",
            Self::HttpsUnsupported => "ledger_client.https_unsupported",
            Self::Client => "ledger_client.client",
            Self::Ledger(error) => error.code(),
        }
    }
}

/// A connection to one pinned ledger. It remembers the newest checkpoint for as long as it lives.
#[derive(Debug)]
pub struct LedgerClient {
    transport: Transport,
    pins: Pins,
    history: History,
    watching: Option<Watching>,
}

impl LedgerClient {
    /// Connects to the ledger at a URL and refuses any but the pinned one.
    pub async fn connect(url: &str, pins: Pins) -> Result<Self, ConnectError> {
        Self::connect_known(url, pins, Known::default()).await
    }

    /// The same, under what else is known of it.
    pub async fn connect_known(url: &str, pins: Pins, known: Known) -> Result<Self, ConnectError> {
        let Known { seen, watch, evidence } = known;
        let history = History::new(pins.ledger_key, evidence);
        let client = Self { transport: Transport::new(url)?, pins, history, watching: watch.map(Watching::new) };
        client.info().await?;
        if let Some(seen) = seen {
            client.remember(&seen).await?;
        }
        client.check_witnesses().await?;
        Ok(client)
    }

    /// The description that the ledger at a URL gives of itself. Nothing vouches for it: whoever pins it trusts the URL once.
    pub async fn discover(url: &str) -> Result<LedgerInfo, ConnectError> {
        let info: LedgerInfo = Transport::new(url)?.get("/v1/ledger", ANSWER_BYTES_MAX).await?;
        verify_info(&info, &Pins::from(&info))?;
        Ok(info)
    }

    /// What this client trusts.
    pub const fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Whether witnesses are asked.
    pub const fn is_watched(&self) -> bool {
        self.watching.is_some()
    }

    /// The newest checkpoint seen.
    pub fn newest(&self) -> Option<Checkpoint> {
        self.history.newest()
    }

    /// Takes a checkpoint that was seen elsewhere, such as before a restart: from now on the ledger must extend it.
    pub async fn remember(&self, checkpoint: &Checkpoint) -> Result<(), LedgerError> {
        self.accept(checkpoint, 0).await
    }

    /// Downloads the proving key. Its bytes are judged by [`credits::params::ProvingParams::from_bytes`] under the pinned
    /// digest.
    pub async fn proving_key(&self) -> Result<Vec<u8>, LedgerError> {
        self.transport.get_bytes("/v1/params/proving-key", PROVING_KEY_BYTES_MAX).await
    }

    /// Downloads the proving key of merges; likewise judged, under the digest that the ledger's description has, which its id names.
    pub async fn merge_proving_key(&self) -> Result<Vec<u8>, LedgerError> {
        self.transport.get_bytes("/v1/params/merge-proving-key", PROVING_KEY_BYTES_MAX).await
    }

    /// Downloads the verifying key of merges; nothing where the ledger makes none.
    pub async fn merge_verifying_key(&self) -> Result<Option<MergeVerifyingParams>, LedgerError> {
        let Some(expected) = self.info().await?.merge_vk_digest() else { return Ok(None) };
        let bytes = self.transport.get_bytes("/v1/params/merge-verifying-key", VERIFYING_PARAMS_LEN).await?;
        let params = MergeVerifyingParams::from_bytes(&bytes).map_err(|_| LedgerError::AnswerMalformed)?;
        if params.digest() == expected { Ok(Some(params)) } else { Err(LedgerError::IdentityMismatch) }
    }

    /// Downloads the verifying key and refuses any but the pinned one.
    pub async fn verifying_key(&self) -> Result<VerifyingParams, LedgerError> {
        let bytes = self.transport.get_bytes("/v1/params/verifying-key", VERIFYING_PARAMS_LEN).await?;
        let params = VerifyingParams::from_bytes(&bytes).map_err(|_| LedgerError::AnswerMalformed)?;
        if params.digest() == self.pins.vk_digest { Ok(params) } else { Err(LedgerError::IdentityMismatch) }
    }

    /// Whether witnesses saw lately what is shown, and nothing was taken back; looks if that is not known. Nothing without a watch.
    ///
    /// # Errors
    /// [`LedgerError::Unwitnessed`], [`LedgerError::Fork`], [`LedgerError::Rollback`], or what keeps the ledger from answering.
    pub async fn check_witnesses(&self) -> Result<(), LedgerError> {
        let since = Instant::now();
        match self.watching.as_ref().and_then(|watching| watching.known(since)) {
            Some(known) => known,
            None => self.look(since).await,
        }
    }

    /// The same, by a look of now, which covers all that this client has accepted.
    ///
    /// # Errors
    /// The same.
    pub async fn look_at_witnesses(&self) -> Result<(), LedgerError> {
        self.look(Instant::now()).await
    }

    /// One look for all who ask since then.
    async fn look(&self, since: Instant) -> Result<(), LedgerError> {
        let Some(watching) = &self.watching else { return Ok(()) };
        let _turn = watching.turn.lock().await;
        if let Some(found) = watching.found_since(since) {
            return found;
        }
        let begun = Instant::now();
        let looked = tokio::time::timeout(LOOK_TIMEOUT, async {
            let is_first = watching.is_first();
            self.look_once(watching).await?;
            // What was shown at first may not have been seen by anybody: now it must be.
            if is_first { self.look_once(watching).await } else { Ok(()) }
        });
        let outcome = looked.await.unwrap_or(Err(LedgerError::Unavailable));
        watching.found(begun, &outcome);
        outcome
    }

    async fn look_once(&self, watching: &Watching) -> Result<(), LedgerError> {
        let size = self.history.size();
        let (answer, cosigned) = watching.ask(&self.transport, &self.pins, size).await?;
        self.accept(&answer.checkpoint, size).await?;
        watching.holds(cosigned);
        Ok(())
    }

    /// What comes before whatever believes in the ledger's state: the size of the newest checkpoint, once witnesses saw it lately. What ends
    /// a spend is said in any case: it is worth nothing to anybody else.
    async fn before_asking(&self) -> Result<u64, LedgerError> {
        self.check_witnesses().await?;
        Ok(self.history.size())
    }

    /// Steps 1 to 3. `size_at_send` is the size of the newest checkpoint when the request was sent.
    async fn accept(&self, checkpoint: &Checkpoint, size_at_send: u64) -> Result<(), LedgerError> {
        if checkpoint.ledger_id != self.pins.ledger_id {
            return Err(LedgerError::IdentityMismatch);
        }
        checkpoint.verify(&self.pins.ledger_key).map_err(|_| LedgerError::CheckpointSignature)?;
        if checkpoint.log_size < size_at_send {
            self.history.contradicts(checkpoint);
            return Err(LedgerError::Rollback);
        }
        self.history.extend(checkpoint, |from, to| self.consistency(from, to)).await
    }

    async fn consistency(&self, from: u64, to: u64) -> Result<Vec<Bytes32>, LedgerError> {
        let path = format!("/v1/checkpoint?from={from}&to={to}");
        match self.transport.get::<CheckpointAnswer>(&path, ANSWER_BYTES_MAX).await {
            Ok(answer) => Ok(answer.consistency),
            // It signed both sizes.
            Err(LedgerError::NotFound) => Err(LedgerError::Rollback),
            Err(error) => Err(error),
        }
    }

    /// The entry that records a reservation whose proof or root differ from the request's: the same spend, proved before.
    async fn recorded_entry(&self, request: &ReserveRequest, index: u64) -> Result<ReserveEntry, LedgerError> {
        let page: LogPage = self.transport.get(&format!("/v1/log?from={index}&limit=1"), ANSWER_BYTES_MAX).await?;
        match page.entries.into_iter().next() {
            Some(LogEntry::Reserve(entry)) if checks::is_same_spend(&entry, request) => Ok(entry),
            _ => Err(LedgerError::InclusionInvalid),
        }
    }
}

impl Ledger for LedgerClient {
    async fn info(&self) -> Result<LedgerInfo, LedgerError> {
        let info = self.transport.get("/v1/ledger", ANSWER_BYTES_MAX).await?;
        verify_info(&info, &self.pins)?;
        Ok(info)
    }

    async fn redeem(&self, request: RedeemRequest) -> Result<RedeemResponse, LedgerError> {
        let size_at_send = self.before_asking().await?;
        let response = self.transport.post("/v1/vouchers/redeem", &request, ANSWER_BYTES_MAX).await?;
        checks::redeem(&self.pins.ledger_id, &request, &response)?;
        self.accept(&response.checkpoint, size_at_send).await?;
        Ok(response)
    }

    async fn reserve(&self, request: ReserveRequest) -> Result<Reservation, LedgerError> {
        let size_at_send = self.before_asking().await?;
        let reservation: Reservation = self.transport.post("/v1/spends", &request, ANSWER_BYTES_MAX).await?;
        if reservation.nullifier != request.nullifier {
            return Err(LedgerError::AnswerMismatch);
        }
        self.accept(&reservation.checkpoint, size_at_send).await?;
        let holds = |entry: ReserveEntry| {
            let Reservation { entry_index, inclusion, checkpoint, .. } = &reservation;
            let leaf = LogEntry::Reserve(entry).leaf_hash();
            verify_inclusion(leaf, *entry_index, checkpoint.log_size, inclusion, &checkpoint.log_root).is_ok()
        };
        if holds(request.entry()) || holds(self.recorded_entry(&request, reservation.entry_index).await?) {
            Ok(reservation)
        } else {
            Err(LedgerError::InclusionInvalid)
        }
    }

    async fn journal(&self, request: JournalRequest) -> Result<(), LedgerError> {
        let path = format!("/v1/spends/{}/journal", request.nullifier);
        let Nothing {} = self.transport.post(&path, &request, ANSWER_BYTES_MAX).await?;
        Ok(())
    }

    async fn settle(&self, request: SettleRequest) -> Result<SettleResponse, LedgerError> {
        let size_at_send = self.history.size();
        let path = format!("/v1/spends/{}/settle", request.nullifier);
        let response: SettleResponse = self.transport.post(&path, &request, ANSWER_BYTES_MAX).await?;
        if response.nullifier != request.nullifier || response.charge != request.charge {
            return Err(LedgerError::AnswerMismatch);
        }
        self.accept(&response.checkpoint, size_at_send).await?;
        checks::settlement_is_logged(&request, &response)?;
        Ok(response)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<ClaimResponse, LedgerError> {
        let size_at_send = self.before_asking().await?;
        let response: ClaimResponse = self.transport.post("/v1/claims", &request, ANSWER_BYTES_MAX).await?;
        checks::claim(&self.pins.ledger_id, &request, &response)?;
        self.accept(&response.checkpoint, size_at_send).await?;
        checks::is_logged(&response, LogEntry::Claim)?;
        Ok(response)
    }

    async fn merge(&self, request: MergeRequest) -> Result<MergeResponse, LedgerError> {
        let size_at_send = self.before_asking().await?;
        let response: MergeResponse = self.transport.post("/v1/merges", &request, ANSWER_BYTES_MAX).await?;
        checks::merge(&request, &response)?;
        self.accept(&response.checkpoint, size_at_send).await?;
        checks::is_logged(&response, LogEntry::Merge)?;
        Ok(response)
    }

    async fn stake(&self, request: StakeRequest) -> Result<StakeResponse, LedgerError> {
        let size_at_send = self.before_asking().await?;
        let response: StakeResponse = self.transport.post("/v1/stakes", &request, ANSWER_BYTES_MAX).await?;
        checks::stake(&request, &response)?;
        self.accept(&response.checkpoint, size_at_send).await?;
        checks::is_logged(&response, LogEntry::Stake)?;
        Ok(response)
    }

    async fn slash(&self, request: SlashRequest) -> Result<SlashResponse, LedgerError> {
        let size_at_send = self.before_asking().await?;
        let response: SlashResponse = self.transport.post("/v1/slashes", &request, ANSWER_BYTES_MAX).await?;
        checks::slash(&request, &response)?;
        self.accept(&response.checkpoint, size_at_send).await?;
        checks::is_logged(&response, LogEntry::Slash)?;
        Ok(response)
    }

    async fn rate(&self, request: RatingRequest) -> Result<RatingResponse, LedgerError> {
        let size_at_send = self.before_asking().await?;
        let response: RatingResponse = self.transport.post("/v1/ratings", &request, ANSWER_BYTES_MAX).await?;
        checks::rating(&request, &response)?;
        self.accept(&response.checkpoint, size_at_send).await?;
        checks::is_logged(&response, LogEntry::Rating)?;
        Ok(response)
    }

    async fn bond(&self, payee: Bytes32) -> Result<Bond, LedgerError> {
        self.transport.get(&format!("/v1/stakes/{payee}"), ANSWER_BYTES_MAX).await
    }

    async fn payee(&self, payee: Bytes32) -> Result<PayeeAccount, LedgerError> {
        self.transport.get(&format!("/v1/payees/{payee}"), ANSWER_BYTES_MAX).await
    }

    async fn log(&self, from: u64, limit: u32) -> Result<LogPage, LedgerError> {
        let size_at_send = self.before_asking().await?;
        let page: LogPage =
            self.transport.get(&format!("/v1/log?from={from}&limit={limit}"), LOG_PAGE_BYTES_MAX).await?;
        checks::page(&page, from, limit)?;
        self.accept(&page.checkpoint, size_at_send).await?;
        Ok(page)
    }

    async fn checkpoint(&self, from: u64) -> Result<CheckpointAnswer, LedgerError> {
        let size_at_send = self.before_asking().await?;
        let answer: CheckpointAnswer =
            self.transport.get(&format!("/v1/checkpoint?from={from}"), ANSWER_BYTES_MAX).await?;
        self.accept(&answer.checkpoint, size_at_send).await?;
        Ok(answer)
    }
}

/// `{}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

fn verify_info(info: &LedgerInfo, pins: &Pins) -> Result<(), LedgerError> {
    if info.version != LEDGER_VERSION {
        return Err(LedgerError::AnswerMalformed);
    }
    let is_consistent = info.ledger_id == ledger_id(info.ledger_key, info.vk_digest, info.merge_vk_digest());
    if is_consistent && Pins::from(info) == *pins { Ok(()) } else { Err(LedgerError::IdentityMismatch) }
}
