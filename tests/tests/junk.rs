//! Keys that mean nothing, a great many of them: the guardian keeps nothing of each, and others are served meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use acceptance::clock::WallClock;
use acceptance::measure::{Attackers, at_most_twice, honest_percentile, resident_kib};
use acceptance::payer::{CHAT, Payer};
use acceptance::{World, raw};
use attestation::{Clock, Sha256Digest};
use bytes::Bytes;
use credits::wallet::PreparedSpend;
use credits::{Nullifier, OpenTabRequest, SpendProof, TabKey, sign_request};
use http::Request;
use serde_json::json;

/// Requests of one run, in an ordinary and in a long one.
const JUNK: usize = 20_000;
const NIGHTLY_JUNK: usize = 1_000_000;

/// Time between two requests of a stranger while others are measured: some hundred a second. As fast as they come they take all computing
/// time of a small machine, and what others wait for is the machine.
const PAUSE: Duration = Duration::from_millis(5);

/// Sent before memory is measured: what is kept of the first ones is kept once (receipts of refusals are, so many and no more).
const FIRST: usize = 4_000;

/// Connections that send at one time, and requests of each, one after the other.
const STRANGERS: usize = 4;
const ON_ONE_CONNECTION: usize = 100;

/// What the guardian may grow by, however much there was: less than a kilobyte for each of the smaller number.
const GROWN_KIB_MAX: u64 = 8 << 10;

/// Honest requests beside it.
const HONEST: usize = 100;

/// Kinds of junk, and what each gets.
const KINDS: [&str; 6] = [
    "tab.unknown",
    "tab.malformed",
    "tab.key_mismatch",
    "tab.signature_malformed",
    "request.unknown_parameter",
    "spend.proof_malformed",
];

/// What is sent again and again in other words.
struct Junk {
    spend: PreparedSpend,
    spend_request: OpenTabRequest,
    stranger: TabKey,
}

impl Junk {
    /// The request with this number: no two have a key in common.
    fn request(&self, number: usize) -> Request<Bytes> {
        let random = Sha256Digest::of(&number.to_be_bytes());
        // Below the modulus, whichever end is the larger.
        let id: Nullifier = format!("00{}00", &random.to_hex()[2..62]).parse().unwrap();
        let (tab, key, idempotency) = (&self.spend.public.nullifier, &self.spend.tab_key, random.to_hex());
        let body = json!({"model": "smollm2-135m", "max_tokens": 4, "surprise": number,
            "messages": [{"role": "user", "content": "junk"}]})
        .to_string();
        let sign = |key: &TabKey, tab: &Nullifier| {
            sign_request(key, "POST", CHAT, tab, &idempotency, body.as_bytes(), WallClock.now().0)
        };
        let headers = match number % KINDS.len() {
            0 => sign(&self.stranger, &id),
            1 => {
                let mut headers = sign(key, tab);
                headers.cloister_tab = idempotency.chars().rev().take(63).collect();
                headers
            }
            2 => sign(&self.stranger, tab),
            3 => {
                let mut headers = sign(key, tab);
                headers.signature = format!("cloister=:{idempotency}:");
                headers
            }
            4 => sign(key, tab),
            _ => {
                let mut request = self.spend_request.clone();
                request.nullifier = id;
                request.proof = SpendProof::from_bytes([&[0xff; 96][..], &random.0].concat().try_into().unwrap());
                return raw::json_post("/v1/tabs", &[], serde_json::to_vec(&request).unwrap()).unwrap();
            }
        };
        raw::json_post(CHAT, &headers.pairs(), body.clone()).unwrap()
    }

    /// Sends some, each of which is refused as its kind is, and waits so long after each.
    async fn send(&self, port: u16, sent: &AtomicUsize, pause: Duration) {
        let mut line = raw::Line::open(port).await.unwrap();
        for _ in 0..ON_ONE_CONNECTION {
            let number = sent.fetch_add(1, Ordering::Relaxed);
            let answer = line.send(self.request(number)).await.unwrap();
            let expected = KINDS[number % KINDS.len()];
            assert_eq!(answer.code(), expected, "{number}: {}", answer.json());
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Of so much junk, beside which this percentile of honest requests is compared; what was found.
async fn junk_is_forgotten(count: usize, percent: usize) -> String {
    let world = tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap();
    let port = world.guardian_port();
    let mut payer = Payer::new(&world, 100_000).await.unwrap();
    let spend = payer.opened(4096, 3600).await.unwrap();
    let unspent = payer.prepare(4096, 3600).unwrap();
    let spend_request = payer.tab_request(&unspent).unwrap();
    let stranger = TabKey::from_seed(&[9; 32]);
    let junk = Arc::new(Junk { spend: spend.clone(), spend_request, stranger });
    let sent = Arc::new(AtomicUsize::new(0));
    let until = async |count: usize| {
        while sent.load(Ordering::Relaxed) < count {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let attackers = |pause: Duration| {
        let (junk, sent) = (Arc::clone(&junk), Arc::clone(&sent));
        Attackers::start(STRANGERS, move || {
            let (junk, sent) = (Arc::clone(&junk), Arc::clone(&sent));
            async move { junk.send(port, &sent, pause).await }
        })
    };
    let strangers = attackers(Duration::ZERO);
    until(FIRST).await;
    let memory = resident_kib(&world).unwrap();
    until(FIRST + count).await;
    assert_eq!(payer.chat(&spend, "honest", "hello", 4).await.unwrap().status.as_u16(), 200);
    tokio::task::block_in_place(|| strangers.stop()).unwrap();
    let beside = async || {
        let strangers = attackers(PAUSE);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let beside = honest_percentile(port, HONEST, percent).await;
        tokio::task::block_in_place(|| strangers.stop())?;
        beside
    };
    let found = at_most_twice(async || honest_percentile(port, HONEST, percent).await, beside).await.unwrap();
    let grown = resident_kib(&world).unwrap().saturating_sub(memory);
    let count = sent.load(Ordering::Relaxed) - FIRST;
    assert!(grown <= GROWN_KIB_MAX, "{grown} KiB more after {count} junk requests");
    // The one honest call is all that is charged.
    let settled = payer.close(&spend).await.unwrap().json();
    assert_eq!(settled["statement"]["requests"], 1, "{settled}");
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
    format!("{found}{grown} KiB more after {count} junk requests")
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_keys_take_no_memory_and_little_from_others() {
    println!("{}", junk_is_forgotten(JUNK, 90).await);
}

/// The slowest one in a hundred says something of the node only on a machine that does nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn nightly_a_million_junk_keys_take_no_memory_and_little_from_others() {
    println!("{}", junk_is_forgotten(NIGHTLY_JUNK, 99).await);
}
