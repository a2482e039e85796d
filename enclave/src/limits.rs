//! Every limit of the guardian, named. A request beyond one gets the code written beside it.

use std::time::Duration;

/// Largest request body (`request.too_large`).
pub const REQUEST_BODY_BYTES_MAX: usize = 1 << 20;
/// Largest Oblivious HTTP envelope: such a body, its head, and what sealing adds.
pub const OHTTP_ENVELOPE_BYTES_MAX: usize = REQUEST_BODY_BYTES_MAX + (128 << 10);
/// Sealed parts of one request: chunks of an envelope, or frames.
pub const SEALED_PARTS_MAX: usize = 4096;
/// Largest answer that is sealed into one envelope (`ohttp.answer`); answers in chunks have no such limit.
pub const OHTTP_ANSWER_BYTES_MAX: usize = 9 << 20;
/// Largest sealed body of an EHBP request.
pub const EHBP_BODY_BYTES_MAX: usize = REQUEST_BODY_BYTES_MAX + (128 << 10);
/// Time to receive a whole request body (`request.timeout`).
pub const REQUEST_BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// What is taken and thrown away of an HTTP/1.1 request's body that nobody reads to its end, so that its sender gets to the answer; a
/// connection on which more is announced or comes is closed.
pub const REQUEST_REST_BYTES_MAX: u64 = 4 << 20;
/// Time for that, after [`REQUEST_BODY_TIMEOUT`] where that ended the reading.
pub const REQUEST_REST_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a connection to finish its TLS handshake (connection closed).
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections open at once, over all listeners; further ones wait in the accept queue of the kernel. Fewer, if the process may not
/// open two files for each (one is the engine's) and [`FILES_RESERVED`] more.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Connections that the kernel holds until they are accepted, for each listener (its own limit, `net.core.somaxconn`, may be lower).
/// A TCP client beyond that believes for seconds that it is connected, and is not; one over vsock is refused.
pub const ACCEPT_QUEUE: u16 = 4096;
/// Files for everything but clients and their requests.
pub const FILES_RESERVED: u64 = 256;
/// Time without any request after which a connection is closed; its place goes to another client.
pub const CONNECTION_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Time a closing connection gets to take its end.
pub const CONNECTION_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for an HTTP/1.1 client to send its request head (connection closed).
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest header block of one request: HTTP/1.1 answers 431, HTTP/2 resets the stream.
pub const HEADER_BYTES_MAX: u32 = 16 << 10;
/// Header fields of one HTTP/1.1 request (431).
pub const HEADERS_MAX: usize = 64;
/// Streams that an HTTP/2 client may reset before they were served, at one time ("rapid reset"); more end the connection.
pub const STREAM_RESETS_PENDING_MAX: usize = 32;
/// Frames that break the protocol after which an HTTP/2 connection is ended.
pub const STREAM_ERRORS_MAX: usize = 64;
/// Time between two pings of a quiet HTTP/2 connection.
pub const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Time for the answer of a ping (connection closed).
pub const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams one HTTP/2 connection may have open.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 64;
/// Attestation documents one connection may ask for (`attestation.rate`): a channel needs one; the rest is for re-attestation. An envelope
/// asks once; those of a relay's clients share a queue of their own, and its connection has [`STREAMS_PER_CONNECTION_MAX`].
pub const ATTESTATIONS_PER_CONNECTION_MAX: u32 = 16;
/// Time between the starts of two reports. Clients that ask meanwhile share the next one.
pub const ATTESTATION_BATCH_INTERVAL: Duration = Duration::from_millis(100);
/// Clients that one report answers; further ones get the next. A path in a tree of this size has ten hashes.
pub const ATTESTATION_BATCH_LEAVES_MAX: usize = 1024;
/// Clients that may wait for a report (`attestation.rate`).
pub const ATTESTATION_QUEUE_MAX: usize = 4096;
/// Time for the platform to produce one report (`attestation.unavailable`).
pub const ATTESTATION_TIMEOUT: Duration = Duration::from_secs(10);
/// Age at which the host is asked again for what the vendor says about this machine. Revocation lists and statements are issued
/// monthly and live longer; policies ask for lists of at most a week.
pub const COLLATERAL_AGE_MAX: Duration = Duration::from_secs(10 * 60);
/// Time after which it is asked again when it did not answer.
pub const COLLATERAL_PAUSE: Duration = Duration::from_secs(30);
/// Time for the host to answer that; after it, what it said before is handed out.
pub const COLLATERAL_TIMEOUT: Duration = Duration::from_secs(3);
/// How long it is asked about what it said nothing about before, which it may be fetching: less than [`ATTESTATION_TIMEOUT`].
pub const COLLATERAL_PATIENCE: Duration = Duration::from_secs(6);
/// Time between two such questions.
pub const COLLATERAL_RETRY: Duration = Duration::from_millis(500);
/// Age at which GPU evidence is handed out no more; without newer one the node ends.
pub const GPU_EVIDENCE_AGE_MAX: Duration = Duration::from_secs(9 * 60);
/// Age at which it is renewed.
pub const GPU_EVIDENCE_RENEWAL_AGE: Duration = Duration::from_secs(8 * 60);
/// Time between two questions what the driver says of the GPUs. With two tries of [`GPU_STATE_TIMEOUT`], or one and
/// [`GPU_EVENT_TIMEOUT`], a node stops within five seconds of a change.
pub const GPU_WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// See [`GPU_WATCH_INTERVAL`].
pub const GPU_STATE_TIMEOUT: Duration = Duration::from_secs(1);
/// Time in which GPUs must be attested again after a critical event.
pub const GPU_EVENT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for the driver to let GPUs take work, or no longer.
pub const GPU_READY_TIMEOUT: Duration = Duration::from_secs(3);
/// Open tabs at once (`tab.too_many`).
pub const TABS_MAX: usize = 10_000;
/// Spend proofs verified at once: one per core keeps junk proofs from starving requests (C12).
pub const PROOFS_CONCURRENT_MAX: usize = 2;
/// Spend proofs that are verified or wait for it (`tab.rate`): at a millisecond each, the last waits half a second.
pub const PROOFS_PENDING_MAX: usize = 1024;
/// Of these, so many of one connection (`tab.rate`): whoever sends junk waits for that junk first. An envelope counts as a connection.
pub const PROOFS_PENDING_PER_CONNECTION_MAX: usize = 4;
/// Requests in flight under one tab (`tab.busy`).
pub const REQUESTS_PER_TAB_MAX: u32 = 8;
/// Calls remembered per tab for idempotency (`tab.too_many_calls`): open another tab for more.
pub const CALLS_PER_TAB_MAX: usize = 4096;
/// How far a request signature's `created` may be from our clock, in seconds (`tab.signature`).
pub const SIGNATURE_SKEW_SECS_MAX: u64 = 600;
/// Messages in one chat request (`request.invalid`).
pub const MESSAGES_MAX: usize = 1024;
/// Choices (`n`) in one chat request (`request.invalid`).
pub const CHOICES_MAX: u64 = 4;
/// Alternatives per token (`top_logprobs`) in one chat request (`request.invalid`), as with OpenAI: an answer's size is bounded.
pub const TOP_LOGPROBS_MAX: u64 = 20;
/// The same (`logprobs`) in one text completion.
pub const COMPLETIONS_LOGPROBS_MAX: u64 = 5;
/// Texts that end an answer (`stop`, `request.invalid`), as with OpenAI, and the bytes of each.
pub const STOPS_MAX: usize = 4;
/// See [`STOPS_MAX`].
pub const STOP_BYTES_MAX: usize = 256;
/// Completion tokens of a text completion when the client names no maximum, as with OpenAI and vLLM.
pub const TEXT_COMPLETION_TOKENS_DEFAULT: u64 = 16;
/// Completion tokens of a chat when the client names no maximum.
pub const COMPLETION_TOKENS_DEFAULT: u64 = 512;
/// Prompt tokens added per message and per request when bounding a prompt before the engine has counted it: chat
/// templates add a handful of tokens per message and may add a system message of their own.
pub const TEMPLATE_TOKENS_PER_MESSAGE: u64 = 16;
/// See [`TEMPLATE_TOKENS_PER_MESSAGE`].
pub const TEMPLATE_TOKENS_BASE: u64 = 64;
/// Texts of one request for embeddings (`request.invalid`).
pub const EMBEDDING_INPUTS_MAX: usize = 256;
/// Bytes of an answer with embeddings (`request.invalid`): it is made and sent at once.
pub const EMBEDDINGS_BYTES_MAX: usize = 4 << 20;
/// Tokens that a model puts around each of them.
pub const EMBEDDING_TOKENS_PER_INPUT: u64 = 3;
/// Bytes of text in one answer of the Responses API, whose events repeat it (`engine.failed`).
pub const RESPONSE_BYTES_MAX: usize = 1 << 20;
/// What an item of such an answer counts for beside its text.
pub const RESPONSE_ITEM_BYTES: usize = 1024;
/// Pairs of `metadata` that an answer of the Responses API repeats, bytes of their names, and bytes of their values, as with OpenAI.
pub const METADATA_PAIRS_MAX: usize = 16;
/// See [`METADATA_PAIRS_MAX`].
pub const METADATA_KEY_BYTES_MAX: usize = 64;
/// See [`METADATA_PAIRS_MAX`].
pub const METADATA_VALUE_BYTES_MAX: usize = 512;
/// Largest plain response accepted from the engine.
pub const ENGINE_BODY_BYTES_MAX: usize = 8 << 20;
/// Largest answer of the engine to a question of the guardian's own, and largest refusal.
pub const ENGINE_SHORT_BYTES_MAX: usize = 64 << 10;
/// Largest single server-sent event accepted from the engine.
pub const ENGINE_EVENT_BYTES_MAX: usize = 1 << 20;
/// Bytes the engine may send in one stream (`engine.failed`): so many …
pub const ENGINE_BYTES_BASE: u64 = 1 << 20;
/// … and so many for each token that it may make, with its log probabilities.
pub const ENGINE_BYTES_PER_TOKEN: u64 = 32 << 10;
/// Events the engine may send in one stream (`engine.failed`): so many …
pub const ENGINE_EVENTS_BASE: u64 = 64;
/// … and so many for each token that it may make.
pub const ENGINE_EVENTS_PER_TOKEN: u64 = 4;
/// Completion tokens of a choice that may be charged beyond its bytes of text and its events.
pub const TOKENS_WITHOUT_TEXT: u64 = 16;
/// Time for the engine to accept a connection (`engine.unavailable`).
pub const ENGINE_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes that are taken from the engine at once, if they are there, and leave in one frame: what one TLS record holds.
pub const FRAME_BYTES_TOGETHER: usize = 16 << 10;
/// With a cadence, bytes of events that may wait for the next frame; more leave before their time.
pub const WAITING_BYTES_MAX: usize = 64 << 10;
/// Longest silence of the engine within one response (`engine.timeout`).
pub const ENGINE_IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// Time the engine gets to become ready at boot; then the process ends. Long, since emulated machines are slow, and nothing a
/// client waits for depends on it.
pub const ENGINE_READY_TIMEOUT: Duration = Duration::from_secs(300);
/// Time between two questions whether it is.
pub const ENGINE_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Seconds a client is asked to wait while the engine starts (`engine.starting`).
pub const ENGINE_STARTING_RETRY_SECS: u64 = 2;
/// Wrong answers to the canary's question, in a row, that stop the node, and the time between two tries.
pub const CANARY_TRIES: u32 = 3;
/// See [`CANARY_TRIES`].
pub const CANARY_PAUSE: Duration = Duration::from_millis(500);
/// Intervals without a right answer, while requests were served or the engine did not answer, after which new requests are told to come
/// again (`engine.starting`) until one is right.
pub const CANARY_UNPROVEN_MAX: u32 = 6;
/// Completion tokens of the canary's answer.
pub const CANARY_TOKENS_MAX: u64 = 256;
/// While streaming, a running total is journalled after this long …
pub const JOURNAL_INTERVAL: Duration = Duration::from_secs(10);
/// … or after this many further tokens, whichever comes first (decision 7).
pub const JOURNAL_TOKENS: u64 = 256;
/// Longest time a client may leave its answer unread; then it counts as gone.
pub const CLIENT_STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Time whoever took a receipt has to read it before its charge is journalled. Charges of that time are journalled together.
pub const JOURNAL_PAUSE: Duration = Duration::from_secs(1);
/// Time an error event gets to leave before its stream is broken off.
pub const LAST_WORDS_TIME: Duration = Duration::from_millis(100);
/// Time a connection gets to take the receipt before the charge is journalled all the same.
pub const RECEIPT_TAKEN_TIMEOUT: Duration = Duration::from_secs(5);
/// Answers held in memory for replay under their idempotency key, from their first byte on: each …
pub const REPLAY_BODY_BYTES_MAX: usize = 1 << 20;
/// … for this long …
pub const REPLAY_HELD: Duration = Duration::from_secs(600);
/// … and all together.
pub const REPLAY_TOTAL_BYTES_MAX: usize = 64 << 20;
/// Receipts held in memory; the oldest go first.
pub const RECEIPTS_HELD_MAX: usize = 10_000;
/// The same for receipts of refusals, which cost nothing.
pub const REFUSALS_HELD_MAX: usize = 1_000;
/// And of those of one tab, so that nobody makes others' give way.
pub const REFUSALS_PER_TAB_MAX: usize = 16;
/// Time without a witnessed head of the receipt log after which no work is taken (`log.unwitnessed`): a log that goes on elsewhere, or
/// was put back, is noticed within it.
pub const LOG_UNWITNESSED_MAX: Duration = Duration::from_secs(15);
/// Time after which the head is witnessed again although nothing was appended.
pub const LOG_HEARTBEAT: Duration = Duration::from_secs(5);
/// Time between two heads, at least.
pub const LOG_PAUSE: Duration = Duration::from_millis(200);
/// Time until the next try of what failed.
pub const LOG_RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Time for the log's keeper to answer, fsync included …
pub const LOG_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// … and with what witnesses say.
pub const LOG_COSIGN_TIMEOUT: Duration = Duration::from_secs(8);
/// Time in which the log must be there and witnessed at boot; then the try that is under way is the last.
pub const LOG_OPEN_TIMEOUT: Duration = Duration::from_secs(20);
/// Time between two looks whether the ledger's log is witnessed, if witnesses of it are configured.
pub const LEDGER_LOOK_PAUSE: Duration = Duration::from_secs(5);
/// Time since a good look after which no work is taken (`ledger.unwitnessed`): a ledger that was put back or goes on elsewhere may pay nobody.
pub const LEDGER_UNWITNESSED_MAX: Duration = Duration::from_secs(30);
/// Time in which the ledger's log must be witnessed at boot, if witnesses of it are configured …
pub const LEDGER_WITNESSED_TIMEOUT: Duration = Duration::from_secs(20);
/// … and time until it is asked again.
pub const LEDGER_WITNESSED_PAUSE: Duration = Duration::from_secs(1);
/// Receipts that may wait to be logged (`log.unwitnessed`); each is some hundred bytes.
pub const LOG_PENDING_MAX: usize = 65_536;
/// Time that somebody who asks for a receipt's place in the log waits for it (`log.pending`).
pub const LOG_WAIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How far this node's clock may be behind the witnesses', in seconds.
pub const LOG_CLOCK_SKEW_SECS_MAX: u64 = 600;
/// Seconds a client is asked to wait while the log is not witnessed.
pub const LOG_RETRY_SECS: u64 = 5;
/// Entries of a log: a thousand a second for nine thousand years.
pub const LOG_ENTRIES_MAX: u64 = 1 << 48;
/// Witnesses that a configuration may name.
pub const LOG_WITNESSES_MAX: usize = tlog::quorum::WITNESSES_MAX;
/// Clients that may ask how the log grew at one time (`log.busy`).
pub const LOG_READERS_MAX: usize = 16;
/// And that may wait for their receipts to be in it.
pub const LOG_WAITERS_MAX: usize = 1024;
/// Clients that may wait for a report of the ACI protocol, which answers one client (`attestation.rate`).
pub const ACI_QUEUE_MAX: usize = 32;
/// The certificate's dates begin so long before boot, for clients whose clock is behind.
pub const CERTIFICATE_SKEW_SECS: u64 = 24 * 3600;
/// Latest time at which a node boots: the year 9000. X.509's dates end with 9999.
pub const CLOCK_SECS_MAX: u64 = 221_845_392_000;
/// Shortest time between two states that are published as metrics, in seconds.
pub const METRICS_INTERVAL_SECS_MIN: u64 = 10;
/// Readers of metrics at once, and the time each has.
pub const METRICS_READERS_MAX: usize = 4;
/// See [`METRICS_READERS_MAX`].
pub const METRICS_READER_TIMEOUT: Duration = Duration::from_secs(10);
/// Keyset lifetime from boot, in seconds (6 days; verifiers refuse more than 7).
pub const KEYSET_LIFETIME_SECS: u64 = 6 * 24 * 3600;
/// Time that streams which are broken off get for their last words.
pub const CUT_TIME: Duration = Duration::from_millis(500);
/// Time in-flight requests get to finish after SIGTERM.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a stop waits for tabs that are being opened, so that they are settled with the others.
pub const OPENING_TIMEOUT: Duration = Duration::from_secs(5);

/// Certificates that a public authority's chain may have.
pub const CERTIFICATES_MAX: usize = 8;
/// Bytes of one of them, DER.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
/// Time in which who has certificates made must answer.
pub const CERTIFICATE_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two questions while there is no certificate.
pub const CERTIFICATE_RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Between two questions while there is one: for its successor.
pub const CERTIFICATE_PAUSE: Duration = Duration::from_secs(3600);
