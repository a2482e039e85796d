//! The store on disk when the power fails at some sync, when a sync reports an error, and when the disk is full.
//!
//! Whatever survives of the writes since the last sync, after a restart every operation that was acknowledged is there, the
//! log extends every checkpoint that was signed, the operation that was under way can be repeated, and no credit is made or
//! lost. Recovery itself may be cut off too.
//!
//! Not covered: a disk that forgets synced writes, or acknowledges a sync it did not do.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use credits::merkle::verify_consistency;
use credits::{Checkpoint, Ledger, LedgerError};
use ledger::{DurableLedger, OpenLedger, ServeError, StoreError, WitnessedHead};
use redb::Database;
use support::disk::{Disk, Fault, Seeded};
use support::oracle::{Action, Call, Oracle, send};
use support::stakes::Standing;
use support::*;
use tokio::net::TcpListener;

/// Power failures in an ordinary run and in a long one.
const IMAGES: u64 = 200;
const NIGHTLY_IMAGES: u64 = 100_000;
/// Errors other than power failures, in an ordinary run.
const ERRORS: u64 = 40;
/// Faults at different moments of one schedule.
const FAULTS_PER_SCHEDULE: u64 = 8;
const STEPS: usize = 14;
/// Spends that are reserved side by side, so that they share transactions.
const BURST: usize = 4;

/// What one seed does: calls that may be sent side by side, then the next ones.
fn schedule(seed: &mut Seeded) -> Vec<Vec<Action>> {
    let number = |seed: &mut Seeded| usize::try_from(seed.below(1 << 16)).unwrap();
    let mut steps = vec![vec![Action::Mint { value: seed.below(1 << 16), notes: 2 }]; 2];
    for _ in 0..STEPS {
        steps.push(match seed.below(15) {
            0 => vec![Action::Mint { value: seed.below(1 << 16), notes: 1 }],
            1..=3 => (0..BURST).map(|_| Action::Reserve { note: number(seed), c_max: seed.below(1 << 16) }).collect(),
            4 | 5 => vec![Action::Journal { spend: number(seed), total: seed.below(1 << 16) }],
            6 | 7 => vec![Action::Settle { spend: number(seed), charge: seed.below(1 << 16) }],
            8 => vec![Action::Claim { value: seed.below(1 << 16), before: seed.below(4) }],
            9 => vec![Action::Advance { secs: seed.below(700) }],
            10 => vec![Action::Merge { first: number(seed), second: number(seed) }],
            11..=13 => vec![Action::Standing(Standing::any(seed))],
            _ => vec![Action::Finalise],
        });
    }
    steps
}

struct Run {
    disk: Disk,
    ledger: Option<DurableLedger>,
    clock: Arc<TestClock>,
    oracle: Oracle,
    seen: Checkpoint,
    seed: Seeded,
    restarts: u64,
}

/// The image of a ledger that was made and never used.
fn new_image() -> Vec<u8> {
    let disk = Disk::new(Vec::new(), Fault::None, Seeded::new(0));
    drop(open(&disk, TestClock::new()).unwrap());
    disk.image()
}

fn open(disk: &Disk, clock: Arc<TestClock>) -> Result<DurableLedger, StoreError> {
    let mut builder = Database::builder();
    builder.set_cache_size(1 << 20);
    let database = builder
        .create_with_backend(disk.clone())
        .map_err(|error| StoreError::Database { doing: "open", source: Box::new(error) })?;
    DurableLedger::over_database(database, identity(), FakeProofs, clock)
}

impl Run {
    async fn start(image: Vec<u8>, fault: Fault, seed: Seeded) -> Self {
        let disk = Disk::new(image, fault, seed.clone());
        let clock = TestClock::new();
        let oracle = Oracle::new(identity().info().clone(), START);
        let empty = Disk::new(new_image(), Fault::None, Seeded::new(0));
        let seen = open(&empty, clock.clone()).unwrap().checkpoint(0).await.unwrap().checkpoint;
        let ledger = open(&disk, clock.clone()).ok();
        let mut run = Self { disk, ledger, clock, oracle, seen, seed, restarts: 0 };
        if run.ledger.is_none() {
            run.restart().await;
        }
        run
    }

