//! What the vendors say about this machine, from a directory that the operator keeps or that is kept here, for the guardian that asks.
//!
//! Decides: which document answers for which report, and where it is to be had. Nobody trusts this program: what it hands out is signed
//! by the vendor, and every client checks it. Files are read at each question, so a newer revocation list counts at once.

mod fetch;
mod gpus;
mod shelf;
mod snp;
mod tdx;

use std::path::PathBuf;

use attestation::snp::SnpReport;
use attestation::{CpuEvidence, Endorsements, EvidenceFormat, TrustRoots};
use platform_service::{Access, Answer, Question};

use self::fetch::Services;
use self::shelf::Shelf;
use crate::output;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory with the vendors' files. What is missing is named, with where it is to be had, when a guardian asks for it.
    #[arg(long)]
    dir: PathBuf,
    /// Unix socket to answer on; may be repeated.
    #[arg(long, required = true)]
    socket: Vec<PathBuf>,
    /// Fetch what is missing, and again what can change: revocation lists and TCB information after 12 hours, OCSP responses after two.
    #[arg(long)]
    fetch: bool,
    #[command(flatten)]
    services: Services,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let shelf = Shelf::open(&args.dir, &args.services, args.fetch)?;
    let roots = TrustRoots::vendor();
    platform_service::serve("collateral", &args.socket, Access::Owner, &output::note, &|question| {
        answer(&shelf, &roots, question)
    })
}

fn answer(shelf: &Shelf, roots: &TrustRoots, question: Question) -> anyhow::Result<Answer> {
    let found = match question {
        Question::Endorse(evidence) => endorsements(shelf, &evidence).map(Answer::Endorsements),
        Question::EndorseGpus(evidence) => gpus::endorsements(shelf, &evidence, roots).map(Answer::GpuEndorsements),
        _ => anyhow::bail!("this service signs nothing; it has endorsements only"),
    };
    // The operator reads this; whoever asked is told the same.
    found.inspect_err(|error| output::note(&format!("{error:#}")))
}

fn endorsements(shelf: &Shelf, evidence: &CpuEvidence) -> anyhow::Result<Endorsements> {
    match evidence.format {
        EvidenceFormat::SevSnpReportV1 => {
            Ok(Endorsements::SevSnp(snp::endorsements(shelf, &SnpReport::parse(&evidence.report.0)?)?))
        }
        EvidenceFormat::TdxQuoteV1 => Ok(Endorsements::Tdx(Box::new(tdx::endorsements(shelf, &evidence.report.0)?))),
    }
}

#[cfg(test)]
mod fetch_tests;
#[cfg(test)]
mod tests;
