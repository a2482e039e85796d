//! Operations of a ledger a second, on each store, as a part of what a bare log takes on the same disk: records of the same length,
//! synced once for as many as one transaction of the ledger holds.
//!
//! Each operation is measured whole, as the service has it made: signatures, decision, commit, and the answer with its proof and its
//! signed checkpoint. Proofs of spends are not verified here.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use credits::keys::verify_ed25519;
use credits::note::{Blind, inner, leaf};
use credits::tree::ANCHOR_STEP;
use credits::{
    Bytes32, Credits, Inner, JournalRequest, Ledger, LogEntry, MintOutput, NoteFrontier, NotePublicKey, RedeemRequest,
    ReserveRequest, SettleRequest, SigningKey, Voucher, journal_message, settle_message,
};
use ledger::proof_queue::PROOFS_PENDING_MAX;
use ledger::redb_store::create_database;
use ledger::{PostgresServer, VolatileLedger};
use ledger_testing::Postgres;
use tokio::runtime::Runtime;

use crate::report::{Goal, Report, Times, Work, in_turns};
use crate::world::{
    Believing, admin_key, clock, credits, element, identity, info, open_file, open_postgres, settle_key, spend,
};

const ROUNDS: usize = 7;
/// Operations of a round.
const ROUND: usize = 2048;
/// The most operations in one transaction of the ledger.
const BATCH: usize = 256;
/// One transaction's operations wait while those of another are committed.
const AT_ONCE: usize = 2 * BATCH;
const GOAL: Option<Goal> = Some(Goal::AtLeast(0.25));

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    report.begin("operations of a ledger, beside a raw log of the same records");
    let runtime = Runtime::new()?;
    let directory = tempfile::tempdir()?;
    let memory = VolatileLedger::volatile(identity(), Believing, clock())?;
    store(report, &runtime, "memory", &Arc::new(memory), directory.path(), None);

    let path = directory.path().join("ledger.redb");
    create_database(&path, &identity())?;
    store(report, &runtime, "file", &Arc::new(open_file(&path)), directory.path(), GOAL);

    match Postgres::start()? {
        None => report.skip("ledger in PostgreSQL", "it is not installed"),
        Some(postgres) => {
            let url = postgres.url("ledger")?;
            PostgresServer::new(&url, None)?.create_ledger(&identity())?;
            store(report, &runtime, "PostgreSQL", &Arc::new(open_postgres(&url)), postgres.directory(), GOAL);
        }
    }
    least(report);
    Ok(())
}

/// What each operation takes of a processor on every store, whatever its disk: with the number of processors, a bound on the rates
/// above.
fn least(report: &mut Report) {
    let key = settle_key();
    let message = settle_message(&info().ledger_id, &credits::Nullifier(element(1, 0)), credits(500));
    let (public, signature) = (key.public(), key.sign(&message));
    let row = |mut each: Box<dyn FnMut(u64)>| -> Vec<Times> {
        (0..=ROUNDS).map(|_| Times::of(|| (0..256).for_each(&mut each)).each(256)).skip(1).collect()
    };
    let verify = row(Box::new(move |_| verify_ed25519(&public, &message, &signature).unwrap()));
    report.alone("of that: a signature verified", &verify);
    let mut notes = NoteFrontier::new();
    let mut append = move |note| {
        notes.append(note).unwrap();
        if notes.len().is_multiple_of(ANCHOR_STEP) {
            std::hint::black_box(notes.root());
        }
    };
    let mut append_too = append.clone();
    let settled = row(Box::new(move |number| append(leaf(Inner(element(2, number)), credits(500)))));
    report.alone("of that: the hashes of a settlement", &settled);
    let deposited = row(Box::new(move |number| {
        let (pk, blind) = (NotePublicKey(element(5, number)), Blind(element(6, number)));
        append_too(leaf(inner(pk, credits(8), element(7, number), blind), Credits::ZERO));
    }));
    report.alone("of that: the hashes of a deposit", &deposited);
}

#[derive(Clone)]
enum Call {
    Redeem(RedeemRequest),
    Reserve(Box<ReserveRequest>),
    Journal(JournalRequest),
    Settle(SettleRequest),
}

async fn make<L: Ledger>(ledger: &L, call: Call) {
    match call {
        Call::Redeem(request) => drop(ledger.redeem(request).await.unwrap()),
        Call::Reserve(request) => drop(ledger.reserve(*request).await.unwrap()),
        Call::Journal(request) => ledger.journal(request).await.unwrap(),
        Call::Settle(request) => drop(ledger.settle(request).await.unwrap()),
    }
}

