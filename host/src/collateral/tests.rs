//! Real reports of real machines, and the files that belong to them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use attestation::gpu::{GpuEvidence, OcspAnswer};
use attestation::snp::SnpReport;
use attestation::{Base64, CpuEvidence, Endorsements, EvidenceFormat, Product, TrustRoots};
use platform_service::{Answer, Question};
use tempfile::TempDir;

use super::snp::vcek;
use super::{Services, Shelf};

pub(super) fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors")
}

pub(super) fn vector(path: &str) -> Vec<u8> {
    fs::read(vectors().join(path)).unwrap()
}

pub(super) fn snp(name: &str) -> CpuEvidence {
    let report = Base64(vector(&format!("snp/real/{name}/report.bin")));
    CpuEvidence { format: EvidenceFormat::SevSnpReportV1, report }
}

/// Where everybody asks, or `arguments` say.
pub(super) fn services(arguments: &[&str]) -> Services {
    #[derive(clap::Parser)]
    struct Arguments {
        #[arg(long)]
        fetch: bool,
        #[command(flatten)]
        services: Services,
    }
    let parsed: Arguments = clap::Parser::parse_from(["collateral", "--fetch"].iter().chain(arguments));
    assert!(parsed.fetch);
    parsed.services
}

fn kept(dir: &Path) -> Shelf {
    Shelf::open(dir, &services(&[]), false).unwrap()
}

fn endorsements(dir: &Path, evidence: &CpuEvidence) -> anyhow::Result<Endorsements> {
    super::endorsements(&kept(dir), evidence)
}

fn answer(dir: &Path, question: Question) -> anyhow::Result<Answer> {
    let service = super::Service { shelf: kept(dir), roots: TrustRoots::vendor(), lately: Mutex::default() };
    service.answer(question)
}

fn refusal(dir: &Path, evidence: &CpuEvidence) -> String {
    format!("{:#}", endorsements(dir, evidence).unwrap_err())
}

pub(super) fn pem(der: &[u8]) -> String {
    attestation_testing::pem(der)
}

#[test]
fn a_chips_certificate_is_asked_for_by_its_id_and_reported_firmware() {
    let report = SnpReport::parse(&vector("snp/real/genoa-v3-vcek-azure/report.bin")).unwrap();
    let (name, url) = vcek(Product::Genoa, &report).unwrap();
    // The certificate that AMD gave out for this report says the same: its extensions hold the id and the versions.
    let certificate = vector("snp/real/genoa-v3-vcek-azure/vcek.der");
    assert!(certificate.windows(64).any(|window| window == report.chip_id));
    let chip = hex::encode(report.chip_id);
    let query = "blSPL=10&teeSPL=0&snpSPL=23&ucodeSPL=84";
    assert_eq!(url, format!("/vcek/v1/Genoa/{chip}?{query}"));
    assert_eq!(name, format!("vcek-Genoa-{}-0a00000000001754.der", &chip[..16]));
}

