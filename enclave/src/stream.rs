//! Relay, hash and meter one answer.
//!
//! On entry a call holds part of a tab's reserve and the engine has started to answer. On exit the hold is charged (or given
//! back), the receipt is signed over the bytes that were sent, and the running total is on its way to the ledger.
//! Order matters: bytes → receipt → journal. A crash in between costs the operator, never the client.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use credits::{Credits, ModelOffer};
use http::{HeaderMap, HeaderName};
use http_body::Frame;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use crate::chunk::{EngineChunk, Kept};
use crate::endpoint::Endpoint;
use crate::engine_body::{Arrived, EngineBody};
use crate::inference::Usage;
use crate::limits::{
    CLIENT_STALL_TIMEOUT, ENGINE_IDLE_TIMEOUT, FRAME_BYTES_TOGETHER, JOURNAL_INTERVAL, JOURNAL_TOKENS, LAST_WORDS_TIME,
    RECEIPT_TAKEN_TIMEOUT,
};
use crate::messages::answer::MessageWords;
use crate::output::{Aborted, ChannelBody, FrameSender, Output, Sent};
use crate::problem::Problem;
use crate::receipt::{self, CallFacts, Metered, Outcome};
use crate::recount::Recount;
use crate::request::InferenceRequest;
use crate::responses::answer::ResponseWords;
use crate::settlement;
use crate::shaping::Shaping;
use crate::sse::{BadEvent, SseReader};
use crate::state::Guardian;
use crate::tabs::Hold;
use crate::telling::{Telling, Words};

/// Name of the trailer that carries the receipt.
pub const RECEIPT_TRAILER: HeaderName = HeaderName::from_static("cloister-receipt");

/// One call, admitted and forwarded.
pub struct Call {
    /// The guardian.
    pub guardian: Arc<Guardian>,
    /// What the call may cost.
    pub hold: Hold,
    /// What is known of it.
    pub facts: CallFacts,
    /// What was asked.
    pub request: InferenceRequest,
    /// Completion tokens the engine may make per choice.
    pub completion_tokens_max: u64,
    /// The model's prices.
    pub prices: ModelOffer,
}

/// A response body of known bytes and, if any, the receipt trailer.
pub fn replayed_body(bytes: Bytes, receipt: Option<&attestation::Receipt>) -> Body {
    let (tx, rx) = mpsc::channel(2);
    // Two frames fit the channel, so neither send can fail.
    let _ = tx.try_send(Ok(Frame::data(bytes)));
    if let Some(trailers) = receipt.and_then(trailers) {
        let _ = tx.try_send(Ok(Frame::trailers(trailers)));
    }
    Body::new(ChannelBody::whole(rx))
}

fn trailers(receipt: &attestation::Receipt) -> Option<HeaderMap> {
    let value = receipt::trailer_value(receipt)?;
    Some(HeaderMap::from_iter([(RECEIPT_TRAILER, value)]))
}

impl Call {
    /// Completion tokens of the whole answer that the client agreed to.
    fn completion_tokens_bound(&self) -> u64 {
        self.completion_tokens_max.saturating_mul(self.request.choices)
    }

    pub(crate) fn meter(&self, usage: Usage, recount: &Recount) -> Metered {
        let prompt_tokens = usage.prompt_tokens.min(self.request.prompt_tokens_bound);
        let completion_bound =
            self.completion_tokens_bound().min(recount.tokens_max(self.request.choices, self.request.stop_bytes));
        let completion_tokens = usage.completion_tokens.min(completion_bound);
        let cost = self.prices.cost(prompt_tokens, completion_tokens).unwrap_or(self.hold.amount());
        Metered { prompt_tokens, completion_tokens, cost: cost.min(self.hold.amount()) }
    }

    /// Serves an event stream.
    pub fn stream(self, engine_body: EngineBody) -> Body {
        let (output, channel) = Output::new(self.shaping());
        tokio::spawn(self.relay(engine_body, output));
        Body::new(channel)
    }

    /// What the answer is told as, if it was asked for in another form than a chat's.
    pub(crate) fn telling(&self) -> Option<Telling> {
        let CallFacts { chat_id, model, .. } = &self.facts;
        let words: Box<dyn Words> = match self.request.endpoint {
            Endpoint::Responses => {
                let (now, echo) = (self.guardian.clock.now().0, Arc::clone(&self.request.echo));
                Box::new(ResponseWords::new(chat_id, model, now, echo))
            }
            Endpoint::Messages => Box::new(MessageWords::new(chat_id, model)),
            Endpoint::Chat | Endpoint::Completions | Endpoint::Embeddings => return None,
        };
        Some(Telling::new(words, !self.request.stream))
    }

