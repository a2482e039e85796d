//! Vendors' services that speak as the real ones do, over real documents where there are some.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attestation::gpu::{GpuEndorsements, GpuEvidence};
use attestation::snp::{SigningKey, SnpReport};
use attestation::tdx::TdxCollateral;
use attestation::{
    Base64, CpuEvidence, Endorsements, EvidenceFormat, Product, TrustRoots, UnixTime, VendorCertificates,
    vendor_certificates,
};
use attestation_testing::gpu::{FakeGpu, GpuKeys, simulated_gpu_roots};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use platform_service::Question;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::snp::vcek;
use super::tests::{pem, services, snp, vector, vectors};
use super::{Shelf, endorsements, gpus};

type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);
/// What is answered to which path and query, or to which body.
type Answers = Arc<Mutex<BTreeMap<String, Answer>>>;

/// One server for all vendors.
struct Vendors {
    address: SocketAddr,
    answers: Answers,
    asked: Arc<Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Vendors {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (answers, asked): (Answers, Arc<Mutex<Vec<String>>>) = Default::default();
        let router = Router::new().fallback(answer).with_state((Arc::clone(&answers), Arc::clone(&asked)));
        runtime.spawn(async { axum::serve(listener, router).await });
        Self { address, answers, asked, _runtime: runtime }
    }

    fn has(&self, key: &str, body: impl Into<Vec<u8>>) {
        self.answers_with(key, 200, Vec::new(), body);
    }