/// One store, through the life of its spends.
fn store<L: Ledger + 'static>(
    report: &mut Report,
    runtime: &Runtime,
    name: &str,
    ledger: &Arc<L>,
    disk: &Path,
    goal: Option<Goal>,
) {
    let info = info();
    let guardian = settle_key();
    let measure = |report: &mut Report, what: &str, at_once: usize, calls: &mut dyn FnMut(usize) -> Vec<Call>, goal| {
        // One that is not measured, so that the log has an entry of the kind.
        all_at_once(runtime, ledger, 1, calls(0));
        let record = newest_entry(runtime, &**ledger);
        let mut round = 0;
        let ours: Work<'_> = Box::new(|| {
            round += 1;
            let calls = calls(round);
            Times::of(|| all_at_once(runtime, ledger, at_once, calls)).each(ROUND)
        });
        let [ours, raw] = in_turns(ROUNDS, [ours, Box::new(|| raw_log(disk, &record).each(ROUND))]);
        let what = format!("{name}: {what}, {at_once} at once");
        report.rate(&what, &ours, &format!("a raw log synced per {BATCH}"), &raw, goal);
    };

    // Numbers of their own for each round; round 0 makes the one entry that is looked at.
    let of_round = |round: usize| {
        let count = if round == 0 { 1 } else { ROUND };
        let first = u64::try_from(round * ROUND).unwrap();
        (first..).take(count)
    };
    measure(
        report,
        "deposits",
        AT_ONCE,
        &mut |round| of_round(round).map(|number| deposit(&info.ledger_id, number)).collect(),
        goal,
    );
    let root = runtime.block_on(ledger.checkpoint(0)).unwrap().checkpoint.note_root;
    let reserve = |number| Call::Reserve(Box::new(spend(&info, root, number)));
    // No more proofs may wait, so batches stay smaller than the raw log's.
    let waiting = PROOFS_PENDING_MAX.min(AT_ONCE);
    measure(report, "reservations", waiting, &mut |round| of_round(round).map(reserve).collect(), goal);
    let total = |round: usize| u64::try_from(round + 1).unwrap();
    let mut journals = |round: usize| {
        // Of the same spends in each round, but for the one of round 0.
        of_round(round.min(1)).map(|number| journal(&info.ledger_id, &guardian, number, total(round))).collect()
    };
    measure(report, "running totals", AT_ONCE, &mut journals, goal);
    let settle = |number| settle(&info.ledger_id, &guardian, number);
    measure(report, "settlements", AT_ONCE, &mut |round| of_round(round).map(settle).collect(), goal);
}

/// Makes calls, so many of them at any time.
fn all_at_once<L: Ledger + 'static>(runtime: &Runtime, ledger: &Arc<L>, at_once: usize, calls: Vec<Call>) {
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for calls in calls.chunks(calls.len().div_ceil(at_once)).map(<[Call]>::to_vec) {
            let ledger = Arc::clone(ledger);
            tasks.spawn(async move {
                for call in calls {
                    make(&*ledger, call).await;
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
}

/// The newest entry of the log, as stores record it.
fn newest_entry<L: Ledger>(runtime: &Runtime, ledger: &L) -> Vec<u8> {
    runtime.block_on(async {
        let size = ledger.checkpoint(0).await.unwrap().checkpoint.log_size;
        let page = ledger.log(size - 1, 1).await.unwrap();
        let entry: &LogEntry = &page.entries[0];
        serde_json::to_vec(entry).unwrap()
    })
}

fn raw_log(disk: &Path, record: &[u8]) -> Times {
    let mut file = tempfile::NamedTempFile::new_in(disk).unwrap();
    Times::of(|| {
        for _ in 0..ROUND / BATCH {
            for _ in 0..BATCH {
                file.write_all(record).unwrap();
            }
            file.as_file().sync_data().unwrap();
        }
    })
}

fn deposit(ledger_id: &Bytes32, number: u64) -> Call {
    let voucher_id = Bytes32(*element(4, number).as_bytes());
    let voucher = Voucher::issue(&admin_key(), *ledger_id, voucher_id, credits(8)).to_text();
    let output = MintOutput { pk: NotePublicKey(element(5, number)), value: credits(8), b: element(6, number) };
    Call::Redeem(RedeemRequest { voucher, outputs: vec![output] })
}

fn journal(ledger_id: &Bytes32, guardian: &SigningKey, number: u64, total: u64) -> Call {
    let (nullifier, total) = (credits::Nullifier(element(1, number)), credits(total));
    let signature = guardian.sign(&journal_message(ledger_id, &nullifier, total));
    Call::Journal(JournalRequest { nullifier, total, signature })
}

fn settle(ledger_id: &Bytes32, guardian: &SigningKey, number: u64) -> Call {
    let (nullifier, charge) = (credits::Nullifier(element(1, number)), credits(500));
    let signature = guardian.sign(&settle_message(ledger_id, &nullifier, charge));
    Call::Settle(SettleRequest { nullifier, charge, signature })
}
