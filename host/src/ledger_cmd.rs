//! `cloister-host ledger …`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use credits::Credits;
use credits::circuit::Statement;
use ledger::{InitOptions, MergeSource, OpenLedger, PostgresOptions, PostgresServer};

use crate::cli::Ledger;
use crate::ledger_witnesses::Rounds;
use crate::{ceremony, clock, output, stop};

pub(crate) fn run(command: Ledger) -> anyhow::Result<()> {
    match command {
        Ledger::Init {
            dir,
            grace_secs,
            tab_secs_max,
            postgres,
            postgres_ca,
            parameters,
            merge_parameters,
            no_merges,
            ptau,
            holds_value,
            accept_single_party,
        } => {
            let postgres = postgres.map(|url| server(&url, postgres_ca.as_deref())).transpose()?;
            let of_ceremony = |statement, directory: Option<PathBuf>| {
                let files = directory.as_deref().zip(ptau.as_deref());
                files.map(|(directory, ptau)| ceremony::parameters(statement, directory, ptau)).transpose()
            };
            let parameters = of_ceremony(Statement::Spend, parameters)?;
            let merges = match of_ceremony(Statement::Merge, merge_parameters)? {
                Some(made) => Some(MergeSource::Ceremony(made)),
                None if no_merges || parameters.is_some() => None,
                None => Some(MergeSource::MadeHere),
            };
            let options = InitOptions {
                holds_value,
                accept_single_party,
                parameters,
                merges,
                grace_secs,
                tab_secs_max,
                postgres,
                ..InitOptions::default()
            };
            init(&dir, options)
        }
        Ledger::Serve { dir, listen, witness } => serve(&dir, listen, &witness),
        Ledger::Voucher { dir, value, json } => voucher(&dir, value, json),
        Ledger::Info { dir, json } => info(&dir, json),
    }
}

/// The server that the command line names.
fn server(url: &str, authority: Option<&Path>) -> anyhow::Result<PostgresOptions> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("read {}", path.display()));
    let authority = authority.map(read).transpose()?;
    let Some(file) = url.strip_prefix('@') else {
        if PostgresServer::new(url, authority.as_deref())?.has_password() {
            bail!(
                "a password on the command line can be seen by others: put the URL into a file and give --postgres @FILE"
            );
        }
        return Ok(PostgresOptions { url: url.to_owned(), authority });
    };
    let url = String::from_utf8(read(Path::new(file))?).with_context(|| format!("{file} is not text"))?;
    Ok(PostgresOptions { url: url.trim().to_owned(), authority })
}

fn init(dir: &Path, options: InitOptions) -> anyhow::Result<()> {
    let single_party = options.parameters.is_none();
    output::note("making keys and parameters of the proof system (a few seconds)");
    let info = ledger::init(dir, options).with_context(|| format!("make a ledger in {}", dir.display()))?;
    if single_party {
        output::note(
            "the parameters come from a single-party setup: whoever ran this could forge spends on this ledger",
        );
    }
    output::line(&info.ledger_id.to_string())
}

fn serve(dir: &Path, listen: SocketAddr, witnesses: &[String]) -> anyhow::Result<()> {
    let subscriber = tracing_subscriber::fmt().json().with_writer(std::io::stderr).finish();
    // Nothing else in this process installs a logger; if it did, that one would do.
    let _ = tracing::subscriber::set_global_default(subscriber);
    let open = ledger::open(dir, clock::system()).with_context(|| format!("open the ledger in {}", dir.display()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // Ended before the runtime that it asks.
    let rounds = Rounds::start(open.ledger.clone(), open.witnessed.clone(), witnesses, runtime.handle().clone())?;
    let served = runtime.block_on(serve_until_signal(open, listen));
    drop(rounds);
    served
}

async fn serve_until_signal(open: OpenLedger, listen: SocketAddr) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    output::note(&format!("ledger ready on http://{}", listener.local_addr()?));
    Ok(ledger::serve(listener, open, stop::asked()?).await?)
}

fn voucher(dir: &Path, value: u64, json: bool) -> anyhow::Result<()> {
    let value = Credits::new(value).context("the value is not an amount of credits")?;
    let voucher = ledger::issue_voucher(dir, value)?.to_text();
    output::line(&if json {
        serde_json::json!({"voucher": voucher, "value": value.get()}).to_string()
    } else {
        voucher
    })
}

fn info(dir: &Path, json: bool) -> anyhow::Result<()> {
    let info = ledger::directory::read_info(dir)?;
    let log_key = tlog::ledger_log::ledger_log_key(&info.ledger_id, &info.ledger_key)?.to_string();
    if json {
        let mut object = serde_json::to_value(&info)?;
        if let Some(members) = object.as_object_mut() {
            members.insert("log_key".to_owned(), log_key.into());
        }
        return output::line(&object.to_string());
    }
    output::line(&format!("ledger id        {}", info.ledger_id))?;
    output::line(&format!("checkpoint key   {}", info.ledger_key))?;
    output::line(&format!("log key          {log_key}   (for `witness serve --log`)"))?;
    output::line(&format!("parameters       {} ({} setup)", info.vk_digest, info.setup))?;
    let merges = info.merge.as_ref().map(|merge| format!("{} ({} setup)", merge.vk_digest, merge.setup));
    output::line(&format!("merges           {}", merges.as_deref().unwrap_or("none")))?;
    output::line(&format!("holds value      {}", if info.holds_value { "yes" } else { "no: test credits" }))?;
    output::line(&format!("longest tab      {} s, then {} s of grace", info.tab_secs_max, info.grace_secs))
}