#[test]
fn each_missing_file_is_named_until_all_are_there() {
    let evidence = snp("genoa-v3-vcek-azure");
    let dir = TempDir::new().unwrap();
    let (name, _) = vcek(Product::Genoa, &SnpReport::parse(&evidence.report.0).unwrap()).unwrap();
    let (vek, list) = (vector("snp/real/genoa-v3-vcek-azure/vcek.der"), b"a list".to_vec());
    let chain = format!("{}{}", pem(b"intermediate"), pem(b"root"));
    let files = [
        (name.as_str(), vek.as_slice(), "/vcek/v1/Genoa/"),
        ("vcek-Genoa-cert_chain.pem", chain.as_bytes(), "/vcek/v1/Genoa/cert_chain"),
        ("vcek-Genoa.crl", list.as_slice(), "/vcek/v1/Genoa/crl"),
    ];
    for (name, bytes, url) in files {
        let refused = refusal(dir.path(), &evidence);
        assert!(refused.contains(name) && refused.contains(url) && refused.contains("curl"), "{refused}");
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let Endorsements::SevSnp(found) = endorsements(dir.path(), &evidence).unwrap() else { panic!("of AMD") };
    assert_eq!((found.vek.0, found.crl.unwrap().0), (vek, list));
    assert_eq!((found.intermediate.0, found.root.0), (b"intermediate".to_vec(), b"root".to_vec()));

    for (chain, reason) in
        [(pem(b"one"), "1 certificates"), (String::new(), "0 certificates"), (chain.repeat(2), "4 certificates")]
    {
        fs::write(dir.path().join("vcek-Genoa-cert_chain.pem"), chain).unwrap();
        let refused = refusal(dir.path(), &evidence);
        assert!(refused.contains(reason), "{refused}");
    }
}

#[test]
fn what_no_file_can_answer_is_said() {
    let dir = TempDir::new().unwrap();
    let refused = refusal(dir.path(), &snp("milan-v3-vlek-aws-useast2"));
    assert!(refused.contains("vlek.der") && refused.contains("cloud provider"), "{refused}");
    let refused = refusal(dir.path(), &snp("milan-v2-vcek-virtee"));
    assert!(refused.contains("version 2"), "{refused}");
    let torn = CpuEvidence { report: Base64(vec![0; 100]), ..snp("genoa-v3-vcek-azure") };
    assert!(refusal(dir.path(), &torn).contains("100 bytes"), "{}", refusal(dir.path(), &torn));
    for question in [Question::ReportData("00".repeat(64)), Question::GpuNonce("00".repeat(32))] {
        let refused = answer(dir.path(), question).map(drop).unwrap_err().to_string();
        assert!(refused.contains("signs nothing"), "{refused}");
    }
}

#[test]
fn intels_collateral_is_one_file() {
    let dir = TempDir::new().unwrap();
    let quote = Base64(vector("tdx/real/v4-emr-90c06f-azure-live/quote.bin"));
    let evidence = CpuEvidence { format: EvidenceFormat::TdxQuoteV1, report: quote };
    assert!(refusal(dir.path(), &evidence).contains("tdx-collateral.json"));
    let file = dir.path().join("tdx-collateral.json");
    for (text, reason) in [("{}", "not Intel's collateral"), (&*" ".repeat(200_000), "longer than")] {
        fs::write(&file, text).unwrap();
        let refused = refusal(dir.path(), &evidence);
        assert!(refused.contains(reason), "{refused}");
    }
    let real =
        fs::read_dir(vectors().join("tdx/collateral")).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    fs::copy(real, &file).unwrap();
    assert!(matches!(endorsements(dir.path(), &evidence).unwrap(), Endorsements::Tdx(_)));
}

/// A real H100's evidence, and what NVIDIA says about its driver and its board under their own names.
#[test]
fn a_gpus_manifests_are_asked_for_by_the_names_that_its_report_gives_them() {
    let captured = GpuEvidence::list_from_json(&vector("nvidia/real/h100-580.95.05-coco/evidence.json")).unwrap();
    let dir = TempDir::new().unwrap();
    let ask = || match answer(dir.path(), Question::EndorseGpus(captured.clone())) {
        Ok(Answer::GpuEndorsements(found)) => Ok(found),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(format!("{error:#}")),
    };
    let driver = "NV_GPU_DRIVER_GH100_580.95.05";
    let refused = ask().unwrap_err();
    let curl = format!("curl --fail --output {driver}.json 'https://rim.attestation.nvidia.com/v1/rim/{driver}'");
    assert!(refused.contains(&curl), "{refused}");
    // As the service answers, and as a file of it.
    let service = serde_json::json!({"id": driver, "rim": Base64(b"<driver/>".to_vec()), "sha256": "-"});
    fs::write(dir.path().join(format!("{driver}.json")), service.to_string()).unwrap();
    let refused = ask().unwrap_err();
    let vbios = refused.split(".xml is missing").next().unwrap().to_owned();
    assert!(vbios.starts_with("NV_GPU_VBIOS_") && refused.contains(&format!("/v1/rim/{vbios}'")), "{refused}");
    fs::write(dir.path().join(format!("{vbios}.xml")), b"<vbios/>").unwrap();
    let refused = ask().unwrap_err();
    assert!(refused.contains("has 0 files *.ocsp.der") && refused.contains("openssl ocsp"), "{refused}");
    fs::write(dir.path().join("brom.ocsp.der"), b"good").unwrap();
    let found = ask().unwrap();
    assert_eq!((found.driver_rim, found.vbios_rim), (Some(b"<driver/>".to_vec()), Some(b"<vbios/>".to_vec())));
    assert_eq!(found.ocsp, [OcspAnswer { response: b"good".to_vec(), nonce: None }]);

    fs::write(dir.path().join(format!("{driver}.json")), "{}").unwrap();
    assert!(ask().unwrap_err().contains("not an answer of NVIDIA's service"));
    fs::write(dir.path().join("brom.ocsp.der"), vec![0; (16 << 10) + 1]).unwrap();
    fs::write(dir.path().join(format!("{driver}.json")), service.to_string()).unwrap();
    assert!(ask().unwrap_err().contains("longer than"));
    let nobody = answer(dir.path(), Question::EndorseGpus(Vec::new())).map(drop).unwrap_err().to_string();
    assert!(nobody.contains("no GPU is named"), "{nobody}");
}
