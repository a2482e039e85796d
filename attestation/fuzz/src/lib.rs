//! What is fuzzed: one function per parser, each taking any bytes and returning whatever the verdict.
//!
//! Decides: nothing. A target fails by panicking, by not returning, or by breaking a property it asserts. Verification
//! runs as far as the bytes carry it, so that code behind a parser sees what a parser lets through.

use attestation::snp::SnpReport;
use attestation::{AppraisalPolicy, AttestationDocument, EvidenceKind, Receipt, TrustRoots};

/// A fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is its corpus directory.
    pub name: &'static str,
    /// What it does with bytes.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "snp_report", run: snp_report },
    Target { name: "document", run: document },
    Target { name: "policy", run: policy },
    Target { name: "roots", run: roots },
    Target { name: "receipt", run: receipt },
    Target { name: "evidence_kind", run: evidence_kind },
];

/// The target called `name`.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

fn snp_report(data: &[u8]) {
    if SnpReport::parse(data).is_ok() {
        assert_eq!(data.len(), attestation::snp::REPORT_LEN, "a report has one length");
    }
}

fn document(data: &[u8]) {
    if let Ok(document) = AttestationDocument::from_json(data) {
        let again = AttestationDocument::from_json(&document.to_json());
        assert_eq!(again.as_ref(), Ok(&document), "a document survives being written and read");
    }
}

fn policy(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = AppraisalPolicy::from_toml(text);
    }
}

fn roots(data: &[u8]) {
    let _ = TrustRoots::named(data);
}

fn receipt(data: &[u8]) {
    let _ = Receipt::from_json(data);
}

fn evidence_kind(data: &[u8]) {
    let _ = EvidenceKind::of(data);
}
