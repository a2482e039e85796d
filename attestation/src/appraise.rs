//! The one entry point: a document, roots, a policy and a time in, an [`Appraisal`] or a [`Rejection`] out.
//!
//! Decides: everything, in the order of protocol.md §2.4. Steps 1 to 4 establish that the evidence is genuine and stop
//! at the first failure, because what follows would read unauthenticated bytes. Step 5 makes every policy check,
//! records each, and refuses with the first that failed. Only [`Appraisal::bind_channel`] turns the result into
//! something a session may be opened with.
//!
//! 1. decode the report; 2. verify the chain and its agreement with the report; 3. revocation; 4. verify the
//!    report's signature; 5. hold the report against the policy; 6. the keyset.

use crate::digest::Sha256Digest;
use crate::document::AttestationDocument;
use crate::keyset::Keyset;
use crate::policy::{AppraisalPolicy, Platform, Rule};
use crate::rejection::Rejection;
use crate::report_data::{BatchPosition, Exporter, GpuBinding, Nonce, ReportDataInputs, Role, batch_leaf};
use crate::roots::{AssuranceClass, TrustRoots};
use crate::snp::accept::{GenuineReport, hold_against};
use crate::snp::chain::{self, ChainDer};
use crate::snp::policy::SnpItems;
use crate::snp::{Product, SnpReport, Tcb, verify};
use crate::time::UnixTime;
use crate::transcript::Transcript;

/// Evidence that is genuine and acceptable, not yet tied to any connection.
#[derive(Debug, Clone)]
pub struct Appraisal {
    assurance: AssuranceClass,
    keyset: Keyset,
    keyset_digest: Sha256Digest,
    report: SnpReport,
    report_digest: Sha256Digest,
    product: Product,
    reported_tcb: Tcb,
    policy_name: String,
    policy_digest: Sha256Digest,
    unchecked: Vec<&'static str>,
    role: Role,
    nonce: Nonce,
    batch: BatchPosition,
    gpu: Option<GpuBinding>,
}

/// What a caller knows about its own connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelView {
    /// The nonce it sent.
    pub nonce: Nonce,
    /// The RFC 9266 exporter it computed.
    pub exporter: Exporter,
    /// SHA-256 of the SubjectPublicKeyInfo of the certificate it was shown.
    pub leaf_spki_sha256: [u8; 32],
}

/// An appraisal tied to one live connection. Only [`Appraisal::bind_channel`] makes one.
#[derive(Debug, Clone)]
pub struct ChannelBoundAppraisal {
    appraisal: Appraisal,
}

/// Appraise `document` under `roots` and `policy` at `now`.
///
/// # Errors
/// The first reason to refuse; `transcript` then ends in, or contains, its FAIL line.
pub fn appraise(
    document: &AttestationDocument,
    roots: &TrustRoots,
    policy: &AppraisalPolicy,
    now: UnixTime,
    transcript: &mut Transcript,
) -> Result<Appraisal, Rejection> {
    let endorsements = &document.endorsements;
    let chain = ChainDer {
        vek: &endorsements.vek.0,
        intermediate: &endorsements.intermediate.0,
        root_hint: &endorsements.root.0,
        crl: endorsements.crl.as_ref().map(|crl| crl.0.as_slice()),
    };
    require_known_gpu(document, transcript)?;
    let mut unchecked = Vec::new();
    let report_bytes = &document.evidence.report.0;
    let Platform::Items(items) = &policy.items().snp else {
        return Err(Rejection::PlatformRefused { platform: "SEV-SNP" });
    };
    let (report, genuine) = verify_report(report_bytes, chain, roots, items, now, transcript, &mut unchecked)?;
    hold_against(items, &report, &genuine, transcript, &mut unchecked)?;
    let keyset_digest = accept_keyset(document, policy, now, transcript)?;
    Ok(Appraisal {
        assurance: roots.assurance(),
        keyset: document.keyset.clone(),
        keyset_digest,
        report_digest: Sha256Digest::of(report_bytes),
        product: genuine.product,
        reported_tcb: genuine.reported_tcb,
        report,
        policy_name: policy.name().to_owned(),
        policy_digest: policy.digest(),
        unchecked,
        role: document.role,
        nonce: document.nonce,
        batch: document.batch.clone(),
        gpu: document.gpu.clone(),
    })
}

