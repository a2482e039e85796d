//! `cloister`: verify a confidential LLM node, chat with it, proxy for it, keep its receipts and the credits that pay it.

mod cli;
mod cmd;
mod output;
mod report;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, Ledger, Receipt, Release, Stake, Wallet};
use output::Output;
use report::{Report, verdict_word};
use verifier::error::chain;
use verifier::{Error, Exit};

fn main() -> ExitCode {
    // Keys of an open wallet are in memory: no core file may hold them. Where that cannot be had, the process is no worse off.
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _unlimited = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    // clap ends the process itself: 0 for help and version, 2 for a wrong command line.
    let cli = Cli::parse();
    let out = Output::new(cli.wants_json(), cli.quiet);
    let mut report = Report::default();
    let outcome = start(cli, out, &mut report);
    ExitCode::from(conclude(outcome, out, report).code())
}

fn start(cli: Cli, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::Io { action: "start the runtime".to_owned(), source })?;
    let outcome = runtime.block_on(run(cli, out, report));
    // A blocked read of stdin must not keep a finished process alive.
    runtime.shutdown_background();
    outcome
}

async fn run(cli: Cli, out: Output, report: &mut Report) -> Result<Exit, Error> {
    match cli.command {
        Command::Verify(args) => cmd::verify::run(args, out, report).await,
        Command::Audit(args) => cmd::audit::run(args, out, report).await,
        Command::Appraise(args) => cmd::appraise::run(&args, out, report),
        Command::Chat(args) => cmd::chat::run(args, out, report).await,
        Command::Proxy(args) => cmd::proxy::run(args, out, report).await,
        Command::Ledger(Ledger::Audit(args)) => cmd::ledger::audit(args, out, report).await,
        Command::Ledger(Ledger::Evidence(args)) => cmd::ledger::evidence(&args, out, report),
        Command::Wallet(Wallet::New(args)) => cmd::wallet::new(args, out, report).await,
        Command::Wallet(Wallet::Restore(args)) => cmd::wallet::restore(args, out, report).await,
        Command::Wallet(Wallet::Deposit(args)) => cmd::wallet::deposit(args, out, report).await,
        Command::Wallet(Wallet::Withdraw(args)) => cmd::withdraw::withdraw(args, out, report).await,
        Command::Wallet(Wallet::Withdrawals(args)) => cmd::withdraw::withdrawals(args, out, report).await,
        Command::Wallet(Wallet::Claim(args)) => cmd::withdraw::claim(args, out, report).await,
        Command::Wallet(Wallet::Merge(args)) => cmd::merge::merge(args, out, report).await,
        Command::Wallet(Wallet::Rate(args)) => cmd::stake::rate(args, out, report).await,
        Command::Stake(Stake::Put(args)) => cmd::stake::put(args, out, report).await,
        Command::Stake(Stake::Back(args)) => cmd::stake::back(args, out, report).await,
        Command::Stake(Stake::Take(args)) => cmd::stake::take(args, out, report).await,
        Command::Stake(Stake::Show(args)) => cmd::stake::show(args, out, report).await,
        Command::Stake(Stake::Accuse(args)) => cmd::stake::accuse(args, out, report).await,
        Command::Wallet(Wallet::Balance(args)) => cmd::wallet::balance(args, out, report).await,
        Command::Wallet(Wallet::History(args)) => cmd::wallet::history(args, out, report).await,
        Command::Wallet(Wallet::Sync(args)) => cmd::wallet::sync(args, out, report).await,
        Command::Wallet(Wallet::Words(args)) => cmd::wallet::words(&args, out, report),
        Command::Wallet(Wallet::Passphrase(args)) => cmd::wallet::set_passphrase(&args, out, report),
        Command::Wallet(Wallet::Witnesses(args)) => cmd::witnesses::set(args, out, report).await,
        Command::Receipt(Receipt::Verify(args)) => cmd::receipt::verify(&args, out, report),
        Command::Receipt(Receipt::Audit(args)) => cmd::receipt::audit(args, out, report).await,
        Command::Receipt(Receipt::Show(args)) => cmd::receipt::show(&args, out, report),
        Command::Release(Release::Verify(args)) => cmd::release::verify(&args, out, report),
        Command::Completions(args) => cmd::completions(&args, out, report),
    }
}

fn conclude(outcome: Result<Exit, Error>, out: Output, mut report: Report) -> Exit {
    let exit = match outcome {
        Ok(exit) => exit,
        Err(error) => {
            report.fail(&error);
            if let Some(word) = verdict_word(error.exit()) {
                out.verdict(word, error.code());
            }
            out.error(&chain(&error), error.hint().as_deref());
            error.exit()
        }
    };
    let file = report.file.take();
    if let Some(object) = report.take_object() {
        out.object(&object);
        let written = file.map(|file| std::fs::write(&file, format!("{object:#}\n")).map_err(|error| (file, error)));
        if let Some(Err((file, error))) = written {
            out.error(&format!("write {}: {error}", file.display()), None);
            return exit.max(Exit::Internal);
        }
    }
    exit
}
