//! The store on disk when the power fails at some sync, when a sync reports an error, and when the disk is full.
//!
//! Whatever survives of the writes since the last sync, after a restart every operation that was acknowledged is there, the
//! log extends every checkpoint that was signed, the operation that was under way can be repeated, and no credit is made or
//! lost. Recovery itself may be cut off too.
//!
//! No ledger survives a disk that acknowledges a sync it did not do: what it loses is noticed here.
//!
//! A failing run is told with the line that repeats it, for `crash/regressions.rs`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "crash/regressions.rs"]
mod regressions;
#[path = "crash/story.rs"]
mod story;
mod support;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use credits::merkle::verify_consistency;
use credits::{Checkpoint, Ledger, LedgerError};
use ledger::{DurableLedger, OpenLedger, ServeError, StoreError, WitnessedHead};
use redb::Database;
use regressions::{REGRESSIONS, Regression, TIMES};
use story::{Case, Heard, Story};
use support::disk::{Disk, Fault, Seeded};
use support::oracle::{Action, Call, Oracle, send};
use support::stakes::Standing;
use support::*;
use tokio::net::TcpListener;

/// Power failures in an ordinary run and in a long one.
const IMAGES: u64 = 2_000;
const NIGHTLY_IMAGES: u64 = 100_000;
/// Errors other than power failures, likewise.
const ERRORS: u64 = 40;
const NIGHTLY_ERRORS: u64 = 10_000;
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

struct Run<'a> {
    story: &'a Story,
    disk: Disk,
    ledger: Option<DurableLedger>,
    clock: Arc<TestClock>,
    oracle: Oracle,
    seen: Checkpoint,
    /// The size of the log when the calls of this attempt were sent.
    size_at_send: u64,
    seed: Seeded,
    restarts: u64,
    steps: usize,
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

/// Sends a call, and tells the size of the log that its transaction left, if the answer does.
async fn send_heard(ledger: &DurableLedger, call: Call, size_at_send: u64) -> Result<Heard, LedgerError> {
    match call {
        // What is sent in bursts.
        Call::Reserve(request) => {
            ledger.reserve(*request).await.map(|answer| match answer.entry_index < size_at_send {
                true => Heard::Repeated,
                false => Heard::Left(answer.checkpoint.log_size),
            })
        }
        call => send(ledger, call).await.map(|()| Heard::Answered),
    }
}

impl<'a> Run<'a> {
    async fn start(image: Vec<u8>, case: Case, story: &'a Story) -> Self {
        let seed = Seeded::new(case.survives);
        let disk = Disk::new(image, case.fault, seed.clone());
        let clock = TestClock::new();
        let oracle = Oracle::new(identity().info().clone(), START);
        let empty = Disk::new(new_image(), Fault::None, Seeded::new(0));
        let seen = open(&empty, clock.clone()).unwrap().checkpoint(0).await.unwrap().checkpoint;
        let ledger = open(&disk, clock.clone()).ok();
        let (size_at_send, restarts, steps) = (0, 0, 0);
        let mut run = Self { story, disk, ledger, clock, oracle, seen, size_at_send, seed, restarts, steps };
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
        self.steps += 1;
    }

    /// Sends the calls side by side. False when the ledger went down before all were answered; the answers that were given
    /// are the ones that were owed in any case.
    async fn is_answered(&mut self, planned: &[(Call, Result<(), LedgerError>)]) -> bool {
        let ledger = self.ledger.clone().expect("the ledger is up");
        let size_at_send = self.size_at_send;
        let sent: Vec<_> = planned
            .iter()
            .map(|(call, expected)| {
                let (ledger, call, expected) = (ledger.clone(), call.clone(), expected.clone());
                tokio::spawn(async move { (send_heard(&ledger, call, size_at_send).await, expected) })
            })
            .collect();
        let mut heard = Vec::new();
        let mut answers = Vec::new();
        for answer in sent {
            let (answer, expected) = answer.await.unwrap();
            heard.push(match answer {
                Ok(heard) => heard,
                Err(LedgerError::Unavailable) => Heard::Nothing,
                Err(_) => Heard::Answered,
            });
            answers.push((answer.map(|_| ()), expected));
        }
        self.story.sent(self.steps, self.disk.syncs(), &heard);
        let mut all_answered = true;
        for (answer, expected) in answers {
            match answer {
                Err(LedgerError::Unavailable) => all_answered = false,
                answer => assert_eq!(answer, expected),
            }
        }
        match ledger.checkpoint(0).await {
            Ok(answer) => self.see(answer.checkpoint),
            Err(LedgerError::Unavailable) => all_answered = false,
            Err(error) => panic!("{error}"),
        }
        all_answered
    }

