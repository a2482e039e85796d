//! A client that goes by witnesses, in front of ledgers that were put back, go on twice, or are not watched.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use attestation::{Clock, ReceiptKey, UnixTime};
use credits::{Bytes32, Ledger, LedgerError, LogEntry};
use ledger::{DurableLedger, WitnessedHead};
use ledger_client::{ConnectError, Known, LedgerClient, Pins, WITNESSED_FOR, Watch};
use support::*;
use tlog::ledger_log::{ledger_head_note, ledger_log_key};
use tlog::{Checkpoint, Cosigner, Quorum};
use tokio::net::TcpListener;

const NOW: u64 = 1_800_000_000;
const PATIENCE: Duration = Duration::from_millis(300);

/// The reader's clock.
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> UnixTime {
        UnixTime(self.0.load(Ordering::SeqCst))
    }
}

/// A ledger, three witnesses of whom two are needed, and what is published of what they said.
struct Watched {
    world: World<DurableLedger>,
    published: WitnessedHead,
    witnesses: Vec<Cosigner>,
    clock: Arc<Hand>,
    url: String,
}

impl Watched {
    async fn start() -> Self {
        let world = redb().await;
        let published = WitnessedHead::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = ledger::router(DurableLedger::clone(&world.ledger), support::published(), published.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let cosigner = |seed| Cosigner::new(&format!("w{seed}"), ReceiptKey::from_seed(&[seed; 32]).unwrap()).unwrap();
        let clock = Arc::new(Hand(AtomicU64::new(NOW)));
        Self { world, published, witnesses: [1, 2, 3].map(cosigner).into(), clock, url }
    }

    /// A head of this log, or of another's, cosigned by so many.
    fn cosigned(&self, head: Checkpoint, witnesses: usize) -> String {
        let key = ledger_log_key(&self.world.info.ledger_id, &ledger_key().public()).unwrap();
        let note = ledger_head_note(&head, &key, |text| ledger_key().sign(text).0);
        let (text, time) = (head.text(key.name()), UnixTime(NOW));
        note + &self.witnesses.iter().take(witnesses).map(|witness| witness.cosign(&text, time)).collect::<String>()
    }

    async fn head(&self) -> Checkpoint {
        let head = self.world.ledger.log_head().await.unwrap();
        Checkpoint { size: head.size, root: head.root }
    }

    /// Witnesses see the log as it is.
    async fn witness(&self) {
        self.published.publish(self.cosigned(self.head().await, 2));
    }

    async fn connect(&self) -> Result<LedgerClient, LedgerError> {
        let keys = self.witnesses.iter().map(|witness| witness.public().clone()).collect();
        let quorum = Quorum::new(keys, 2).unwrap();
        let watch = Some(Watch { quorum, clock: self.clock.clone(), patience: PATIENCE });
        let known = Known { watch, ..Known::default() };
        match LedgerClient::connect_known(&self.url, Pins::from(&self.world.info), known).await {
            Ok(client) => Ok(client),
            Err(ConnectError::Ledger(error)) => Err(error),
            Err(other) => panic!("{other}"),
        }
    }

    async fn refused(&self) -> LedgerError {
        self.connect().await.map(|_| ()).unwrap_err()
    }
}

/// What was witnessed is old enough to be asked about again.
async fn later() {
    tokio::time::pause();
    tokio::time::advance(WITNESSED_FOR).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_state_that_continues_what_witnesses_saw_is_gone_by() {
    let watched = Watched::start().await;
    assert_eq!(watched.refused().await, LedgerError::Unwitnessed, "nobody cosigned anything yet");
    // An empty log can be witnessed as well.
    watched.witness().await;
    watched.connect().await.unwrap();
    watched.world.mint(1, 100).await;
    assert_eq!(watched.refused().await, LedgerError::Unwitnessed, "what is shown first was not witnessed yet");
    // It is a moment later, and that is waited for.
    let soon = async {
        tokio::time::sleep(PATIENCE / 3).await;
        watched.witness().await;
    };
    let (client, ()) = tokio::join!(watched.connect(), soon);
    let client = client.unwrap();
    watched.world.mint(2, 100).await;
    assert_eq!(client.log(0, 10).await.unwrap().entries.len(), 2, "what came after the witnessed head is proved to");
}

/// Witnesses cosign one head as often as they are asked. If that were enough, a ledger could go on in two ways behind an old one.
#[tokio::test]
async fn a_ledger_whose_growth_is_not_witnessed_is_given_up() {
    let watched = Watched::start().await;
    watched.world.mint(1, 100).await;
    watched.witness().await;
    let client = watched.connect().await.unwrap();
    let spend = watched.world.spend(1, 10).await;
    client.reserve(spend).await.unwrap();
    // The head is as new as can be, but does not cover what was accepted.
    later().await;
    assert_eq!(client.checkpoint(0).await.map(|_| ()), Err(LedgerError::Unwitnessed));
    assert_eq!(watched.refused().await, LedgerError::Unwitnessed, "nor does anybody begin with it");
    watched.witness().await;
    client.checkpoint(0).await.unwrap();
    watched.connect().await.unwrap();
}

#[tokio::test]
async fn what_too_few_cosigned_or_cosigned_long_ago_is_not_gone_by() {
    let watched = Watched::start().await;
    watched.world.mint(1, 100).await;
    watched.published.publish(watched.cosigned(watched.head().await, 1));
    assert_eq!(watched.refused().await, LedgerError::Unwitnessed);
    watched.published.publish("nonsense".to_owned());
    assert_eq!(watched.refused().await, LedgerError::Unwitnessed);
    watched.witness().await;
    watched.connect().await.unwrap();
    for time in [NOW + 61, NOW - 61] {
        watched.clock.0.store(time, Ordering::SeqCst);
        assert_eq!(watched.refused().await, LedgerError::Unwitnessed);
    }
}

/// Witnesses say the truth about the newest state; the ledger shows an older one, or another.
#[tokio::test]
async fn a_ledger_that_does_not_continue_the_witnessed_state_is_refused() {
    let (honest, other) = (Watched::start().await, Watched::start().await);
    for number in 1..=5 {
        honest.world.mint(number, 100).await;
    }
    other.world.mint(1, 100).await;
    other.published.publish(honest.cosigned(honest.head().await, 2));
    assert_eq!(other.refused().await, LedgerError::Rollback, "it has fewer entries");
    for number in 6..=9 {
        other.world.mint(number, 100).await;
    }
    assert_eq!(other.refused().await, LedgerError::Fork, "as many, and others");
    other.world.mint(10, 100).await;
    assert_eq!(other.refused().await, LedgerError::Fork, "more, and others");
}

#[tokio::test]
async fn witnesses_are_asked_again_before_a_state_is_believed() {
    let (watched, other) = (Watched::start().await, Watched::start().await);
    watched.world.mint(1, 100).await;
    watched.witness().await;
    let client = watched.connect().await.unwrap();
    let spend = watched.world.spend(1, 10).await;
    watched.clock.0.store(NOW + 61, Ordering::SeqCst);
    // What was found a moment ago holds for a while.
    client.checkpoint(0).await.unwrap();
    client.reserve(spend.clone()).await.unwrap();
    later().await;
    let (journal, settle) = (watched.world.journal(&spend, 3), watched.world.settle(&spend, 5));
    assert_eq!(client.checkpoint(0).await.map(|_| ()), Err(LedgerError::Unwitnessed));
    assert_eq!(client.log(0, 10).await.map(|_| ()), Err(LedgerError::Unwitnessed));
    assert_eq!(client.reserve(watched.world.spend(1, 10).await).await.map(|_| ()), Err(LedgerError::Unwitnessed));
    // What ends a spend is said in any case.
    client.journal(journal).await.unwrap();
    client.settle(settle).await.unwrap();
    watched.clock.0.store(NOW, Ordering::SeqCst);
    watched.witness().await;
    let entries = client.log(0, 10).await.unwrap().entries;
    assert!(matches!(entries.last(), Some(LogEntry::Settle(_))), "{entries:?}");
    // Witnesses who saw another log than this client: one of the two is a fork.
    later().await;
    for number in 5..=8 {
        other.world.mint(number, 100).await;
    }
    watched.published.publish(watched.cosigned(other.head().await, 2));
    assert_eq!(client.checkpoint(0).await.map(|_| ()), Err(LedgerError::Fork));
}

#[tokio::test]
async fn the_witnessed_head_is_of_this_ledger() {
    let watched = Watched::start().await;
    watched.world.mint(1, 100).await;
    let key = ledger_log_key(&Bytes32([0; 32]), &ledger_key().public()).unwrap();
    let head = watched.head().await;
    let note = ledger_head_note(&head, &key, |text| ledger_key().sign(text).0);
    let lines = watched.witnesses.iter().map(|witness| witness.cosign(&head.text(key.name()), UnixTime(NOW)));
    watched.published.publish(note + &lines.collect::<String>());
    assert_eq!(watched.refused().await, LedgerError::Unwitnessed);
    // What the ledger itself signs for witnesses is what its clients look for.
    let own = watched.world.ledger.log_head().await.unwrap();
    let key = ledger_log_key(&watched.world.info.ledger_id, &ledger_key().public()).unwrap();
    assert_eq!(Checkpoint::open(&own.note, &key), Ok(head));
}
