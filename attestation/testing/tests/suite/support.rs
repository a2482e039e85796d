//! What the tests share: one cached test chain, edited policies, the vector index, and one call to appraise.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use attestation::snp::Product;
use attestation::{
    Appraisal, AppraisalPolicy, AttestationDocument, Base64, BatchPosition, CpuEvidence, DEMO_POLICY, DOCUMENT_VERSION,
    Endorsements, EvidenceFormat, Keyset, Nonce, Rejection, Role, SnpEndorsements, Transcript, TrustRoots, UnixTime,
};
use attestation_testing::{AcceptedCase, NAME_PREFIX, TestPki};
use serde::Deserialize;

/// The policy for captured reports.
pub(crate) const CAPTURED_POLICY: &str = include_str!("../../../policies/captured.toml");

/// The Genoa test chain. Generated once per build directory: every test is a process of its own, and two RSA-4096
/// keys would be most of its time.
pub(crate) fn pki() -> &'static TestPki {
    static PKI: OnceLock<TestPki> = OnceLock::new();
    PKI.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let lock = File::create(directory.join("test-pki.lock")).unwrap();
        lock.lock().unwrap();
        let cache = directory.join("test-pki.json");
        if let Some(pki) = fs::read(&cache).ok().and_then(|bytes| TestPki::from_json(&bytes).ok()) {
            return pki;
        }
        let pki = TestPki::generate(Product::Genoa, NAME_PREFIX).unwrap();
        fs::write(&cache, pki.to_json().unwrap()).unwrap();
        pki
    })
}

/// `policy` with one item replaced. `item` is `section.key`, or a bare key of the top level.
pub(crate) fn with_item(policy: &str, item: &str, value: &str) -> String {
    let (section, key) = item.rsplit_once('.').unwrap_or(("", item));
    let mut current = String::new();
    let mut replaced = 0;
    let mut out = String::new();
    for line in policy.lines() {
        if let Some(header) = line.strip_prefix('[') {
            current = header.trim_matches(['[', ']']).to_owned();
        }
        let is_item = current == section && line.split_once('=').is_some_and(|(name, _)| name.trim() == key);
        if is_item {
            replaced += 1;
            out.push_str(&format!("{key} = {value}\n"));
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    assert_eq!(replaced, 1, "{item} stands once in the policy");
    out
}

pub(crate) fn parse_policy(text: &str) -> AppraisalPolicy {
    AppraisalPolicy::from_toml(text).unwrap_or_else(|error| panic!("{error:?}\n{text}"))
}

pub(crate) fn demo_policy() -> AppraisalPolicy {
    parse_policy(DEMO_POLICY)
}

/// The roots that trust a test chain.
pub(crate) fn roots_of(pki: &TestPki) -> TrustRoots {
    TrustRoots::named(pki.ark_der()).unwrap()
}

/// Appraise a case under the demo policy and its own root.
pub(crate) fn appraise_case(case: &AcceptedCase<'_>) -> Result<Appraisal, Rejection> {
    appraise_document(case, &case.document(), &demo_policy())
}

pub(crate) fn appraise_document(
    case: &AcceptedCase<'_>,
    document: &AttestationDocument,
    policy: &AppraisalPolicy,
) -> Result<Appraisal, Rejection> {
    attestation::appraise(document, &roots_of(case.pki), policy, case.now, &mut Transcript::new())
}

/// The code of a refusal, or `"ok"`.
pub(crate) fn code<T>(result: &Result<T, Rejection>) -> &'static str {
    result.as_ref().err().map_or("ok", Rejection::code)
}

/// One entry of the vector index.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) files: Vec<String>,
    pub(crate) fields: Option<Fields>,
    pub(crate) chain_valid: Option<[String; 2]>,
    pub(crate) expected: serde_json::Value,
}