/// Steps 1 to 4: the report is what the firmware of an endorsed chip signed.
fn verify_report(
    bytes: &[u8],
    der: ChainDer<'_>,
    roots: &TrustRoots,
    items: &SnpItems,
    now: UnixTime,
    transcript: &mut Transcript,
    unchecked: &mut Vec<&'static str>,
) -> Result<(SnpReport, GenuineReport), Rejection> {
    // 1. Decode.
    let report = transcript
        .check("snp.report.decode", SnpReport::parse(bytes), |report| format!("version {}", report.version))?;

    // 2. Chain, and its agreement with the report.
    let key = chain::verify_chain(der, roots, now);
    let key = transcript.check("snp.chain.verify", key, |key| {
        format!("{} {} under {} roots", key.product, key.kind, roots.assurance())
    })?;
    let reported_tcb = transcript.check("snp.chain.endorses_report", chain::verify_endorses(&key, &report), |tcb| {
        format!("reported TCB {tcb}")
    })?;

    // 3. Revocation.
    match &items.revocation.crl {
        Rule::Check(rule) => {
            let result = chain::verify_not_revoked(der, roots, key.product, now, rule.max_age_secs);
            transcript.check("snp.chain.revocation", result, |()| "not revoked".to_owned())?;
        }
        Rule::Unchecked => {
            unchecked.push("snp.revocation.crl");
            transcript.skip("snp.chain.revocation", "the policy leaves it unchecked");
        }
    }

    // 4. Signature, over the bytes received.
    let signature = verify::verify_signature(&report, &key.point);
    transcript.check("snp.report.signature", signature, |()| "ECDSA P-384 verifies".to_owned())?;
    let genuine = GenuineReport::new(key, reported_tcb, &report)?;
    Ok((report, genuine))
}

fn require_known_gpu(document: &AttestationDocument, transcript: &mut Transcript) -> Result<(), Rejection> {
    let result = if document.gpu.is_some() { Err(Rejection::GpuUnsupported) } else { Ok(()) };
    transcript.check("document.gpu", result, |()| "no GPU evidence".to_owned())
}

/// Step 6: the keyset is the one whose digest is stated, usable, and not older or longer-lived than allowed.
fn accept_keyset(
    document: &AttestationDocument,
    policy: &AppraisalPolicy,
    now: UnixTime,
    transcript: &mut Transcript,
) -> Result<Sha256Digest, Rejection> {
    let got = document.keyset.digest();
    let stated = document.keyset_digest;
    let same = if got == stated { Ok(()) } else { Err(Rejection::KeysetDigest { got, stated }) };
    transcript.check("keyset.digest", same, |()| got.to_string())?;

    let usable = document.keyset.require_usable().map_err(Rejection::KeysetUnusable);
    transcript
        .check("keyset.usable", usable, |()| format!("{} receipt keys", document.keyset.receipt_signing_keys.len()))?;

    let not_after = document.keyset.not_after;
    let latest = now.saturating_add(policy.items().keyset_lifetime_secs_max);
    let lifetime = if not_after <= now {
        Err(Rejection::KeysetExpired { not_after, now })
    } else if not_after > latest {
        Err(Rejection::KeysetLifetime { not_after, latest })
    } else {
        Ok(())
    };
    transcript.check("keyset.lifetime", lifetime, |()| format!("{} seconds left", not_after.secs_since(now)))?;
    Ok(got)
}

impl Appraisal {
    /// What the verdict is worth.
    #[must_use]
    pub fn assurance(&self) -> AssuranceClass {
        self.assurance
    }

    /// The keyset that was appraised.
    #[must_use]
    pub fn keyset(&self) -> &Keyset {
        &self.keyset
    }

    /// Its digest.
    #[must_use]
    pub fn keyset_digest(&self) -> Sha256Digest {
        self.keyset_digest
    }

    /// Launch digest, hex.
    #[must_use]
    pub fn launch_digest(&self) -> String {
        hex::encode(self.report.measurement)
    }

    /// Product line.
    #[must_use]
    pub fn product(&self) -> Product {
        self.product
    }

    /// Chip id, hex; all zero under a VLEK that hides it.
    #[must_use]
    pub fn chip_id(&self) -> String {
        hex::encode(self.report.chip_id)
    }