    async fn step(&mut self, actions: &[Action]) {
        let before = self.oracle.now();
        let planned: Vec<_> = actions.iter().filter_map(|action| self.oracle.plan(*action)).collect();
        while !self.is_answered(&planned).await {
            self.restart().await;
        }
        self.clock.advance(self.oracle.now() - before);
    }

    /// Sends the calls side by side. False when the ledger went down before all were answered; the answers that were given
    /// are the ones that were owed in any case.
    async fn is_answered(&mut self, planned: &[(Call, Result<(), LedgerError>)]) -> bool {
        let ledger = self.ledger.clone().expect("the ledger is up");
        let sent: Vec<_> = planned
            .iter()
            .map(|(call, expected)| {
                let (ledger, call, expected) = (ledger.clone(), call.clone(), expected.clone());
                tokio::spawn(async move { (send(&ledger, call).await, expected) })
            })
            .collect();
        let mut all_answered = true;
        for answer in sent {
            match answer.await.unwrap() {
                (Err(LedgerError::Unavailable), _) => all_answered = false,
                (answer, expected) => assert_eq!(answer, expected),
            }
        }
        match ledger.checkpoint(0).await {
            Ok(answer) => self.seen = answer.checkpoint,
            Err(LedgerError::Unavailable) => all_answered = false,
            Err(error) => panic!("{error}"),
        }
        all_answered
    }

    /// Takes what is on the disk and opens it again; every other time that is cut off as well.
    async fn restart(&mut self) {
        if let Some(ledger) = self.ledger.take() {
            let error = ledger.failed().await;
            assert!(matches!(*error, StoreError::Database { .. }), "{}", error.chain());
        }
        self.restarts += 1;
        loop {
            let fault = match self.seed.below(2) {
                0 if self.restarts < 4 => Fault::PowerAtSync(1 + self.seed.below(4)),
                _ => Fault::None,
            };
            self.disk = Disk::new(self.disk.image(), fault, self.seed.clone());
            match open(&self.disk, self.clock.clone()) {
                Ok(ledger) => {
                    self.ledger = Some(ledger);
                    break;
                }
                Err(error) => {
                    assert!(self.disk.is_down(), "what is left of the ledger cannot be opened: {}", error.chain());
                    self.restarts += 1;
                }
            }
        }
        self.check_extends_what_was_seen().await;
    }

    async fn check_extends_what_was_seen(&self) {
        let Some(ledger) = &self.ledger else { return };
        let old = &self.seen;
        match ledger.checkpoint(old.log_size).await {
            Ok(answer) => {
                let new = &answer.checkpoint;
                let proof = &answer.consistency;
                verify_consistency(old.log_size, new.log_size, proof, &old.log_root, &new.log_root).unwrap();
            }
            Err(error) => assert_eq!(error, LedgerError::Unavailable, "the log is shorter than a signed checkpoint"),
        }
    }

    async fn finish(mut self) -> u64 {
        let mut ledger = self.ledger.take().expect("the ledger is up");
        self.oracle.audit(&ledger).await;
        self.oracle.audit_sums(&ledger).await;
        // Once more from what is on disk alone.
        drop(ledger);
        ledger = open(&Disk::new(self.disk.image(), Fault::None, Seeded::new(0)), self.clock.clone()).unwrap();
        self.oracle.audit(&ledger).await;
        self.oracle.audit_sums(&ledger).await;
        self.restarts
    }
}

/// Syncs and writes of a schedule when nothing goes wrong.
async fn undisturbed(image: &[u8], seed: &Seeded, steps: &[Vec<Action>]) -> (u64, u64) {
    let mut run = Run::start(image.to_vec(), Fault::None, seed.clone()).await;
    for step in steps {
        run.step(step).await;
    }
    let counts = (run.disk.syncs(), run.disk.writes());
    assert_eq!(run.finish().await, 0);
    counts
}

