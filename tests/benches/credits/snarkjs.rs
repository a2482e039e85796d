//! snarkjs proves and verifies the same spend with the same key, in a process of its own that stays. Its times are what it measures
//! around its calls: starting the process and reading our words is not in them, reading its files is.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use ceremony_testing::wtns;
use credits::spend::prove;
use rand_core::OsRng;
use serde::Deserialize;

use crate::parameters::{Spending, threads};
use crate::report::{Report, Times, Work, in_turns, work};

const ROUNDS: usize = 5;

pub(crate) fn run(report: &mut Report, spending: &Spending) -> anyhow::Result<()> {
    report.begin("beside snarkjs, same circuit and key (ours also verifies what it proved)");
    let Some(program) = program()? else {
        report.skip("snarkjs", "node and npm are not installed");
        return Ok(());
    };
    let directory = tempfile::tempdir()?;
    let (key, values) = (directory.path().join("spend.zkey"), directory.path().join("spend.wtns"));
    std::fs::write(&key, spending.verified.zkey().to_bytes())?;
    std::fs::write(&values, wtns(&spending.values))?;
    for (count, mode) in [(1, "single"), (2, "all")] {
        let mut theirs = Snarkjs::start(&program, &key, &values, mode)?;
        threads(count).install(|| beside(report, spending, &mut theirs, count))?;
        theirs.end()?;
    }
    Ok(())
}

fn beside(report: &mut Report, spending: &Spending, theirs: &mut Snarkjs, count: usize) -> anyhow::Result<()> {
    let Spending { params, public, witness, .. } = spending;
    // Their process has a thread for each processor where it has more than one.
    let which = if count == 1 { "1 thread".to_owned() } else { format!("{count} threads, theirs one per processor") };
    let ours = work(|| prove(params, public, witness, &mut OsRng).unwrap());
    let proving: Work<'_> = Box::new(|| theirs.times("prove").unwrap());
    let [ours, snarkjs] = in_turns(ROUNDS, [ours, proving]);
    report.compare(&format!("prove, {which}"), &ours, "snarkjs", &snarkjs, None);
    if count == 1 {
        // Verification cannot be told to keep to one thread.
        return Ok(());
    }
    let proof = prove(params, public, witness, &mut OsRng)?;
    let ours = work(|| params.verifying().verify(public, &proof).unwrap());
    let verifying: Work<'_> = Box::new(|| theirs.times("verify").unwrap());
    let [ours, snarkjs] = in_turns(ROUNDS, [ours, verifying]);
    report.compare(&format!("verify, {which}"), &ours, "snarkjs", &snarkjs, None);
    Ok(())
}

/// The script that calls it, installed by its hash beside the other clients.
fn program() -> anyhow::Result<Option<PathBuf>> {
    let found = |name: &str| Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found("node") || !found("npm") {
        return Ok(None);
    }
    let root = acceptance::processes::repo_root();
    let mut install = Command::new(root.join("tests/clients/node_env.sh"));
    let installed = install.arg(root.join("target/clients")).arg("snarkjs_times.mjs").output()?;
    anyhow::ensure!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    Ok(Some(String::from_utf8(installed.stdout)?.trim().into()))
}

struct Snarkjs {
    process: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What it measured, in milliseconds.
#[derive(Deserialize)]
struct Answer {
    wall: f64,
    processor: f64,
}

impl Snarkjs {
    fn start(program: &Path, key: &Path, values: &Path, mode: &str) -> anyhow::Result<Self> {
        let mut node = Command::new("node");
        node.arg(program).arg(key).arg(values).arg(mode);
        let mut process = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (asks, answers) = process.stdin.take().zip(process.stdout.take()).context("its ends")?;
        Ok(Self { process, asks, answers: BufReader::new(answers) })
    }

    fn times(&mut self, what: &str) -> anyhow::Result<Times> {
        writeln!(self.asks, "{what}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let Answer { wall, processor } = serde_json::from_str(&line).context("snarkjs failed")?;
        let duration = |milliseconds: f64| Duration::from_secs_f64(milliseconds / 1e3);
        Ok(Times { wall: duration(wall), processor: duration(processor) })
    }

    fn end(mut self) -> anyhow::Result<()> {
        drop(self.asks);
        anyhow::ensure!(self.process.wait()?.success(), "snarkjs failed");
        Ok(())
    }
}