    pub(crate) fn shaping(&self) -> Shaping {
        Shaping::new(&self.guardian.config.shaping, self.request.obfuscate)
    }

    async fn relay(self, engine_body: EngineBody, mut output: Output) {
        let mut cut = self.hold.tab().cut.subscribe();
        let mut relay = Relay {
            call: &self,
            telling: self.telling(),
            usage: Usage::default(),
            recount: Recount::default(),
            delivered: (Usage::default(), Recount::default()),
            on_the_way: VecDeque::new(),
            finished: 0,
            usage_seen: false,
            event: Vec::new(),
            journalled: None,
            journalled_cost: Credits::ZERO,
        };
        let outcome = relay.run(engine_body, &mut output, &mut cut).await;
        let outcome = match outcome {
            Outcome::Complete => {
                let whole = self.meter(relay.usage, &relay.recount);
                self.finish(&mut output, &whole, relay.telling.as_mut()).await;
                self.settle_outcome(&mut output).await
            }
            Outcome::ClientAbort => (outcome, None),
            // What waits for the next frame is sent now or, when the client does not take it in time, never charged.
            Outcome::TabExpired | Outcome::UpstreamError => {
                let _ = tokio::time::timeout(RECEIPT_TAKEN_TIMEOUT, output.flush()).await;
                relay.note_delivered(&mut output);
                output.all_sent(RECEIPT_TAKEN_TIMEOUT).await;
                (outcome, None)
            }
        };
        relay.note_delivered(&mut output);
        let (usage, recount) =
            if outcome.0 == Outcome::Complete { (relay.usage, relay.recount) } else { relay.delivered };
        let metered = self.meter(usage, &recount);
        let cost = match outcome.0 {
            // A broken answer is not what was bought. What a running total already covers cannot be taken back.
            Outcome::UpstreamError => relay.journalled_cost,
            _ => metered.cost.max(relay.journalled_cost),
        };
        let metered = Metered { cost, ..metered };
        self.end(output, outcome, metered, true).await;
    }

    /// Sends the last events of a stream.
    async fn finish(&self, output: &mut Output, whole: &Metered, telling: Option<&mut Telling>) {
        let mut last = Vec::new();
        if let Some(telling) = telling {
            telling.end(whole, &mut last);
        } else {
            let none = Kept { choices: &[], members: &[] };
            if self.request.include_usage && self.chunk(none, Some(whole), &mut last).is_some() {
                output.say(&last);
            }
            last = b"data: [DONE]\n\n".to_vec();
        }
        output.say(&last);
        output.finish().await;
    }

    /// Whether a finished answer is complete: the client took all of it, or can fetch it again. The room for that is taken here, before
    /// anything is charged.
    pub(crate) async fn settle_outcome(&self, output: &mut Output) -> (Outcome, Option<OwnedSemaphorePermit>) {
        let room = output.replay_bytes().and_then(|bytes| u32::try_from(bytes).ok());
        let room =
            room.and_then(|bytes| Arc::clone(&self.guardian.work.replay_room).try_acquire_many_owned(bytes).ok());
        // Who can fetch it again need not be waited for.
        let time = if room.is_some() { RECEIPT_TAKEN_TIMEOUT } else { CLIENT_STALL_TIMEOUT };
        if !output.all_sent(time).await && room.is_none() {
            return (Outcome::ClientAbort, None);
        }
        output.commit_all();
        (Outcome::Complete, room)
    }

    pub(crate) async fn end(
        self,
        output: Output,
        (outcome, room): (Outcome, Option<OwnedSemaphorePermit>),
        metered: Metered,
        stream: bool,
    ) {
        let shaping = self.shaping();
        let Sent { tx, end, hasher, replay } = output.into_sent();
        let tab = Arc::clone(self.hold.tab());
        let signed = receipt::finish(&self.guardian, self.hold, &self.facts, outcome, metered, hasher.finish());
        let Ok((receipt, total, finished)) = signed else { return };
        match outcome {
            Outcome::Complete => {
                // Before anything is waited for: a client that was cut off asks again at once, and has paid.
                if let (Some(body), Some(room)) = (replay, room) {
                    finished.hold_replay(body.freeze(), stream, room);
                }
                end.mark_whole();
                if let Some(trailers) = trailers(&receipt) {
                    let sent = tx.send(Ok(Frame::trailers(trailers)));
                    let _ = tokio::time::timeout(RECEIPT_TAKEN_TIMEOUT, sent).await;
                }
            }
            // If it is only slow, it finds the body broken off.
            Outcome::ClientAbort => {}
            Outcome::UpstreamError => {
                fail(&tx, shaping, "engine.failed", "the engine failed; the rest costs nothing").await;
            }
            Outcome::TabExpired if self.guardian.is_draining() => {
                fail(&tx, shaping, "node.draining", "this node is stopping; use another one").await;
            }
            Outcome::TabExpired => fail(&tx, shaping, "tab.expired", "the tab reached its end").await,
        }
        // The receipt must be on its way before the ledger hears of the charge: wait until the connection has taken it.
        let _ = tokio::time::timeout(RECEIPT_TAKEN_TIMEOUT, tx.closed()).await;
        settlement::journal_soon(&self.guardian, &tab, total);
    }