/// One schedule, [`FAULTS_PER_SCHEDULE`] times disturbed. Returns the number of restarts.
async fn disturbed(image: &[u8], number: u64, fault: impl Fn(&mut Seeded, u64, u64) -> Fault) -> u64 {
    let mut seed = Seeded::new(number);
    let steps = schedule(&mut seed);
    let (syncs, writes) = undisturbed(image, &seed, &steps).await;
    let mut restarts = 0;
    for _ in 0..FAULTS_PER_SCHEDULE {
        let fault = fault(&mut seed, syncs, writes);
        let mut run = Run::start(image.to_vec(), fault, seed.clone()).await;
        for step in &steps {
            run.step(step).await;
        }
        // How a burst is grouped varies from run to run, and with it the number of syncs: a late fault may still be to come.
        while run.restarts == 0 {
            run.step(&[Action::Mint { value: 1, notes: 0 }]).await;
        }
        restarts += run.finish().await;
    }
    restarts
}

/// Runs numbered cases on two threads and sums their restarts; a failing one is named.
fn cases(count: u64, case: impl Fn(&[u8], u64) -> u64 + Sync) -> u64 {
    let image = new_image();
    let restarts = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (image, case, restarts) = (&image, &case, &restarts);
            scope.spawn(move || {
                for number in (half..count).step_by(2) {
                    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(image, number)));
                    let count = result.unwrap_or_else(|_| panic!("case {number} failed"));
                    restarts.fetch_add(count, Ordering::SeqCst);
                }
            });
        }
    });
    restarts.into_inner()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn power_failures(count: u64) {
    let restarts = cases(count / FAULTS_PER_SCHEDULE, |image, number| {
        block_on(disturbed(image, number, |seed, syncs, _| Fault::PowerAtSync(1 + seed.below(syncs))))
    });
    assert!(restarts >= count, "{restarts}");
}

#[test]
fn power_failures_lose_nothing_that_was_acknowledged() {
    power_failures(IMAGES);
}

#[test]
fn nightly_power_failures() {
    power_failures(NIGHTLY_IMAGES);
}

#[test]
fn errors_of_the_disk_stop_the_ledger_and_lose_nothing() {
    let restarts = cases(ERRORS / FAULTS_PER_SCHEDULE, |image, number| {
        block_on(disturbed(image, number, |seed, syncs, writes| match seed.below(2) {
            0 => Fault::SyncError(1 + seed.below(syncs)),
            _ => Fault::FullAtWrite(1 + seed.below(writes)),
        }))
    });
    assert!(restarts >= ERRORS, "{restarts}");
}

/// The service ends with an error, so that its process does, and every call until then is told that nothing is known.
#[test]
fn the_service_ends_when_its_store_fails() {
    block_on(async {
        let image = new_image();
        let undisturbed = Disk::new(image.clone(), Fault::None, Seeded::new(1));
        let opened = open(&undisturbed, TestClock::new()).unwrap();
        let mint = |oracle: &mut Oracle| oracle.plan(Action::Mint { value: 10, notes: 0 }).unwrap().0;
        send(&opened, mint(&mut Oracle::new(identity().info().clone(), START))).await.unwrap();
        // The first sync after the first commit fails.
        let disk = Disk::new(image, Fault::SyncError(undisturbed.syncs() + 1), Seeded::new(1));
        drop(opened);
        let ledger = open(&disk, TestClock::new()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let params = published();
        let opened = OpenLedger { ledger: ledger.clone(), params, witnessed: WitnessedHead::default() };
        let service = tokio::spawn(ledger::serve(listener, opened, std::future::pending()));
        let mut oracle = Oracle::new(identity().info().clone(), START);
        let mut answers = Vec::new();
        for _ in 0..4 {
            let call = mint(&mut oracle);
            answers.push(send(&ledger, call).await);
        }
        assert_eq!(answers[0], Ok(()), "the first commit was whole");
        assert_eq!(answers[1..], [const { Err(LedgerError::Unavailable) }; 3]);
        assert_eq!(ledger.checkpoint(0).await.map(|_| ()), Err(LedgerError::Unavailable));
        let ended = service.await.unwrap().unwrap_err();
        assert!(matches!(ended, ServeError::Store(_)), "{ended}");
    });
}
