//! What the vendors say about this machine, from a directory that the operator keeps or that is kept here, for the guardian that asks.
//!
//! Decides: which document answers for which report, and where it is to be had. Nobody trusts this program: what it hands out is signed
//! by the vendor, and every client checks it. Files are read at each question, so a newer revocation list counts at once.

mod fetch;
mod gpus;
mod shelf;
mod snp;
mod tdx;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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

/// Time between two looks at what was asked about lately.
const LOOK_PERIOD: Duration = Duration::from_secs(600);
/// Questions that are remembered for that: some for each machine of a host.
const QUESTIONS_MAX: usize = 16;

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let shelf = Shelf::open(&args.dir, &args.services, args.fetch)?;
    let service = Arc::new(Service { shelf, roots: TrustRoots::vendor(), lately: Mutex::default() });
    if args.fetch {
        let service = Arc::clone(&service);
        std::thread::Builder::new().spawn(move || {
            loop {
                std::thread::sleep(LOOK_PERIOD);
                service.renew();
            }
        })?;
    }
    platform_service::serve("collateral", &args.socket, Access::Owner, &output::note, &|question| {
        service.answer(question)
    })
}

struct Service {
    shelf: Shelf,
    roots: TrustRoots,
    /// What was asked and answered.
    lately: Mutex<VecDeque<Question>>,
}

impl Service {
    fn answer(&self, question: Question) -> anyhow::Result<Answer> {
        // The operator reads this; whoever asked is told the same.
        let found = self.look_up(&question).inspect_err(|error| output::note(&format!("{error:#}")))?;
        let mut lately = self.lately();
        lately.truncate(QUESTIONS_MAX - 1);
        lately.push_front(question);
        Ok(found)
    }

    fn look_up(&self, question: &Question) -> anyhow::Result<Answer> {
        let Self { shelf, roots, .. } = self;
        match question {
            Question::Endorse(evidence) => endorsements(shelf, evidence).map(Answer::Endorsements),
            Question::EndorseGpus(evidence) => gpus::endorsements(shelf, evidence, roots).map(Answer::GpuEndorsements),
            _ => anyhow::bail!("this service signs nothing; it has endorsements only"),
        }
    }

    /// Has everything looked up again that was lately, so that what is old is fetched although nobody asks.
    fn renew(&self) {
        let questions: Vec<_> = self.lately().iter().cloned().collect();
        for question in questions {
            if let Err(error) = self.look_up(&question) {
                output::note(&format!("{error:#}"));
            }
        }
    }

    fn lately(&self) -> MutexGuard<'_, VecDeque<Question>> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