/// The fields of a report as an independent parser read them.
#[derive(Debug, Deserialize)]
pub(crate) struct Fields {
    pub(crate) version: u32,
    pub(crate) guest_svn: u32,
    pub(crate) policy: String,
    pub(crate) family_id: String,
    pub(crate) image_id: String,
    pub(crate) vmpl: u32,
    pub(crate) signing_key: String,
    pub(crate) platform_info: String,
    pub(crate) cpuid: Option<String>,
    pub(crate) tcb_current: serde_json::Value,
    pub(crate) tcb_reported: serde_json::Value,
    pub(crate) tcb_committed: serde_json::Value,
    pub(crate) tcb_launch: serde_json::Value,
    pub(crate) report_data: String,
    pub(crate) measurement: String,
    pub(crate) host_data: String,
    pub(crate) chip_id: String,
    pub(crate) fw_current: String,
}

impl Entry {
    pub(crate) fn name(&self) -> &str {
        self.id.rsplit('/').next().unwrap()
    }

    pub(crate) fn file(&self, name: &str) -> Option<Vec<u8>> {
        let listed = self.files.iter().any(|file| file == name);
        listed.then(|| fs::read(vectors().join(&self.id).join(name)).unwrap())
    }

    pub(crate) fn report(&self) -> Vec<u8> {
        self.file("report.bin").unwrap()
    }

    /// The endorsement key and whether it is a VLEK.
    pub(crate) fn vek(&self) -> Option<(Vec<u8>, bool)> {
        self.file("vcek.der").map(|der| (der, false)).or_else(|| self.file("vlek.der").map(|der| (der, true)))
    }
}

pub(crate) fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

/// The entries whose id starts with `prefix`.
pub(crate) fn entries(prefix: &str) -> Vec<Entry> {
    let index = fs::read(vectors().join("snp/index.json")).unwrap();
    let all: Vec<Entry> = serde_json::from_slice(&index).unwrap();
    let found: Vec<Entry> = all.into_iter().filter(|entry| entry.id.starts_with(prefix)).collect();
    assert!(!found.is_empty(), "{prefix}");
    found
}

/// A document around someone else's report: the keyset is the accepted case's, and REPORT_DATA binds nothing of ours.
pub(crate) fn foreign_document(report: Vec<u8>, endorsements: SnpEndorsements, now: UnixTime) -> AttestationDocument {
    let keyset = Keyset { not_after: now.saturating_add(3600), ..AcceptedCase::new(pki()).keyset };
    AttestationDocument {
        version: DOCUMENT_VERSION.to_owned(),
        role: Role::Tls,
        nonce: Nonce([0; 32]),
        batch: BatchPosition::alone(),
        keyset_digest: keyset.digest(),
        keyset,
        gpu: None,
        evidence: CpuEvidence { format: EvidenceFormat::SevSnpReportV1, report: Base64(report) },
        endorsements: Endorsements::SevSnp(endorsements),
    }
}

/// The SNP endorsements of a document that has such.
pub(crate) fn snp_of(document: &mut AttestationDocument) -> &mut SnpEndorsements {
    match &mut document.endorsements {
        Endorsements::SevSnp(endorsements) => endorsements,
        Endorsements::Tdx(_) => panic!("a TDX document"),
    }
}

/// `2026-06-01T00:00:00Z` or `…+00:00` in Unix seconds.
pub(crate) fn unix_time(text: &str) -> UnixTime {
    let digits = |from: usize, to: usize| text.get(from..to).unwrap().parse::<u64>().unwrap();
    let (year, month, day) = (digits(0, 4), digits(5, 7), digits(8, 10));
    assert!(text.ends_with('Z') || text.ends_with("+00:00"), "{text}");
    let is_leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let before_year: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let lengths = [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before_month: u64 = lengths.iter().take(usize::try_from(month - 1).unwrap()).sum();
    let days = before_year + before_month + day - 1;
    UnixTime(days * 86_400 + digits(11, 13) * 3600 + digits(14, 16) * 60 + digits(17, 19))
}
