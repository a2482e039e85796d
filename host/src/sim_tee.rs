//! The simulated TEE: plays the platform outside the guardian's process, as hardware would.
//!
//! It mints a vendor chain of its own and signs byte-exact SNP version 5 reports with it. Nothing in the guardian or the
//! client knows of it: its reports fail under the vendor's roots, and pass only where its root is named.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use attestation::{Base64, Product, STRICT_POLICY};
use attestation_testing::{FakeSnp, NAME_PREFIX, TestPki, launch_digest_of};
use serde::{Deserialize, Serialize};

use crate::cli::SimTee;
use crate::{clock, output};

/// Longest question: 64 bytes in hex inside a small object.
const QUESTION_BYTES_MAX: u64 = 1024;

pub(crate) fn run(command: SimTee) -> anyhow::Result<()> {
    match command {
        SimTee::Serve { state, socket, launch } => serve(&state, &socket, &measure(&launch)?),
        SimTee::Measure { launch, json } => {
            let digest = hex::encode(measure(&launch)?);
            output::line(&if json { serde_json::json!({"launch_digest": digest}).to_string() } else { digest })
        }
        SimTee::Policy { launch } => output::line(policy(&measure(&launch)?)?.trim_end()),
    }
}

fn measure(launch: &[PathBuf]) -> anyhow::Result<[u8; 48]> {
    let read = |path: &PathBuf| fs::read(path).with_context(|| format!("read {}", path.display()));
    let files = launch.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(launch_digest_of(&files))
}

/// The strict policy with this launch filled in: the simulated platform is held to what real hardware is held to.
fn policy(launch_digest: &[u8; 48]) -> anyhow::Result<String> {
    let digests = format!("launch_digests = [\"{}\"]", hex::encode(launch_digest));
    let filled = STRICT_POLICY
        .replace("launch_digests = []", &digests)
        .replace("name = \"strict\"", "name = \"simulated-launch\"");
    if !filled.contains(&digests) {
        bail!("the strict policy has no empty list of launch digests to fill in");
    }
    Ok(filled)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    report_data: String,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Report { report: Base64, vek: Base64, intermediate: Base64, root: Base64, crl: Option<Base64> },
    Error { message: String },
}

fn serve(state: &Path, socket: &Path, launch_digest: &[u8; 48]) -> anyhow::Result<()> {
    let pki = load_or_make(state)?;
    if socket.exists() {
        fs::remove_file(socket).with_context(|| format!("remove the stale socket {}", socket.display()))?;
    }
    let listener = UnixListener::bind(socket).with_context(|| format!("listen on {}", socket.display()))?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    output::note(&format!("simulated TEE ready on {}", socket.display()));
    for stream in listener.incoming() {
        // One client that breaks off must not stop the others.
        if let Ok(stream) = stream
            && let Err(error) = answer(&pki, launch_digest, stream)
        {
            output::note(&format!("request failed: {error:#}"));
        }
    }
    Ok(())
}

fn answer(pki: &TestPki, launch_digest: &[u8; 48], mut stream: UnixStream) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    let mut line = String::new();
    BufReader::new((&stream).take(QUESTION_BYTES_MAX)).read_line(&mut line)?;
    let answer = match report_data(&line) {
        Ok(data) => report(pki, launch_digest, data),
        Err(error) => Answer::Error { message: error.to_string() },
    };
    serde_json::to_writer(&mut stream, &answer)?;
    Ok(stream.write_all(b"\n")?)
}

fn report_data(line: &str) -> anyhow::Result<[u8; 64]> {
    let question: Question = serde_json::from_str(line).context("not a question")?;
    let bytes = hex::decode(&question.report_data).map_err(|_| anyhow::anyhow!("report_data is not hex"))?;
    bytes.try_into().map_err(|_| anyhow::anyhow!("report_data must be 64 bytes"))
}

fn report(pki: &TestPki, launch_digest: &[u8; 48], report_data: [u8; 64]) -> Answer {
    let mut fake = FakeSnp::accepted(pki);
    fake.measurement = *launch_digest;
    fake.report_data = report_data;
    let endorsements = pki.endorsements(clock::now());
    Answer::Report {
        report: Base64(fake.sign(pki)),
        vek: endorsements.vek,
        intermediate: endorsements.intermediate,
        root: endorsements.root,
        crl: endorsements.crl,
    }
}

fn load_or_make(state: &Path) -> anyhow::Result<TestPki> {
    let file = state.join("pki.json");
    if file.exists() {
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        return TestPki::from_json(text.as_bytes())
            .with_context(|| format!("{} is not a simulated vendor chain", file.display()));
    }
    if state.exists()
        && fs::read_dir(state)?.next().is_some_and(|entry| entry.is_ok())
        && state.join("root.pem").exists()
    {
        bail!("{} holds a root without its keys; use an empty directory", state.display());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(state)?;
    output::note("making a simulated vendor chain (a few seconds)");
    let pki = TestPki::generate(Product::Genoa, NAME_PREFIX)?;
    fs::write(state.join("root.pem"), pki.ark_pem())?;
    let mut keys = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?;
    keys.write_all(&pki.to_json()?)?;
    Ok(pki)
}
