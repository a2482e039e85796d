//! Certificates of a public authority for a guardian's keys, had by ACME (RFC 8555) and handed to the guardian that asks.
//!
//! Decides: which requests are ordered, and when again. Nobody trusts this program: it has a request that the guardian's key signed and
//! an account at the authority, and never a key of the node. The guardian shows what it is given only if it is of its own key and name.

mod acme;
mod challenge;
mod desk;
mod shelf;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use platform_service::Access;

use crate::key_file;
use crate::output;
use acme::Authority;
use challenge::Answers;
use desk::Desk;
use shelf::Shelf;

/// Let's Encrypt.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Have a guardian's keys certified, and hand it what the authority says.
    #[command(
        after_help = "The authority asks for a file on port 80 of the name (http-01): this program answers there, for as long as it runs. \
        The guardian names the same name in [certificate] of its measured configuration.\n\
        Examples:\n  cloister-host certificate serve --dir /var/lib/cloister/certificate --name node.example.com \
        --socket /run/cloister/vsock.sock_9003 --agree-to-terms\n  \
        cloister-host certificate serve … --directory https://acme-staging-v02.api.letsencrypt.org/directory --contact ops@example.com"
    )]
    Serve(Box<Serve>),
    /// Print the account, what to write into DNS so that nobody else has the name certified, and the certificates that are held.
    #[command(after_help = "Example:\n  cloister-host certificate info --dir /var/lib/cloister/certificate --json")]
    Info {
        /// The directory of account and certificates.
        #[arg(long)]
        dir: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub(crate) struct Serve {
    /// Directory for the account's key and the certificates; made if it is not there. One for each authority.
    #[arg(long)]
    dir: PathBuf,
    /// Name that certificates may be for; may be repeated. Requests for others are refused.
    #[arg(long, required = true, value_parser = name)]
    name: Vec<String>,
    /// Unix socket to answer on; may be repeated. A guest that connects to port P of its host by vhost-device-vsock arrives at that
    /// program's socket path with `_P` appended. Only this user may connect.
    #[arg(long, required = true)]
    socket: Vec<PathBuf>,
    /// The authority's directory.
    #[arg(long, value_name = "URL", default_value = DIRECTORY, value_parser = directory)]
    directory: String,
    /// Trust only this certificate (PEM) for the authority's own server, instead of this machine's.
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Address for the authority's questions; they come to port 80 of the name.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:80")]
    listen: SocketAddr,
    /// Address that the authority may write to; may be repeated.
    #[arg(long, value_name = "EMAIL", value_parser = email)]
    contact: Vec<String>,
    /// You agree to the authority's terms of service. Needed until there is an account.
    #[arg(long)]
    agree_to_terms: bool,
    /// Kind of certificate, where the authority has several. Keys live six days at most: Let's Encrypt's `shortlived` suits them.
    #[arg(long)]
    profile: Option<String>,
}

/// The same rule as the guardian's.
fn name(text: &str) -> Result<String, String> {
    let is_one = platform_service::is_public_name(text);
    if is_one { Ok(text.to_owned()) } else { Err("not a DNS name of two labels or more, in lowercase".to_owned()) }
}

fn directory(text: &str) -> Result<String, String> {
    if text.starts_with("https://") { Ok(text.to_owned()) } else { Err("not an https URL".to_owned()) }
}

fn email(text: &str) -> Result<String, String> {
    let is_one = text.split_once('@').is_some_and(|(who, at)| !who.is_empty() && at.contains('.'));
    if is_one { Ok(format!("mailto:{text}")) } else { Err("not an email address".to_owned()) }
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(args) => serve(*args),
        Command::Info { dir, json } => info(&dir, json),
    }
}

fn serve(args: Serve) -> anyhow::Result<()> {
    key_file::make_directory(&args.dir)?;
    let account = Account::read(&args.dir)?;
    if account.is_none() && !args.agree_to_terms {
        bail!("there is no account in {} yet: read the authority's terms and add --agree-to-terms", args.dir.display());
    }
    if let Some(account) = account.filter(|account| account.directory != args.directory) {
        bail!(
            "the account in {} is at {}; use another --dir for {}",
            args.dir.display(),
            account.directory,
            args.directory
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let answers = Answers::default();
    let asked = runtime.block_on(challenge::listen(args.listen, answers.clone()))?;
    runtime.spawn(asked);
    let authority = Authority {
        directory: args.directory,
        root: args.root,
        contact: args.contact,
        profile: args.profile,
        account: account_file(&args.dir),
        answers,
    };
    let desk = Desk::new(authority, Shelf::new(args.dir), args.name, runtime.handle().clone());
    platform_service::serve("certificates", &args.socket, Access::Owner, &output::note, &|question| {
        // The operator reads this; whoever asked is told the same.
        desk.answer(question).inspect_err(|error| output::note(&format!("{error:#}")))
    })
}

fn account_file(dir: &Path) -> PathBuf {
    dir.join("account.json")
}

/// What is told of an account; its file has its key too.
#[derive(serde::Deserialize)]
struct Account {
    id: String,
    directory: String,
}

impl Account {
    fn read(dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = account_file(dir);
        if !path.exists() {
            return Ok(None);
        }
        let text = key_file::read(&path)?;
        serde_json::from_str(&text).map(Some).with_context(|| format!("{} is not an account", path.display()))
    }

    /// The record of RFC 8659 and 8657 by which authorities certify the name for this account only.
    fn caa(&self) -> String {
        let host = self.directory.trim_start_matches("https://").split(['/', ':']).next().unwrap_or_default();
        // The name of an authority in such records is its own choice.
        let issuer = if host.ends_with(".letsencrypt.org") { "letsencrypt.org" } else { "AUTHORITY" };
        format!("CAA 0 issue \"{issuer}; accounturi={}; validationmethods=http-01\"", self.id)
    }
}

fn info(dir: &Path, json: bool) -> anyhow::Result<()> {
    let account = Account::read(dir)?.with_context(|| format!("there is no account in {}", dir.display()))?;
    let held = Shelf::new(dir.to_owned()).all()?;
    if json {
        let certificates: Vec<_> = held.iter().map(shelf::Held::json).collect();
        let (id, directory, caa) = (&account.id, &account.directory, account.caa());
        let said = serde_json::json!({"account": id, "directory": directory, "caa": caa, "certificates": certificates});
        return output::line(&said.to_string());
    }
    output::line(&format!("directory    {}", account.directory))?;
    output::line(&format!("account      {}", account.id))?;
    output::line(&format!("DNS          {}", account.caa()))?;
    for held in &held {
        output::line(&format!("certificate  {held}"))?;
    }
    Ok(())
}
