//! A whole document with the channel it answers: accepted until a test spoils one thing.

use attestation::{
    AttestationDocument, Base64, BatchPosition, ChannelView, CpuEvidence, DOCUMENT_VERSION, Endorsements,
    EvidenceFormat, Exporter, Hex32, Keyset, Nonce, ReceiptKey, ReportDataInputs, Role, SnpEndorsements, TlsKeyEntry,
    UnixTime, batch_leaf, batch_root_of_one,
};

use crate::certificate::VekSpec;
use crate::pki::{CrlSpec, TestPki};
use crate::report::FakeSnp;

/// 2026-06-01T00:00:00Z, when accepted cases are appraised.
const NOW: UnixTime = UnixTime(1_780_272_000);
const DAY_SECS: u64 = 24 * 3600;

/// Seed of the accepted case's receipt key. Not a secret.
const RECEIPT_SEED: [u8; 32] = [0x02; 32];

/// Everything a document is made from.
#[derive(Debug)]
pub struct AcceptedCase<'a> {
    /// Who signs.
    pub pki: &'a TestPki,
    /// When it is appraised.
    pub now: UnixTime,
    /// The keys of the boot.
    pub keyset: Keyset,
    /// The connection.
    pub view: ChannelView,
    /// The role hashed into the report and named in the document.
    pub role: Role,
    /// The report; its REPORT_DATA is filled in by [`AcceptedCase::document`] unless `keep_report_data` is set.
    pub report: FakeSnp,
    /// Whether the report's own REPORT_DATA stands.
    pub keep_report_data: bool,
    /// The endorsement key certificate.
    pub vek: VekSpec,
    /// The intermediate, DER.
    pub intermediate: Vec<u8>,
    /// The revocation list.
    pub crl: Option<CrlSpec>,
}

impl<'a> AcceptedCase<'a> {
    /// A case the demo policy accepts under the chain's own root.
    #[must_use]
    pub fn new(pki: &'a TestPki) -> Self {
        let view =
            ChannelView { nonce: Nonce([0x11; 32]), exporter: Exporter([0x22; 32]), leaf_spki_sha256: [0x33; 32] };
        let receipt_key = Self::receipt_key();
        let report = FakeSnp::accepted(pki);
        Self {
            pki,
            now: NOW,
            keyset: Keyset {
                subject: None,
                not_after: NOW.saturating_add(DAY_SECS),
                receipt_signing_keys: vec![receipt_key.entry()],
                e2ee_public_keys: Vec::new(),
                tls_public_keys: vec![TlsKeyEntry { spki_sha256: Hex32(view.leaf_spki_sha256), domain: None }],
            },
            view,
            role: Role::Tls,
            vek: pki.vcek(report.reported_tcb),
            report,
            keep_report_data: false,
            intermediate: pki.ask_der().to_vec(),
            crl: Some(CrlSpec::empty(UnixTime(NOW.0 - DAY_SECS))),
        }
    }

    /// The receipt key of the case's keyset.
    #[must_use]
    pub fn receipt_key() -> ReceiptKey {
        ReceiptKey::from_seed(&RECEIPT_SEED).expect("invariant: every 32-byte seed is an Ed25519 key")
    }

    /// Sign and assemble.
    #[must_use]
    pub fn document(&self) -> AttestationDocument {
        let mut report = self.report.clone();
        if !self.keep_report_data {
            report.report_data = report_data(&self.keyset, &self.view, self.role);
        }
        AttestationDocument {
            version: DOCUMENT_VERSION.to_owned(),
            role: self.role,
            nonce: self.view.nonce,
            batch: BatchPosition::alone(),
            keyset: self.keyset.clone(),
            keyset_digest: self.keyset.digest(),
            gpu: None,
            evidence: CpuEvidence { format: EvidenceFormat::SevSnpReportV1, report: Base64(report.sign(self.pki)) },
            endorsements: Endorsements::SevSnp(SnpEndorsements {
                vek: Base64(self.pki.vek_der(&self.vek)),
                intermediate: Base64(self.intermediate.clone()),
                root: Base64(self.pki.ark_der().to_vec()),
                crl: self.crl.as_ref().map(|crl| Base64(self.pki.crl_from(crl))),
            }),
        }
    }
}

/// A document that `pki` vouches for, for this keyset and connection, with a revocation list issued at `now`.
#[must_use]
pub fn accepted_document(pki: &TestPki, keyset: &Keyset, view: &ChannelView, now: UnixTime) -> AttestationDocument {
    let case = AcceptedCase {
        now,
        keyset: keyset.clone(),
        view: *view,
        crl: Some(CrlSpec::empty(now)),
        ..AcceptedCase::new(pki)
    };
    case.document()
}

fn report_data(keyset: &Keyset, view: &ChannelView, role: Role) -> [u8; 64] {
    let exporter = match role {
        Role::Tls => Some(&view.exporter),
        Role::Ohttp | Role::Keyset => None,
    };
    let inputs = ReportDataInputs {
        role,
        batch_root: batch_root_of_one(batch_leaf(role, &view.nonce, exporter)),
        leaf_spki_sha256: view.leaf_spki_sha256,
        keyset_digest: keyset.digest(),
        gpu: None,
    };
    inputs.report_data()
}
