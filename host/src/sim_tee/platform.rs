//! The simulated platform's parts: a CPU of either vendor, and a GPU when asked for one.
//!
//! Decides: which keys sign. They live in the state directory and outlive the process, except Intel's, which are made
//! anew at each start; `root.pem` always holds the roots of what runs now.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use attestation::gpu::{GpuEndorsements, GpuEvidence};
use attestation::{Base64, CpuEvidence, Endorsements, EvidenceFormat, Product};
use attestation_testing::gpu::{FakeGpu, GpuKeys};
use attestation_testing::tdx::FakeTdx;
use attestation_testing::{FakeSnp, NAME_PREFIX, TestPki, pem};

use super::Measurements;
use crate::cli::Tee;
use crate::{clock, output};

/// What signs.
pub(super) struct Platform {
    cpu: Cpu,
    gpu: Option<SimulatedGpu>,
    measurements: Measurements,
}

struct SimulatedGpu {
    keys: GpuKeys,
    /// As they were signed at the start: a device keeps its leaf until it is reset.
    certificate_chain: Vec<u8>,
}

enum Cpu {
    Snp(Box<TestPki>),
    Tdx(Box<FakeTdx>),
}

impl Platform {
    /// The platform kept in `state`, made at first use. Writes `root.pem`.
    pub(super) fn open(state: &Path, tee: Tee, with_gpu: bool, measurements: Measurements) -> anyhow::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(state)?;
        let cpu = match tee {
            Tee::Snp => Cpu::Snp(Box::new(snp_keys(state)?)),
            Tee::Tdx => Cpu::Tdx(Box::new(FakeTdx::accepted())),
        };
        let gpu = if with_gpu {
            let keys = gpu_keys(state)?;
            let certificate_chain = FakeGpu::accepted(&keys, clock::now()).evidence([0; 32]).certificate_chain;
            Some(SimulatedGpu { keys, certificate_chain })
        } else {
            None
        };
        let platform = Self { cpu, gpu, measurements };
        fs::write(state.join("root.pem"), platform.roots_pem())?;
        Ok(platform)
    }

    fn roots_pem(&self) -> String {
        let cpu = match &self.cpu {
            Cpu::Snp(pki) => pki.ark_pem(),
            Cpu::Tdx(fake) => pem(fake.root_der()),
        };
        let gpu = self.gpu.iter().flat_map(|gpu| gpu.keys.roots()).map(|root| pem(root));
        std::iter::once(cpu).chain(gpu).collect()
    }

    /// A report or quote over `report_data`, and what verifies it.
    pub(super) fn report(&self, report_data: [u8; 64]) -> (CpuEvidence, Endorsements) {
        match &self.cpu {
            Cpu::Snp(pki) => {
                let mut fake = FakeSnp::accepted(pki);
                fake.measurement = self.measurements.launch;
                fake.report_data = report_data;
                let evidence = CpuEvidence { format: EvidenceFormat::SevSnpReportV1, report: Base64(fake.sign(pki)) };
                (evidence, Endorsements::SevSnp(pki.endorsements(clock::now())))
            }
            Cpu::Tdx(template) => {
                let mut fake = template.reporting(self.measurements.launch, report_data).dated(clock::now());
                fake.body.rtmrs = self.measurements.rtmrs;
                let evidence = CpuEvidence { format: EvidenceFormat::TdxQuoteV1, report: Base64(fake.quote()) };
                (evidence, Endorsements::Tdx(Box::new(fake.collateral())))
            }
        }
    }

    /// What verifies a report of this platform, without making one.
    pub(super) fn endorsements_of(&self, evidence: &CpuEvidence) -> anyhow::Result<Endorsements> {
        match (&self.cpu, evidence.format) {
            (Cpu::Snp(pki), EvidenceFormat::SevSnpReportV1) => Ok(Endorsements::SevSnp(pki.endorsements(clock::now()))),
            (Cpu::Tdx(_), EvidenceFormat::TdxQuoteV1) => Ok(self.report([0; 64]).1),
            _ => bail!("the report is of another kind of platform"),
        }
    }

    /// The GPU's answer to `nonce`, and what verifies it.
    pub(super) fn gpu(&self, nonce: [u8; 32]) -> anyhow::Result<(Vec<GpuEvidence>, GpuEndorsements)> {
        let SimulatedGpu { keys, certificate_chain } =
            self.gpu.as_ref().context("this platform has no GPU; start it with --gpu")?;
        let gpu = FakeGpu::accepted(keys, clock::now());
        let evidence = GpuEvidence { certificate_chain: certificate_chain.clone(), ..gpu.evidence(nonce) };
        Ok((vec![evidence], gpu.endorsements()))
    }
}

fn snp_keys(state: &Path) -> anyhow::Result<TestPki> {
    let file = state.join("pki.json");
    if file.exists() {
        let text = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        return TestPki::from_json(&text)
            .with_context(|| format!("{} is not a simulated vendor chain", file.display()));
    }
    if state.join("root.pem").exists() && !state.join("gpu.json").exists() {
        bail!("{} holds a root without its keys; use an empty directory", state.display());
    }
    output::note("making a simulated vendor chain (a few seconds)");
    let pki = TestPki::generate(Product::Genoa, NAME_PREFIX)?;
    write_keys(&file, &pki.to_json()?)?;
    Ok(pki)
}

fn gpu_keys(state: &Path) -> anyhow::Result<GpuKeys> {
    let file = state.join("gpu.json");
    if file.exists() {
        let text = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        return GpuKeys::from_json(&text).with_context(|| format!("{} is not a simulated GPU", file.display()));
    }
    let keys = GpuKeys::generate()?;
    write_keys(&file, &keys.to_json()?)?;
    Ok(keys)
}

fn write_keys(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(bytes)?)
}
