//! How long an appraisal takes: against the bare signatures inside it, and against the libraries others use, in one run.
//!
//! Absolute times say more about the machine and its neighbours than about the code; the ratios are what counts. Every
//! contender starts from the same bytes in memory, but launch digests, which all three programs read from files.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench is a program for a terminal"
)]

mod floor;
mod gpu;
mod measure;

use std::time::Duration;

use attestation::snp::{self, SnpCache};
use attestation::tdx::{self, TdxCache, TdxCollateral};
use attestation::{Transcript, UnixTime};
use attestation_peers::launch::{DEBIAN_OVMF, Launch, by_sev_snp_measure};
use attestation_peers::{python, vectors};
use dcap_qvl::QuoteCollateralV3;
use floor::verify_all;
use measure::{Contender, Platform};

const SNP_CASE: &str = "snp/real/milan-v3-vcek-azure-vtpm";
const TDX_CASE: &str = "tdx/negative/control-ok";
const COLD: &str = "ours, nothing cached";
const WARM: &str = "ours, repeated";

fn main() {
    // `cargo bench` passes flags of its own harness; there is nothing to choose here.
    let python = PythonTimes::take();
    snp_report(&python);
    tdx_quote(&python);
    gpu::evidence(&python);
    launch_digest();
}

/// Times the Python verifiers take, each a median of its own process.
pub(crate) struct PythonTimes(Vec<(String, f64)>);

impl PythonTimes {
    fn take() -> Self {
        let input = serde_json::json!({
            "vectors": vectors::path(""),
            "snp": snp_case().as_json(),
            "tdx": { "case": TDX_CASE, "at": tdx_case().at.0 },
            "gpu": gpu::CASE,
        });
        let lines = python::run("appraise_times.py", &[], &input.to_string());
        let parse = |line: &String| {
            let (name, seconds) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), seconds.parse().unwrap())
        };
        Self(lines.iter().map(parse).collect())
    }

    pub(crate) fn of(&self, prefix: &str) -> Vec<(String, Duration)> {
        let of = |(name, seconds): &(String, f64)| {
            name.strip_prefix(prefix).map(|name| (name.trim().to_owned(), Duration::from_secs_f64(*seconds)))
        };
        let found: Vec<_> = self.0.iter().filter_map(of).collect();
        assert!(!found.is_empty(), "{prefix}");
        found
    }
}

fn snp_case() -> attestation_peers::snp::Case {
    attestation_peers::snp::cases().into_iter().find(|case| case.id == SNP_CASE).unwrap()
}

fn tdx_case() -> attestation_peers::tdx::Case {
    attestation_peers::tdx::cases().into_iter().find(|case| case.id == TDX_CASE).unwrap()
}

fn snp_report(python: &PythonTimes) {
    let case = snp_case();
    let (roots, policy, warm) = (case.roots(), vectors::waived_policy(), SnpCache::default());
    let appraise = |cache: &SnpCache| {
        let mut transcript = Transcript::new();
        snp::appraise(&case.report, &case.endorsements, &roots, &policy, case.at, cache, &mut transcript).unwrap()
    };
    let bare = floor::snp(&case);
    Platform {
        title: format!("SEV-SNP report ({SNP_CASE})"),
        cold: Contender::new(COLD, || appraise(&SnpCache::default())),
        warm: Some(Contender::new(WARM, || appraise(&warm))),
        cold_floor: Contender::new("  floor: 2 RSA-4096-PSS, 1 P-384 (aws-lc-rs)", || verify_all(&bare)),
        warm_floor: Some(Contender::new("  floor: 1 P-384 (aws-lc-rs)", || verify_all(&bare[2..]))),
        peers: vec![Contender::new("sev 8.0.0: 3 RSA, 1 P-384, no policy", || case.run_sev().unwrap())],
        reported: python.of("snp"),
    }
    .run();
}

fn tdx_quote(python: &PythonTimes) {
    let case = tdx_case();
    let (roots, policy, warm) = (case.roots(), vectors::waived_policy(), TdxCache::default());
    let collateral = TdxCollateral::from_json(&case.collateral).unwrap();
    let appraise = |cache: &TdxCache, at: UnixTime| {
        tdx::appraise(&case.quote, &collateral, &roots, &policy, at, cache, &mut Transcript::new()).unwrap()
    };
    let bare = floor::tdx(&case);
    let theirs: QuoteCollateralV3 = serde_json::from_slice(&case.collateral).unwrap();
    let verifier = case.verifier();
    Platform {
        title: format!("TDX quote ({TDX_CASE}: a capture)"),
        cold: Contender::new(COLD, || appraise(&TdxCache::default(), case.at)),
        warm: Some(Contender::new(WARM, || appraise(&warm, case.at))),
        cold_floor: Contender::new("  floor: 9 P-256 (aws-lc-rs)", || verify_all(&bare)),
        warm_floor: Some(Contender::new("  floor: 1 P-256 (aws-lc-rs)", || verify_all(&bare[8..]))),
        peers: vec![Contender::new("dcap-qvl 0.7.1 (ring)", || case.run_dcap_qvl(&verifier, &theirs).unwrap())],
        reported: python.of("tdx"),
    }
    .run();
}

fn launch_digest() {
    let launch = Launch { firmware: DEBIAN_OVMF, kernel: false, vcpus: 4, cpu: "EPYC-Milan" };
    let python: f64 = by_sev_snp_measure(&[launch], &["--seconds", "31"])[0].parse().unwrap();
    Platform {
        title: format!("SEV-SNP launch digest ({DEBIAN_OVMF}, 4 CPUs, from files)"),
        cold: Contender::new("ours", || launch.ours()),
        warm: None,
        cold_floor: Contender::new("  floor: file, SHA-384 per page twice (aws-lc-rs)", || {
            floor::pages(&launch.firmware());
        }),
        warm_floor: None,
        peers: vec![Contender::new("sev 8.0.0", || launch.by_sev())],
        reported: vec![("sev-snp-measure 0.0.13 (Python)".to_owned(), Duration::from_secs_f64(python))],
    }
    .run();
}
