//! What the vendors say about this machine, from files that the operator keeps, for the guardian that asks.
//!
//! Decides: which file answers for which report, and what to fetch when it is missing. Nobody trusts this program: what it hands
//! out is signed by the vendor, and every client checks it. Files are read at each question, so a newer revocation list counts at
//! once.

mod gpus;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use attestation::snp::{SigningKey, SnpReport};
use attestation::tdx::{COLLATERAL_BYTES_MAX, TdxCollateral};
use attestation::{Base64, CpuEvidence, Endorsements, EvidenceFormat, Product, SnpEndorsements};
use platform_service::{Access, Answer, Question};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::output;

/// AMD's key distribution service (AMD 57230).
const KDS: &str = "https://kdsintf.amd.com";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory with the vendor's files. What is missing is named, with where it is to be had, when a guardian asks for it.
    #[arg(long)]
    dir: PathBuf,
    /// Unix socket to answer on; may be repeated.
    #[arg(long, required = true)]
    socket: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if !args.dir.is_dir() {
        bail!("{} is not a directory", args.dir.display());
    }
    platform_service::serve("collateral", &args.socket, Access::Owner, &output::note, &|question| {
        answer(&args.dir, question)
    })
}

fn answer(dir: &Path, question: Question) -> anyhow::Result<Answer> {
    let found = match question {
        Question::Endorse(evidence) => endorsements(dir, &evidence).map(Answer::Endorsements),
        Question::EndorseGpus(evidence) => gpus::endorsements(dir, &evidence).map(Answer::GpuEndorsements),
        _ => bail!("this service signs nothing; it has endorsements only"),
    };
    // The operator reads this; whoever asked is told the same.
    found.inspect_err(|error| output::note(&format!("{error:#}")))
}

fn endorsements(dir: &Path, evidence: &CpuEvidence) -> anyhow::Result<Endorsements> {
    match evidence.format {
        EvidenceFormat::SevSnpReportV1 => {
            Ok(Endorsements::SevSnp(of_snp(dir, &SnpReport::parse(&evidence.report.0)?)?))
        }
        EvidenceFormat::TdxQuoteV1 => Ok(Endorsements::Tdx(Box::new(of_tdx(dir)?))),
    }
}

fn of_snp(dir: &Path, report: &SnpReport) -> anyhow::Result<SnpEndorsements> {
    let cpu = report.cpu.context("a report of version 2 does not name its processor; update the firmware")?;
    let product = Product::from_cpuid(cpu.family, cpu.model)?;
    let vek = match report.key_information.signing_key {
        SigningKey::Vcek => {
            let (name, url) = vcek(product, report)?;
            read(dir, &name, &from(&url))?
        }
        SigningKey::Vlek => read(dir, "vlek.der", "only your cloud provider has this certificate")?,
    };
    let kind = match report.key_information.signing_key {
        SigningKey::Vcek => "vcek",
        SigningKey::Vlek => "vlek",
    };
    let name = format!("{kind}-{product}-cert_chain.pem");
    let chain = read(dir, &name, &from(&format!("{KDS}/{kind}/v1/{product}/cert_chain")))?;
    let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| anyhow::anyhow!("{name} is not PEM: {error}"))?;
    let [intermediate, root] = <[_; 2]>::try_from(chain)
        .map_err(|got| anyhow::anyhow!("{name} has {} certificates, not the two of AMD's chain", got.len()))?;
    let crl = read(dir, &format!("{kind}-{product}.crl"), &from(&format!("{KDS}/{kind}/v1/{product}/crl")))?;
    Ok(SnpEndorsements {
        vek: Base64(vek),
        intermediate: Base64(intermediate.to_vec()),
        root: Base64(root.to_vec()),
        crl: Some(Base64(crl)),
    })
}

/// The file of the chip's certificate at its reported firmware, and where AMD has it (57230 §4.1).
fn vcek(product: Product, report: &SnpReport) -> anyhow::Result<(String, String)> {
    let tcb = report.reported_tcb.decode(product)?;
    let chip = hex::encode(report.chip_id.iter().take(product.chip_id_len()).copied().collect::<Vec<_>>());
    let fmc = tcb.fmc.map(|fmc| format!("&fmcSPL={fmc}")).unwrap_or_default();
    let query =
        format!("blSPL={}&teeSPL={}&snpSPL={}&ucodeSPL={}{fmc}", tcb.boot_loader, tcb.tee, tcb.snp, tcb.microcode);
    let short: String = chip.chars().take(16).collect();
    let name = format!("vcek-{product}-{short}-{}.der", hex::encode(report.reported_tcb.bytes));
    Ok((name, format!("{KDS}/vcek/v1/{product}/{chip}?{query}")))
}

/// One host, one platform: Intel's collateral in the form quote providers hand out.
fn of_tdx(dir: &Path) -> anyhow::Result<TdxCollateral> {
    let name = "tdx-collateral.json";
    let bytes = read(dir, name, "ask Intel's PCS (version 4) or your PCCS for the FMSPC of this platform")?;
    if bytes.len() > COLLATERAL_BYTES_MAX {
        bail!("{name} is longer than {COLLATERAL_BYTES_MAX} bytes");
    }
    serde_json::from_slice(&bytes).with_context(|| format!("{name} is not Intel's collateral"))
}

fn from(url: &str) -> String {
    format!("fetch it there: curl --fail --remote-time --output FILE '{url}'")
}

fn read(dir: &Path, name: &str, advice: &str) -> anyhow::Result<Vec<u8>> {
    let path = dir.join(name);
    fs::read(&path).with_context(|| format!("read {}; if it is missing, {advice}", path.display()))
}

#[cfg(test)]
mod tests;
