//! From a ledger that is down to its first answer, with many spends in its book: after it was closed, and after it was killed.
//!
//! The first answer is the refusal of a spend whose nullifier is in the book, and a checkpoint with a proof from the middle of the
//! log. Files are dropped from the system's cache before each opening, as far as the system does so.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use credits::{Ledger, LedgerError};
use ledger::redb_store::create_database;
use ledger::{DurableLedger, PostgresServer};
use ledger_testing::Postgres;
use postgres::{Client, NoTls};
use rustix::fs::{Advice, fadvise};
use tokio::runtime::Runtime;

use crate::fill::Filled;
use crate::report::{Report, Times};
use crate::world::{credits, identity, info, open_file, open_postgres, payee, spend};

const ROUNDS: usize = 3;
/// Spends that are copied into PostgreSQL at once.
const COPIED: u64 = 20_000;

pub(crate) fn run(report: &mut Report, spends: u64) -> anyhow::Result<()> {
    report.begin("restart of a ledger, to its first answer");
    let runtime = Runtime::new()?;
    on_file(report, &runtime, spends)?;
    match Postgres::start()? {
        None => report.skip("restart over PostgreSQL", "it is not installed"),
        Some(postgres) => in_postgres(report, &runtime, postgres, spends)?,
    }
    Ok(())
}

fn on_file(report: &mut Report, runtime: &Runtime, spends: u64) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("ledger.redb");
    let took = fill(&path, spends)?;
    let length = path.metadata()?.len();
    report.note(&format!("file of {spends} spends: {} MB, filled in {took:.0} s", length >> 20));
    let killed = opened(runtime, &path, spends)?;
    let (mut closed, mut reading) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        closed.push(opened(runtime, &path, spends)?);
        forget(&path)?;
        reading.push(Times::of(|| read(&path).unwrap()));
    }
    report.compare("file, killed before", &[killed], "reading the file once", &reading[..1], None);
    report.compare("file, closed before", &closed, "reading the file once", &reading, None);
    report.note(&format!("memory of this process at most: {} MB", memory_most()? >> 20));
    Ok(())
}

/// Fills a new file in another process, which ends without closing it. Seconds that it took.
fn fill(path: &Path, spends: u64) -> anyhow::Result<f64> {
    create_database(path, &identity())?;
    let began = Instant::now();
    let mut fill = Command::new(std::env::current_exe()?);
    fill.arg("--fill").arg(path).args(["--nullifiers", &spends.to_string()]);
    anyhow::ensure!(fill.status()?.success(), "the file was not filled");
    Ok(began.elapsed().as_secs_f64())
}

fn opened(runtime: &Runtime, path: &Path, spends: u64) -> anyhow::Result<Times> {
    forget(path)?;
    let mut ledger = None;
    let times = Times::of(|| first_answer(runtime, ledger.insert(open_file(path)), spends));
    Ok(times)
}

/// The ledger is whose book this is, and knows the last of its spends.
fn first_answer(runtime: &Runtime, ledger: &DurableLedger, spends: u64) {
    runtime.block_on(async {
        let mut again = spend(&info(), credits::NoteFrontier::new().root(), spends - 1);
        again.c_max = credits(1);
        let refused = ledger.reserve(again).await.unwrap_err();
        assert!(matches!(refused, LedgerError::AlreadySpent | LedgerError::SpendConflict), "{refused}");
        let answer = ledger.checkpoint(spends).await.unwrap();
        assert_eq!(answer.checkpoint.log_size, 2 * spends);
    });
}

/// Writes a file out and drops it from the system's cache.
fn forget(path: &Path) -> anyhow::Result<()> {
    let file = File::open(path)?;
    file.sync_all()?;
    fadvise(&file, 0, None, Advice::DontNeed)?;
    Ok(())
}

fn read(path: &Path) -> std::io::Result<()> {
    let (mut file, mut part) = (File::open(path)?, vec![0; 1 << 20]);
    while file.read(&mut part)? > 0 {}
    Ok(())
}

/// The most memory that this process has had (`VmHWM` of proc(5)), in bytes.
fn memory_most() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? << 10)
}

fn in_postgres(report: &mut Report, runtime: &Runtime, mut postgres: Postgres, spends: u64) -> anyhow::Result<()> {
    let url = postgres.url("ledger")?;
    PostgresServer::new(&url, None)?.create_ledger(&identity())?;
    let began = Instant::now();
    fill_database(&url, spends)?;
    let size = postgres.sql("SELECT pg_database_size('postgres') >> 20")?;
    let took = began.elapsed().as_secs_f64();
    report.note(&format!("database of {spends} spends: {} MB, filled in {took:.0} s", size.trim()));
    let (mut killed, mut running) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        postgres.kill()?;
        let mut ledger = None;
        killed.push(Times::of(|| {
            postgres.restart().unwrap();
            first_answer(runtime, ledger.insert(open_postgres(&url)), spends);
        }));
        drop(ledger.take());
        running.push(Times::of(|| first_answer(runtime, ledger.insert(open_postgres(&url)), spends)));
    }
    report.alone("PostgreSQL, server and service killed before", &killed);
    report.alone("PostgreSQL, service alone", &running);
    Ok(())
}

fn fill_database(url: &str, spends: u64) -> anyhow::Result<()> {
    let mut client = Client::connect(url, NoTls)?;
    let mut filled = Filled::new();
    let mut left = spends;
    while left > 0 {
        let count = COPIED.min(left);
        left -= count;
        let (mut states, mut inners, mut entries, mut nodes) = <(String, String, String, String)>::default();
        for _ in 0..count {
            let rows = filled.add();
            let (nullifier, inner_next) = (hex::encode(rows.nullifier), hex::encode(rows.inner_next));
            states += &format!("\\\\x{nullifier}\t{}\n", copied(&rows.state)?);
            inners += &format!("\\\\x{inner_next}\t\\\\x{nullifier}\n");
            for (position, entry) in &rows.entries {
                entries += &format!("{position}\t{}\n", copied(entry)?);
            }
            for (level, number, hash) in &rows.nodes {
                nodes += &format!("{level}\t{number}\t\\\\x{hash}\n");
            }
        }
        let mut transaction = client.transaction()?;
        for (table, rows) in
            [("spends", states), ("successors", inners), ("log_entries", entries), ("log_nodes", nodes)]
        {
            let mut writer = transaction.copy_in(&format!("COPY {table} FROM STDIN"))?;
            writer.write_all(rows.as_bytes())?;
            writer.finish()?;
        }
        transaction.commit()?;
    }
    let (meta, owed) = filled.end();
    let state = String::from_utf8(meta)?;
    client.execute("UPDATE ledger_state SET state = $1", &[&state])?;
    let owed = i64::try_from(owed)?;
    client.execute("INSERT INTO payees (payee, balance) VALUES ($1, $2)", &[&payee().0.as_slice(), &owed])?;
    Ok(())
}

/// Records have no character that `COPY` gives a meaning to.
fn copied(record: &[u8]) -> anyhow::Result<&str> {
    let text = std::str::from_utf8(record)?;
    anyhow::ensure!(!text.contains(['\\', '\t', '\n']), "a record would need quoting");
    Ok(text)
}
