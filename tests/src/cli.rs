//! `cloister` as a person or a script runs it.

use std::process::Command;

use anyhow::Context;
use serde_json::Value;

use crate::world::World;

/// What one run of `cloister --json` gave.
#[derive(Debug)]
pub struct Run {
    /// Exit code.
    pub code: i32,
    /// The JSON object on stdout.
    pub json: Value,
    /// stderr.
    pub stderr: String,
}

impl Run {
    /// `error.code`, or the empty string.
    #[must_use]
    pub fn error_code(&self) -> &str {
        self.json.pointer("/error/code").and_then(Value::as_str).unwrap_or_default()
    }

    /// An integer at a JSON pointer.
    pub fn number(&self, pointer: &str) -> anyhow::Result<u64> {
        self.json
            .pointer(pointer)
            .and_then(Value::as_u64)
            .with_context(|| format!("no number at {pointer} in {}", self.json))
    }

    /// A string at a JSON pointer.
    pub fn text(&self, pointer: &str) -> anyhow::Result<&str> {
        self.json
            .pointer(pointer)
            .and_then(Value::as_str)
            .with_context(|| format!("no string at {pointer} in {}", self.json))
    }

    /// This run, if it ended with success.
    pub fn success(self) -> anyhow::Result<Self> {
        if self.code == 0 { Ok(self) } else { anyhow::bail!("exit code {}: {}\n{}", self.code, self.json, self.stderr) }
    }
}

/// Runs `cloister --json` with `args`.
pub fn json(world: &World, args: &[&str]) -> anyhow::Result<Run> {
    collect(world.cloister(&[&["--json"], args].concat()))
}

/// Runs a command that prints one JSON object.
pub fn collect(mut command: Command) -> anyhow::Result<Run> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    let stdout = String::from_utf8(output.stdout)?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = serde_json::from_str(&stdout)
        .with_context(|| format!("{command:?} printed no JSON object: {stdout}\n{stderr}"))?;
    Ok(Run { code: output.status.code().unwrap_or(-1), json, stderr })
}

/// `--root … --policy …` of a world.
#[must_use]
pub fn trust(world: &World) -> Vec<String> {
    let root = world.root_file().display().to_string();
    let policy = world.policy_file().display().to_string();
    vec!["--root".to_owned(), root, "--policy".to_owned(), policy]
}

/// A wallet with nothing in it.
pub fn empty_wallet(world: &World, name: &str) -> anyhow::Result<String> {
    let wallet = world.wallet_dir(name).display().to_string();
    let (url, witnesses) = (world.ledger_url(), world.ledger_witness_args());
    let mut args = vec!["wallet", "new", "--no-passphrase", "--wallet", &wallet, "--ledger", &url];
    args.extend(witnesses.iter().map(String::as_str));
    json(world, &args)?.success()?;
    Ok(wallet)
}

/// A wallet with `value` credits in it.
pub fn funded_wallet(world: &World, name: &str, value: u64) -> anyhow::Result<String> {
    let wallet = empty_wallet(world, name)?;
    json(world, &["wallet", "deposit", "--wallet", &wallet, &world.voucher(value)?])?.success()?;
    Ok(wallet)
}

/// The wallet's balance after a sync: spendable, reserved, pending.
pub fn balance(world: &World, wallet: &str) -> anyhow::Result<(u64, u64, u64)> {
    let run = json(world, &["wallet", "balance", "--wallet", wallet])?.success()?;
    Ok((run.number("/spendable")?, run.number("/reserved")?, run.number("/pending")?))
}

/// Runs `cloister chat` against the world's node.
pub fn chat(world: &World, wallet: &str, prompt: &str, extra: &[&str]) -> anyhow::Result<Run> {
    chat_at(world, &world.guardian_url(), wallet, prompt, extra)
}

/// Runs `cloister chat` against a node at `url`.
pub fn chat_at(world: &World, url: &str, wallet: &str, prompt: &str, extra: &[&str]) -> anyhow::Result<Run> {
    let trust = trust(world);
    let mut args = vec!["chat", url, prompt, "--wallet", wallet];
    args.extend(trust.iter().map(String::as_str));
    args.extend(extra);
    json(world, &args)
}

/// Runs `cloister verify` against `url`.
pub fn verify(world: &World, url: &str) -> anyhow::Result<Run> {
    let trust = trust(world);
    let mut args = vec!["verify", url];
    args.extend(trust.iter().map(String::as_str));
    json(world, &args)
}