    fn see(&mut self, checkpoint: Checkpoint) {
        self.size_at_send = checkpoint.log_size;
        self.seen = checkpoint;
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
            self.story.tell(format!("opened again, with {fault:?}"));
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

    async fn check_extends_what_was_seen(&mut self) {
        let Some(ledger) = &self.ledger else { return };
        let old = &self.seen;
        match ledger.checkpoint(old.log_size).await {
            Ok(answer) => {
                let new = &answer.checkpoint;
                let proof = &answer.consistency;
                verify_consistency(old.log_size, new.log_size, proof, &old.log_root, &new.log_root).unwrap();
                self.see(answer.checkpoint);
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

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// What a run counted.
#[derive(Clone, Copy, Debug)]
struct Counts {
    restarts: u64,
    syncs: u64,
    writes: u64,
}

async fn run(image: &[u8], case: Case, story: &Story) -> Counts {
    let steps = schedule(&mut Seeded::new(case.schedule));
    let mut run = Run::start(image.to_vec(), case, story).await;
    for step in &steps {
        run.step(step).await;
    }
    // How a burst is grouped varies from run to run, and with it the number of syncs: a late fault may still be to come.
    while case.fault != Fault::None && run.restarts == 0 {
        run.step(&[Action::Mint { value: 1, notes: 0 }]).await;
    }
    let (syncs, writes) = (run.disk.syncs(), run.disk.writes());
    Counts { restarts: run.finish().await, syncs, writes }
}

/// What a run counted, or how it failed and what repeats it.
fn told(image: &[u8], case: Case) -> Result<Counts, String> {
    let story = Story::of(case);
    let ran = catch_unwind(AssertUnwindSafe(|| block_on(run(image, case, &story))));
    ran.map_err(|panic| {
        let why = panic.downcast_ref::<String>().cloned();
        story.report(&why.or_else(|| panic.downcast_ref().map(|why: &&str| (*why).to_owned())).unwrap_or_default())
    })
}

/// One schedule, [`FAULTS_PER_SCHEDULE`] times disturbed. Returns the number of restarts.
fn disturbed(image: &[u8], schedule: u64, fault: fn(&mut Seeded, Counts) -> Fault) -> Result<u64, String> {
    let undisturbed = told(image, Case { schedule, fault: Fault::None, survives: 0 })?;
    assert_eq!(undisturbed.restarts, 0);
    let mut seed = Seeded::new(!schedule);
    let cases = (0..FAULTS_PER_SCHEDULE).map(|_| {
        let fault = fault(&mut seed, undisturbed);
        told(image, Case { schedule, fault, survives: seed.next() }).map(|counts| counts.restarts)
    });
    cases.sum()
}

/// What failed once must hold before anything else is tried.
fn check_regressions(image: &[u8], regressions: &[Regression]) -> Result<(), String> {
    for Regression { what, case } in regressions {
        for _ in 0..TIMES {
            told(image, *case).map_err(|report| format!("{what}: {report}"))?;
        }
    }
    Ok(())
}

/// Runs schedules on all processors and sums their restarts.
fn schedules(numbers: Range<u64>, fault: fn(&mut Seeded, Counts) -> Fault) -> u64 {
    let image = new_image();
    check_regressions(&image, REGRESSIONS).unwrap_or_else(|report| panic!("{report}"));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let restarts: Result<u64, String> = std::thread::scope(|scope| {
        let shares = (0..threads).map(|share| {
            let (image, numbers) = (&image, numbers.clone());
            scope
                .spawn(move || numbers.skip(share).step_by(threads).map(|number| disturbed(image, number, fault)).sum())
        });
        let shares: Vec<_> = shares.collect();
        shares.into_iter().map(|share| share.join().unwrap()).collect::<Vec<Result<u64, String>>>().into_iter().sum()
    });
    restarts.unwrap_or_else(|report| panic!("{report}"))
}

fn power_failures(images: u64) {
    let restarts =
        schedules(0..images / FAULTS_PER_SCHEDULE, |seed, counts| Fault::PowerAtSync(1 + seed.below(counts.syncs)));
    assert!(restarts >= images, "{restarts}");
}

#[test]
fn power_failures_lose_nothing_that_was_acknowledged() {
    power_failures(IMAGES);
}

#[test]
fn nightly_power_failures() {
    power_failures(NIGHTLY_IMAGES);
}

fn errors(count: u64) {
    let restarts = schedules(0..count / FAULTS_PER_SCHEDULE, |seed, counts| match seed.below(2) {
        0 => Fault::SyncError(1 + seed.below(counts.syncs)),
        _ => Fault::FullAtWrite(1 + seed.below(counts.writes)),
    });
    assert!(restarts >= count, "{restarts}");
}

#[test]
fn errors_of_the_disk_stop_the_ledger_and_lose_nothing() {
    errors(ERRORS);
}

#[test]
fn nightly_errors_of_the_disk() {
    errors(NIGHTLY_ERRORS);
}

/// What is wrong is noticed, told with all that repeats it, and fails again when it is listed as what failed once.
#[test]
fn a_disk_that_lies_is_noticed_and_told_with_what_repeats_it() {
    let image = new_image();
    let syncs = told(&image, Case { schedule: 0, fault: Fault::None, survives: 0 }).unwrap().syncs;
    let lies = (1..=syncs).map(|sync| Case { schedule: 0, fault: Fault::LiesAtSync(sync), survives: 9 });
    let noticed: Vec<_> = lies.filter_map(|case| told(&image, case).err().map(|report| (case, report))).collect();
    assert!(!noticed.is_empty(), "{syncs} syncs");
    for (case, report) in &noticed {
        let Fault::LiesAtSync(sync) = case.fault else { panic!("{case:?}") };
        let line = format!("Case {{ schedule: 0, fault: Fault::LiesAtSync({sync}), survives: 9 }}\n");
        assert!(report.contains(&line) && report.contains("opened again, with"), "{report}");
    }
    let grouped = |report: &str| report.lines().any(|line| line.trim().starts_with("step ") && line.contains("Left("));
    assert!(noticed.iter().any(|(_, report)| grouped(report)), "{noticed:?}");
    let listed = |case| [Regression { what: "a disk that lies", case }];
    let found = noticed.iter().filter_map(|(case, _)| check_regressions(&image, &listed(*case)).err());
    let found: Vec<_> = found.collect();
    assert!(!found.is_empty() && found.iter().all(|report| report.starts_with("a disk that lies: ")), "{found:?}");
    let good = Case { schedule: 0, fault: Fault::PowerAtSync(syncs), survives: 9 };
    assert_eq!(check_regressions(&image, &listed(good)), Ok(()));
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