    /// Makes one event of a stream. Nothing when it cannot be made.
    fn chunk(&self, choices: Kept<'_>, usage: Option<&Metered>, event: &mut Vec<u8>) -> Option<()> {
        let endpoint = self.request.endpoint;
        let usage = self.request.include_usage.then_some(usage);
        event.clear();
        event.extend_from_slice(b"data: ");
        self.say(endpoint.chunk_object(), choices, usage, event)?;
        event.extend_from_slice(b"\n\n");
        Some(())
    }

    /// Appends an answer or a part of one as JSON. `usage` is left out, is null, or has counts.
    pub(crate) fn say(
        &self,
        object: &'static str,
        choices: Kept<'_>,
        usage: Option<Option<&Metered>>,
        json: &mut Vec<u8>,
    ) -> Option<()> {
        let usage = usage.map(|metered| metered.map(UsageMember::from));
        let created = self.guardian.clock.now().0;
        let said = Said { id: &self.facts.chat_id, object, created, model: &self.facts.model, choices, usage };
        serde_json::to_writer(json, &said).ok()
    }
}

/// What the client gets, with OpenAI's members.
#[derive(Serialize)]
struct Said<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Kept<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<UsageMember>>,
}

#[derive(Serialize)]
struct UsageMember {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

impl From<&Metered> for UsageMember {
    fn from(metered: &Metered) -> Self {
        let (prompt_tokens, completion_tokens) = (metered.prompt_tokens, metered.completion_tokens);
        Self { prompt_tokens, completion_tokens, total_tokens: prompt_tokens.saturating_add(completion_tokens) }
    }
}

/// One error event, then a broken body: a client must not take what it has for the whole answer.
async fn fail(tx: &FrameSender, shaping: Shaping, code: &'static str, message: &str) {
    let problem = Problem::unavailable(code, 1, message);
    // OpenAI's clients go by the data, Anthropic's by the name.
    let event = format!("event: error\ndata: {}\n\n", json!({"type": "error", "error": problem.error_object()}));
    let last_words = Frame::data(shaping.frame(event.as_bytes()));
    let _ = tokio::time::timeout(RECEIPT_TAKEN_TIMEOUT, tx.send(Ok(last_words))).await;
    // A failing body makes the HTTP library drop what it has not written yet; the event must be out before that.
    tokio::time::sleep(LAST_WORDS_TIME).await;
    let _ = tokio::time::timeout(RECEIPT_TAKEN_TIMEOUT, tx.send(Err(Aborted))).await;
}

struct Relay<'a> {
    call: &'a Call,
    telling: Option<Telling>,
    usage: Usage,
    recount: Recount,
    /// Usage and recount of what was sent.
    delivered: (Usage, Recount),
    /// The same of what was put, with the number of its last frame.
    on_the_way: VecDeque<(u64, (Usage, Recount))>,
    finished: u64,
    usage_seen: bool,
    /// The event that is being made.
    event: Vec<u8>,
    journalled: Option<(Instant, u64)>,
    journalled_cost: Credits,
}

enum Step {
    Continue,
    Done,
    Failed,
}