    fn answers_with(&self, key: &str, status: u16, headers: Vec<(&'static str, String)>, body: impl Into<Vec<u8>>) {
        self.answers.lock().unwrap().insert(key.to_owned(), (status, headers, body.into()));
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn shelf(&self, dir: &Path) -> Shelf {
        let url = format!("http://{}", self.address);
        let root_crl = format!("{url}/root.der");
        let named = ["--amd", &url, "--intel", &url, "--intel-root-crl", &root_crl, "--nvidia-rim", &url];
        Shelf::open(dir, &services(&[&named[..], &["--nvidia-ocsp", &url]].concat()), true).unwrap()
    }
}

async fn answer(State((answers, asked)): State<(Answers, Arc<Mutex<Vec<String>>>)>, request: Request) -> Response {
    let path = request.uri().to_string();
    let is_ocsp = request.headers().get("content-type").is_some_and(|media| media == "application/ocsp-request");
    let body: Bytes = request.into_body().collect().await.unwrap().to_bytes();
    let key = if is_ocsp { hex::encode(&body) } else { path };
    asked.lock().unwrap().push(key.clone());
    let Some((status, headers, body)) = answers.lock().unwrap().get(&key).cloned() else {
        return axum::http::StatusCode::NOT_FOUND.into_response();
    };
    let mut response = (axum::http::StatusCode::from_u16(status).unwrap(), body).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn refusal<T>(outcome: anyhow::Result<T>) -> String {
    format!("{:#}", outcome.map(drop).unwrap_err())
}

fn age(file: &Path, by: Duration) {
    let file = fs::File::options().write(true).open(file).unwrap();
    file.set_modified(file.metadata().unwrap().modified().unwrap() - by).unwrap();
}

/// A list that its issuer signed, whoever that is: the service reads lists and judges none.
fn list() -> Vec<u8> {
    vector("trust/amd/ARK-Milan.crl")
}

fn amds_intermediate() -> Vec<u8> {
    vendor_certificates(Product::Genoa, SigningKey::Vcek).intermediate.to_vec()
}

/// An AMD machine with everything that is to be had about it.
struct Amd {
    vendors: Vendors,
    evidence: CpuEvidence,
    certificate: String,
    dir: TempDir,
}

impl Amd {
    fn new() -> Self {
        let evidence = snp("genoa-v3-vcek-azure");
        let (_, certificate) = vcek(Product::Genoa, &SnpReport::parse(&evidence.report.0).unwrap()).unwrap();
        let vendors = Vendors::start();
        vendors.has(&certificate, vector("snp/real/genoa-v3-vcek-azure/vcek.der"));
        let VendorCertificates { intermediate, root } = vendor_certificates(Product::Genoa, SigningKey::Vcek);
        vendors.has("/vcek/v1/Genoa/cert_chain", format!("{}{}", pem(intermediate), pem(root)));
        vendors.has("/vcek/v1/Genoa/crl", list());
        Self { vendors, evidence, certificate, dir: TempDir::new().unwrap() }
    }

    fn crl(&self) -> std::path::PathBuf {
        self.dir.path().join("vcek-Genoa.crl")
    }
}

#[test]
fn what_is_missing_is_fetched_once_and_answers_when_nobody_can_be_reached() {
    let Amd { vendors, evidence, certificate, dir } = Amd::new();
    let shelf = vendors.shelf(dir.path());
    let Endorsements::SevSnp(found) = endorsements(&shelf, &evidence).unwrap() else { panic!("of AMD") };
    assert_eq!(found.vek.0, vector("snp/real/genoa-v3-vcek-azure/vcek.der"));
    assert_eq!((found.intermediate.0, found.crl.unwrap().0), (amds_intermediate(), list()));
    let all = [certificate.as_str(), "/vcek/v1/Genoa/cert_chain", "/vcek/v1/Genoa/crl"];
    assert_eq!(vendors.asked(), all);
    endorsements(&shelf, &evidence).unwrap();
    assert_eq!(vendors.asked(), Vec::<String>::new(), "nothing is asked twice");
    drop(vendors);
    // A service that starts again, with the list long old.
    age(&dir.path().join("vcek-Genoa.crl"), Duration::from_secs(20 * 86_400));
    let unreachable = Vendors::start();
    let shelf = unreachable.shelf(dir.path());
    drop(unreachable);
    endorsements(&shelf, &evidence).unwrap();
}

#[test]
fn what_can_change_is_fetched_again_and_what_cannot_is_not() {
    let amd = Amd::new();
    let shelf = amd.vendors.shelf(amd.dir.path());
    endorsements(&shelf, &amd.evidence).unwrap();
    amd.vendors.asked();
    // As after a start: what was fetched is left alone for a minute.
    let shelf = amd.vendors.shelf(amd.dir.path());
    for entry in fs::read_dir(amd.dir.path()).unwrap() {
        age(&entry.unwrap().path(), Duration::from_secs(13 * 3600));
    }
    // The old one answers, while the new one comes.
    let newer = [list(), Vec::new()].concat();
    amd.vendors.has("/vcek/v1/Genoa/crl", newer);
    endorsements(&shelf, &amd.evidence).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    let is_new = || fs::metadata(amd.crl()).unwrap().modified().unwrap().elapsed().unwrap() < Duration::from_secs(3600);
    while !is_new() {
        assert!(Instant::now() < until, "the list was not renewed");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(amd.vendors.asked(), ["/vcek/v1/Genoa/crl"]);

    // One that is far too old is not handed out while it could be had.
    let shelf = amd.vendors.shelf(amd.dir.path());
    fs::write(amd.crl(), b"of last year").unwrap();
    age(&amd.crl(), Duration::from_secs(25 * 3600));
    let Endorsements::SevSnp(found) = endorsements(&shelf, &amd.evidence).unwrap() else { panic!("of AMD") };
    assert_eq!(found.crl.unwrap().0, list());
}

/// What was asked about lately is looked after when nobody asks.
#[test]
fn documents_are_renewed_while_nobody_asks() {
    let amd = Amd::new();
    let service = super::Service {
        shelf: amd.vendors.shelf(amd.dir.path()),
        roots: TrustRoots::vendor(),
        lately: Mutex::default(),
    };
    for _ in 0..40 {
        service.answer(Question::Endorse(amd.evidence.clone())).unwrap();
    }
    assert_eq!(service.lately.lock().unwrap().len(), 16);
    amd.vendors.asked();
    let service = super::Service { shelf: amd.vendors.shelf(amd.dir.path()), ..service };
    age(&amd.crl(), Duration::from_secs(25 * 3600));
    service.renew();
    assert_eq!(amd.vendors.asked(), ["/vcek/v1/Genoa/crl"]);
}

#[test]
fn what_is_no_document_takes_the_place_of_none() {
    let amd = Amd::new();
    for (status, body, reason) in [
        (200, "<html>sign in to this network</html>", "no revocation list"),
        (429, "", "429 Too Many Requests"),
        (200, &*"x".repeat(70_000), "more than 65536 bytes"),
    ] {
        let shelf = amd.vendors.shelf(amd.dir.path());
        amd.vendors.answers_with("/vcek/v1/Genoa/crl", status, Vec::new(), body);
        let refused = refusal(endorsements(&shelf, &amd.evidence));
        assert!(refused.contains(reason) && refused.contains("/vcek/v1/Genoa/crl"), "{refused}");
        assert!(!amd.crl().exists());
        // AMD's service refuses who asks often.
        amd.vendors.asked();
        let again = refusal(endorsements(&shelf, &amd.evidence));
        assert!(again.contains(reason) && again.contains("not asked for again"), "{again}");
        assert_eq!(amd.vendors.asked(), Vec::<String>::new());
    }
    // One that is there stays as it is.
    fs::write(amd.crl(), list()).unwrap();
    age(&amd.crl(), Duration::from_secs(86_400));
    let shelf = amd.vendors.shelf(amd.dir.path());
    endorsements(&shelf, &amd.evidence).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while amd.vendors.asked().is_empty() {
        assert!(Instant::now() < until, "nothing was asked");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(fs::read(amd.crl()).unwrap(), list());
}

/// Reports name their documents, and anybody can write a report.
#[test]
fn names_lead_nowhere_else_and_who_asks_about_ever_others_gets_no_further() {
    let amd = Amd::new();
    let shelf = amd.vendors.shelf(amd.dir.path());
    for name in ["../x.der", "/etc/passwd", ".x", "a'; b", "x?y", "x#y", "a/b", "é", &"x".repeat(129)] {
        assert!(refusal(shelf.path(name)).contains("not the name of a document"), "{name}");
    }
    assert_eq!(shelf.path("vcek-Genoa.crl").unwrap(), amd.crl());
    let mut report = amd.evidence.report.0.clone();
    let chip_id = SnpReport::parse(&report).unwrap().chip_id;
    let at = report.windows(chip_id.len()).position(|window| window == chip_id).unwrap();
    let other = |number: u8, report: &mut Vec<u8>| {
        // Above the real one's first byte.
        report[at] = 0x80 + number;
        CpuEvidence { report: Base64(report.clone()), ..amd.evidence.clone() }
    };
    for number in 0..64 {
        assert!(refusal(endorsements(&shelf, &other(number, &mut report))).contains("404"));
    }
    assert_eq!(amd.vendors.asked().len(), 64);
    let refused = refusal(endorsements(&shelf, &other(64, &mut report)));
    assert!(refused.contains("64 others were asked for"), "{refused}");
    assert_eq!(amd.vendors.asked(), Vec::<String>::new());
}

/// Captured collateral of the platform, taken apart as Intel's service has it, comes back as it was.
#[test]
fn intels_collateral_is_put_together_from_its_parts() {
    let quote = vector("tdx/real/v4-emr-90c06f-azure-live/quote.bin");
    let evidence = CpuEvidence { format: EvidenceFormat::TdxQuoteV1, report: Base64(quote) };
    let captured = fs::read(vectors().join("tdx/collateral/90c06f000000-2026-06-08-eval19-91bad3.coll.json")).unwrap();
    let parts: BTreeMap<String, Value> = serde_json::from_slice(&captured).unwrap();
    let part = |name: &str| parts[name].as_str().unwrap();
    let signed = |member: &str, name: &str| {
        format!("{{\"{member}\":{},\"signature\":\"{}\"}}", part(name), part(&format!("{name}_signature")))
    };
    let encoded =
        |name: &str| part(name).replace('%', "%25").replace('\n', "%0A").replace(' ', "%20").replace('+', "%2B");
    let vendors = Vendors::start();
    let (tcb, identity) = ("/tdx/certification/v4/tcb?fmspc=90c06f000000", "/tdx/certification/v4/qe/identity");
    let pck_crl = "/sgx/certification/v4/pckcrl?ca=platform&encoding=der";
    let chain = |header, name: &str| vec![(header, encoded(name))];
    vendors.answers_with(
        tcb,
        200,
        chain("TCB-Info-Issuer-Chain", "tcb_info_issuer_chain"),
        signed("tcbInfo", "tcb_info"),
    );
    vendors.answers_with(
        identity,
        200,
        chain("SGX-Enclave-Identity-Issuer-Chain", "qe_identity_issuer_chain"),
        signed("enclaveIdentity", "qe_identity"),
    );
    let list = |name: &str| hex::decode(part(name)).unwrap();
    vendors.answers_with(pck_crl, 200, chain("SGX-PCK-CRL-Issuer-Chain", "pck_crl_issuer_chain"), list("pck_crl"));
    vendors.has("/root.der", list("root_ca_crl"));

    let dir = TempDir::new().unwrap();
    let Endorsements::Tdx(found) = endorsements(&vendors.shelf(dir.path()), &evidence).unwrap() else {
        panic!("of Intel")
    };
    assert_eq!(*found, TdxCollateral::from_json(&captured).unwrap());
    assert_eq!(vendors.asked(), [tcb, identity, pck_crl, "/root.der"]);

    // A PCCS has the root's list in hex.
    vendors.has("/root.der", part("root_ca_crl"));
    let other = TempDir::new().unwrap();
    let Endorsements::Tdx(of_pccs) = endorsements(&vendors.shelf(other.path()), &evidence).unwrap() else {
        panic!("of Intel")
    };
    assert_eq!(of_pccs, found);

    for (path, headers, body, reason) in [
        (
            tcb,
            chain("TCB-Info-Issuer-Chain", "tcb_info_issuer_chain"),
            signed("tcbInfo", "tcb_info")
                .replace("90c06f000000", "90c06f000001")
                .replace("90C06F000000", "90C06F000001"),
            "not of 90c06f000000",
        ),
        ("/root.der", Vec::new(), "<html>".to_owned(), "no revocation list"),
        (tcb, Vec::new(), signed("tcbInfo", "tcb_info"), "TCB-Info-Issuer-Chain"),
        (
            identity,
            chain("SGX-Enclave-Identity-Issuer-Chain", "qe_identity_issuer_chain"),
            "{}".to_owned(),
            "quoting enclave",
        ),
    ] {
        let good = vendors.answers.lock().unwrap()[path].clone();
        vendors.answers_with(path, 200, headers, body);
        let empty = TempDir::new().unwrap();
        let refused = refusal(endorsements(&vendors.shelf(empty.path()), &evidence));
        assert!(refused.contains(reason), "{refused}");
        assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
        vendors.answers.lock().unwrap().insert(path.to_owned(), good);
    }
}

/// A simulated GPU, about whose certificates the responder is asked one by one.
#[test]
fn a_gpu_has_its_manifests_and_an_answer_for_each_certificate_fetched() {
    let keys = GpuKeys::generate().unwrap();
    let roots = simulated_gpu_roots(&keys).unwrap();
    let now = UnixTime(1_800_000_000);
    let gpu = FakeGpu::accepted(&keys, now);
    let (evidence, expected) = ([gpu.evidence([1; 32])], gpu.endorsements());
    let vendors = Vendors::start();
    let dir = TempDir::new().unwrap();
    let ask = |shelf: &Shelf, roots: &TrustRoots| gpus::endorsements(shelf, &evidence, roots);
    let first = refusal(ask(&vendors.shelf(dir.path()), &roots));
    assert!(first.contains("404 Not Found") && first.contains("/v1/rim/NV_GPU_DRIVER_GH100_"), "{first}");

    let manifests = [&expected.driver_rim, &expected.vbios_rim].map(|rim| rim.clone().unwrap());
    for path in rim_paths(&evidence[0]) {
        let manifest = usize::from(path.contains("VBIOS"));
        vendors.has(&path, json!({"id": "-", "rim": Base64(manifests[manifest].clone()), "sha256": "-"}).to_string());
    }
    let requests =
        attestation::gpu::ocsp_requests(&evidence, &manifests.each_ref().map(Vec::as_slice), &roots).unwrap();
    for request in &requests {
        let answer = expected.ocsp.iter().find(|answer| request.require_answered_by(&answer.response).is_ok()).unwrap();
        vendors.has(&hex::encode(request.to_der()), answer.response.clone());
    }
    // Whatever else lies there is not handed out: an answer about another certificate refuses the device.
    fs::write(dir.path().join("old.ocsp.der"), b"about another device").unwrap();
    let GpuEndorsements { driver_rim, vbios_rim, ocsp } = ask(&vendors.shelf(dir.path()), &roots).unwrap();
    assert_eq!([driver_rim, vbios_rim], manifests.map(Some));
    let mut found: Vec<_> = ocsp.into_iter().map(|answer| answer.response).collect();
    let mut all: Vec<_> = expected.ocsp.into_iter().map(|answer| answer.response).collect();
    found.sort();
    all.sort();
    assert_eq!(found, all);

    // What answers something else is not believed, and said.
    let key = hex::encode(requests[0].to_der());
    vendors.has(&key, all[0].iter().chain(b"!").copied().collect::<Vec<u8>>());
    let other = TempDir::new().unwrap();
    let refused = refusal(ask(&vendors.shelf(other.path()), &roots));
    assert!(refused.contains("OCSP"), "{refused}");
    // A device of nobody's roots is asked about nowhere.
    vendors.asked();
    refusal(ask(&vendors.shelf(dir.path()), &TrustRoots::vendor()));
    assert!(vendors.asked().iter().all(|asked| asked.starts_with("/v1/rim/")));
}

/// Where the service has the manifests of the device, whichever chip it is.
fn rim_paths(evidence: &GpuEvidence) -> Vec<String> {
    use attestation::gpu::{Architecture, GpuReport, RimKind};
    let report = GpuReport::parse(&evidence.report).unwrap();
    [RimKind::Driver, RimKind::Vbios]
        .into_iter()
        .filter_map(|kind| kind.id(&report, Architecture::Hopper))
        .map(|id| format!("/v1/rim/{id}"))
        .collect()
}