    /// Reported TCB, component by component.
    #[must_use]
    pub fn tcb(&self) -> String {
        self.reported_tcb.to_string()
    }

    /// Name of the policy applied.
    #[must_use]
    pub fn policy_name(&self) -> &str {
        &self.policy_name
    }

    /// Digest of the policy's text.
    #[must_use]
    pub fn policy_digest(&self) -> Sha256Digest {
        self.policy_digest
    }

    /// Items the policy leaves unchecked.
    #[must_use]
    pub fn unchecked(&self) -> &[&'static str] {
        &self.unchecked
    }

    /// SHA-256 of the report.
    #[must_use]
    pub fn report_digest(&self) -> Sha256Digest {
        self.report_digest
    }

    /// The report itself.
    #[must_use]
    pub fn report(&self) -> &SnpReport {
        &self.report
    }

    /// Tie the appraisal to the caller's connection: recompute REPORT_DATA from the caller's own nonce, exporter and
    /// observed key, and require that the keyset lists that key.
    ///
    /// # Errors
    /// `channel.*` rejections.
    pub fn bind_channel(
        self,
        view: &ChannelView,
        transcript: &mut Transcript,
    ) -> Result<ChannelBoundAppraisal, Rejection> {
        let expected = Role::Tls;
        let role =
            if self.role == expected { Ok(()) } else { Err(Rejection::ChannelRole { got: self.role, expected }) };
        transcript.check("channel.role", role, |()| expected.to_string())?;

        let nonce = if self.nonce == view.nonce { Ok(()) } else { Err(Rejection::NonceMismatch) };
        transcript.check("channel.nonce", nonce, |()| view.nonce.to_string())?;

        // The path is the answer's, but any path leads somewhere, and only the right root gives the right hash.
        let root = self.batch.root(batch_leaf(expected, &view.nonce, Some(&view.exporter)));
        let batch_root = transcript.check("channel.batch_path", root, |root| hex::encode(root))?;

        let inputs = ReportDataInputs {
            role: expected,
            batch_root,
            leaf_spki_sha256: view.leaf_spki_sha256,
            keyset_digest: self.keyset_digest,
            gpu: self.gpu.clone(),
        };
        let bound = inputs.report_data() == self.report.report_data;
        let bound = if bound { Ok(()) } else { Err(Rejection::ReportDataMismatch) };
        transcript.check("channel.report_data", bound, |()| "covers nonce, exporter, key and keyset".to_owned())?;

        let listed = self.keyset.lists_spki(&view.leaf_spki_sha256);
        let listed = if listed { Ok(()) } else { Err(Rejection::SpkiNotInKeyset) };
        transcript.check("channel.spki", listed, |()| hex::encode(view.leaf_spki_sha256))?;
        Ok(ChannelBoundAppraisal { appraisal: self })
    }

    /// Verify that the report is a boot report (role `keyset`) over this keyset. It proves nothing about a connection:
    /// it lets a third party tie a receipt's keyset to a machine, with no client's values at hand.
    ///
    /// # Errors
    /// `channel.role`, `channel.report_data_mismatch`.
    pub fn verify_keyset_report(&self, transcript: &mut Transcript) -> Result<(), Rejection> {
        let expected = Role::Keyset;
        let role =
            if self.role == expected { Ok(()) } else { Err(Rejection::ChannelRole { got: self.role, expected }) };
        transcript.check("keyset_report.role", role, |()| expected.to_string())?;
        // The boot report names one of the keyset's own TLS keys; which one does not matter to a third party.
        let covers = |spki: &[u8; 32]| {
            let inputs = ReportDataInputs {
                role: expected,
                batch_root: batch_leaf(expected, &Nonce::ABSENT, None),
                leaf_spki_sha256: *spki,
                keyset_digest: self.keyset_digest,
                gpu: self.gpu.clone(),
            };
            inputs.report_data() == self.report.report_data
        };
        let bound = self.keyset.tls_public_keys.iter().any(|entry| covers(&entry.spki_sha256.0));
        let bound = if bound { Ok(()) } else { Err(Rejection::ReportDataMismatch) };
        transcript.check("keyset_report.report_data", bound, |()| "covers the keyset".to_owned())
    }
}

impl ChannelBoundAppraisal {
    /// The appraisal.
    #[must_use]
    pub fn appraisal(&self) -> &Appraisal {
        &self.appraisal
    }
}