impl Relay<'_> {
    async fn run(&mut self, mut body: EngineBody, output: &mut Output, cut: &mut watch::Receiver<bool>) -> Outcome {
        let mut reader = SseReader::default();
        // The first event does not wait for others.
        let mut together = 1;
        let tx = output.sender();
        // Made once: what is made anew for each event costs more than the event.
        let mut cut = pin!(cut.wait_for(|cut| *cut));
        let mut left = pin!(tx.closed());
        let mut silence = pin!(tokio::time::sleep(ENGINE_IDLE_TIMEOUT));
        let mut heard = tokio::time::Instant::now();
        self.journalled = Some((Instant::now(), 0));
        loop {
            let arrived = tokio::select! {
                biased;
                _ = &mut cut => return Outcome::TabExpired,
                () = &mut left => return Outcome::ClientAbort,
                () = output.due() => None,
                arrived = body.next(together) => Some(arrived),
                () = &mut silence => {
                    let until = heard + ENGINE_IDLE_TIMEOUT;
                    if tokio::time::Instant::now() >= until {
                        return Outcome::UpstreamError;
                    }
                    silence.as_mut().reset(until);
                    continue;
                }
            };
            let Some(arrived) = arrived else {
                if output.tick().await.is_err() {
                    return Outcome::ClientAbort;
                }
                self.note_delivered(output);
                continue;
            };
            heard = tokio::time::Instant::now();
            let Arrived::Bytes(data) = arrived else { return Outcome::UpstreamError };
            self.recount.bytes(data.len());
            if self.recount.is_too_much(self.call.completion_tokens_bound()) {
                return Outcome::UpstreamError;
            }
            reader.feed(&data);
            let step = loop {
                match reader.next_event() {
                    Ok(Some(data)) => match self.relay_event(data, output) {
                        Step::Continue if output.is_full() => {
                            if output.flush().await.is_err() {
                                return Outcome::ClientAbort;
                            }
                            self.note_delivered(output);
                        }
                        Step::Continue => {}
                        end => break end,
                    },
                    Ok(None) => break Step::Continue,
                    Err(BadEvent) => break Step::Failed,
                }
            };
            match step {
                Step::Continue => {}
                Step::Done => return self.verdict(),
                Step::Failed => return Outcome::UpstreamError,
            }
            if output.send_ready().await.is_err() {
                return Outcome::ClientAbort;
            }
            self.note_delivered(output);
            together = FRAME_BYTES_TOGETHER;
            if self.is_journal_due() {
                // What is journalled was noted before it is waited for.
                tokio::select! {
                    biased;
                    _ = &mut cut => return Outcome::TabExpired,
                    () = self.journal() => {}
                }
            }
        }
    }

    /// `[DONE]` alone proves nothing: vLLM sends it after a crash too. Every choice must have finished and usage be known.
    fn verdict(&self) -> Outcome {
        let complete = self.usage_seen && self.finished >= self.call.request.choices;
        if complete { Outcome::Complete } else { Outcome::UpstreamError }
    }

    fn relay_event(&mut self, data: &str, output: &mut Output) -> Step {
        if data == "[DONE]" {
            return Step::Done;
        }
        let Ok(chunk) = EngineChunk::parse_event(data) else { return Step::Failed };
        if chunk.is_error() {
            return Step::Failed;
        }
        let choices = chunk.choices();
        self.recount.event();
        if self.recount.is_too_much(self.call.completion_tokens_bound()) {
            return Step::Failed;
        }
        let finishes = choices.iter().filter(|choice| choice.is_finished()).count();
        if let Some(usage) = chunk.usage() {
            self.usage = usage;
            self.usage_seen |= chunk.has_usage();
        } else {
            // An engine that reports nothing per chunk made at least one token for it.
            let made = u64::from(!choices.is_empty());
            self.usage.completion_tokens = self.usage.completion_tokens.saturating_add(made);
        }
        if choices.is_empty() {
            return Step::Continue;
        }
        let kept = Kept { choices, members: self.call.request.endpoint.chunk_choice_members() };
        self.event.clear();
        let told = match &mut self.telling {
            Some(telling) => telling.tell(choices, &mut self.event).ok(),
            None => kept.text_bytes().ok().filter(|_| self.call.chunk(kept, None, &mut self.event).is_some()),
        };
        let Some(text_bytes) = told else { return Step::Failed };
        // What tells nothing is no event of the client's.
        if !self.event.is_empty() {
            self.recount.relayed(text_bytes);
            output.say(&self.event);
        }
        self.finished = self.finished.saturating_add(u64::try_from(finishes).unwrap_or(0));
        Step::Continue
    }

    /// What is counted so far is on its way, unless some of it waits for the next frame; and what was on its way may be sent.
    fn note_delivered(&mut self, output: &mut Output) {
        if output.is_flushed() {
            let counted = (output.put(), (self.usage, self.recount));
            self.on_the_way.retain(|(frame, _)| *frame != counted.0);
            self.on_the_way.push_back(counted);
        }
        let sent = output.sent();
        while let Some((_, counts)) = self.on_the_way.pop_front_if(|(frame, _)| *frame <= sent) {
            self.delivered = counts;
        }
    }

    fn is_journal_due(&self) -> bool {
        let Some((last, tokens)) = self.journalled else { return false };
        let made = self.delivered.0.completion_tokens;
        last.elapsed() >= JOURNAL_INTERVAL || made.saturating_sub(tokens) >= JOURNAL_TOKENS
    }

    /// Journals what was sent, and no more: it is charged whatever happens next.
    async fn journal(&mut self) {
        let (usage, recount) = self.delivered;
        self.journalled = Some((Instant::now(), usage.completion_tokens));
        self.journalled_cost = self.call.meter(usage, &recount).cost.max(self.journalled_cost);
        let total = self.call.hold.total_with(self.journalled_cost);
        settlement::journal(&self.call.guardian, self.call.hold.tab(), total).await;
    }
}
