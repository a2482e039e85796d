//! `make demo` and `make serve`: the whole appliance on one machine, with a simulated TEE where the hardware would be.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use acceptance::proxy::Proxy;
use acceptance::{EngineKind, World, cli, processes};
use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use serde_json::Value;

const PROMPT: &str = "Write one short sentence about the sea.";
const DEPOSIT: u64 = 1_000_000;
const PROXY_PORT: u16 = 8787;
const RULE: &str = "────────────────────────────────────────────────────────────";

#[derive(Parser)]
#[command(about = "Run the whole appliance on this machine with a simulated TEE")]
struct Args {
    #[command(subcommand)]
    command: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// One verified, paid, receipted answer, then stop.
    Demo {
        /// light (llama.cpp) or vllm.
        #[arg(long, default_value = "light")]
        engine: String,
        /// What to ask.
        #[arg(long, default_value = PROMPT)]
        prompt: String,
    },
    /// Leave the stack running behind a local OpenAI endpoint until ^C.
    Serve {
        /// light (llama.cpp) or vllm.
        #[arg(long, default_value = "light")]
        engine: String,
        /// Port of the local endpoint.
        #[arg(long, default_value_t = PROXY_PORT)]
        port: u16,
    },
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Mode::Demo { engine, prompt } => demo(&engine, &prompt),
        Mode::Serve { engine, port } => serve(&engine, port),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn step(text: &str) {
    eprintln!("== {text}");
}

fn start(engine: &str, name: &str) -> anyhow::Result<World> {
    let engine = match engine {
        "light" => EngineKind::Light,
        "vllm" => EngineKind::Vllm,
        other => bail!("there is no engine {other}; use light or vllm"),
    };
    let dir = processes::repo_root().join("run").join(name);
    if dir.exists() {
        // The simulated vendor chain may stay; wallets and ledger of an earlier run would not match the new keys.
        for part in ["ledger", "wallets", "logs", "sockets", "receipt-log", "witness-0"] {
            let _ = std::fs::remove_dir_all(dir.join(part));
        }
    }
    World::builder()
        .engine(engine)
        .logged(1, 1)
        .ledger_watched(1, 1)
        .dir(dir)
        .start_saying(|what| step(&format!("starting: {what}")))
}

fn with_trust(world: &World, mut command: Command) -> Command {
    command.args(cli::trust(world));
    command
}

/// Runs a program in front of the person, in this terminal.
fn show(mut command: Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("run {command:?}"))?;
    if status.success() { Ok(()) } else { bail!("{} ended with {status}", command.get_program().display()) }
}

fn demo(engine: &str, prompt: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    let world = start(engine, "demo")?;
    let url = world.guardian_url();
    step("wallet: new, with a deposit");
    let wallet = cli::funded_wallet(&world, "demo", DEPOSIT)?;
    step("verify the node");
    show(with_trust(&world, world.cloister(&["verify", &url])))?;
    step("ask, pay, check");
    eprintln!("   prompt: {prompt}");
    let report = world.dir().join("report.json");
    let receipts = world.dir().join("receipts").display().to_string();
    let report_path = report.display().to_string();
    let args = [
        "chat",
        &url,
        prompt,
        "--max-tokens",
        "48",
        "--wallet",
        &wallet,
        "--keep-receipt",
        &receipts,
        "--report",
        &report_path,
    ];
    show(with_trust(&world, world.cloister(&args)))?;
    let (spendable, _, _) = cli::balance(&world, &wallet)?;
    step("operator: claim what the node earned");
    let earned = claim(&world)?;
    let dir = world.dir().to_path_buf();
    step("stop: guardian settles, then the rest");
    world.stop()?;
    let report: Value = serde_json::from_slice(&std::fs::read(&report)?)?;
    summary(&report, (spendable, earned), &dir, began)
}

/// What the node earned, in a wallet of its operator.
fn claim(world: &World) -> anyhow::Result<u64> {
    let (wallet, key) = (cli::empty_wallet(world, "operator")?, world.payee_key_file().display().to_string());
    let claim = cli::json(world, &["wallet", "claim", "--payee-key", &key, "--wallet", &wallet])?.success()?;
    let (claimed, held) = (claim.number("/claimed")?, claim.number("/spendable")?);
    if claimed == held { Ok(claimed) } else { bail!("{claimed} credits were claimed, the wallet holds {held}") }
}

fn summary(report: &Value, (spendable, earned): (u64, u64), dir: &Path, began: Instant) -> anyhow::Result<()> {
    let text = |pointer: &str| {
        report
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .with_context(|| format!("the report has no {pointer}"))
    };
    let number = |pointer: &str| {
        report.pointer(pointer).and_then(Value::as_u64).with_context(|| format!("the report has no {pointer}"))
    };
    let (reserve, charge, refund) =
        (number("/settlement/reserve")?, number("/settlement/charge")?, number("/settlement/refund")?);
    if charge + refund != reserve {
        bail!("the settlement does not add up: {charge} + {refund} is not {reserve}");
    }
    if earned != charge {
        bail!("the operator claimed {earned} credits of {charge}");
    }
    let receipt = relative(&PathBuf::from(text("/receipt/file")?));
    let (root, policy) = (relative(&dir.join("sim/root.pem")), relative(&dir.join("policy.toml")));
    println!();
    println!("{RULE}");
    println!("verdict     {}  (root: {})", text("/verdict")?, text("/assurance")?);
    println!("answer      {}", text("/answer")?.trim().replace('\n', "\n            "));
    println!(
        "tokens      {} prompt, {} completion",
        number("/usage/prompt_tokens")?,
        number("/usage/completion_tokens")?
    );
    println!("settlement  reserved {reserve} = cost {charge} + refund {refund} credits; wallet holds {spendable}");
    println!("operator    claimed {earned} credits as a note of its own");
    println!("receipt     {}", text("/receipt/id")?);
    println!("            {receipt}");
    println!("log         entry {} of {}, which a witness cosigns", number("/log/index")?, text("/log/origin")?);
    println!("time        {:.1} s", began.elapsed().as_secs_f64());
    println!();
    println!("Nothing here is confidential: the TEE is simulated, which is what the verdict says. Try next:");
    println!("  target/debug/cloister receipt verify {receipt} --root {root} --policy {policy}");
    println!("  make serve        an OpenAI endpoint for your own programs");
    println!("  make test         what would fail if a claim in SECURITY.md were false");
    println!("{RULE}");
    Ok(())
}

fn relative(path: &Path) -> String {
    path.strip_prefix(processes::repo_root()).unwrap_or(path).display().to_string()
}

fn serve(engine: &str, port: u16) -> anyhow::Result<()> {
    let world = start(engine, "serve")?;
    step("wallet: new, with a deposit");
    let wallet = cli::funded_wallet(&world, "serve", DEPOSIT)?;
    step("verifying proxy");
    let proxy = Proxy::start_on(&world, &wallet, port)
        .with_context(|| format!("is port {port} taken? try `cloister-demo serve --port`"))?;
    println!("export OPENAI_BASE_URL={} OPENAI_API_KEY=none", proxy.base_url());
    let body = serde_json::json!({
        "model": "smollm2-135m", "stream": true, "messages": [{"role": "user", "content": PROMPT}],
    });
    println!("curl -N {}/chat/completions -H 'content-type: application/json' -d '{body}'", proxy.base_url());
    step("serving until ^C");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            stopped = tokio::signal::ctrl_c() => stopped,
            _ = terminate.recv() => Ok(()),
        }
    })?;
    step("stopping: the proxy closes its tab, the guardian settles");
    proxy.stop()?;
    world.stop()
}
