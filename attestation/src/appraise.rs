//! The way of a live document: document, roots, policy and time in, an [`Appraisal`] or a [`Rejection`] out.
//!
//! Decides: in the order of protocol.md §2.4 whether the CPU's evidence, then the GPUs' is genuine and acceptable
//! (each platform's own module does that), then whether the keyset is the one stated and usable. Only
//! [`Appraisal::bind_channel`] turns the result into something a session may be opened with.

use std::sync::Arc;

use crate::batch::{BatchPosition, batch_leaf};
use crate::cpu::CpuClaims;
use crate::digest::Sha256Digest;
use crate::document::{AttestationDocument, Endorsements, GpuSection};
use crate::evidence::{Judge, VerificationCache};
use crate::keyset::Keyset;
use crate::policy::{AppraisalPolicy, Part};
use crate::rejection::Rejection;
use crate::report_data::{Exporter, GpuBinding, Nonce, ReportDataInputs, Role};
use crate::result::AttestationResult;
use crate::roots::{AssuranceClass, TrustRoots};
use crate::time::UnixTime;
use crate::transcript::Transcript;

/// Evidence that is genuine and acceptable, not yet tied to any connection.
#[derive(Debug, Clone)]
pub struct Appraisal {
    result: AttestationResult,
    keyset: Keyset,
    keyset_digest: Sha256Digest,
    cpu: Arc<CpuClaims>,
    report_digest: Sha256Digest,
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

/// An appraisal tied to the key that envelopes are sealed to. Only [`Appraisal::bind_envelopes`] makes one.
#[derive(Debug, Clone)]
pub struct EnvelopeAppraisal {
    appraisal: Appraisal,
    key: [u8; 32],
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
    appraise_with(document, roots, policy, now, &VerificationCache::default(), transcript)
}

/// [`appraise`], with what earlier appraisals verified.
///
/// # Errors
/// As [`appraise`].
pub fn appraise_with(
    document: &AttestationDocument,
    roots: &TrustRoots,
    policy: &AppraisalPolicy,
    now: UnixTime,
    cache: &VerificationCache,
    transcript: &mut Transcript,
) -> Result<Appraisal, Rejection> {
    policy.check_reference_values(now, transcript)?;
    let judge = Judge { roots, policy, now, cache };
    let report = &document.evidence.report.0;
    let cpu = match &document.endorsements {
        Endorsements::SevSnp(endorsements) => judge.snp(report, endorsements, transcript)?,
        Endorsements::Tdx(collateral) => judge.tdx(report, collateral, transcript)?,
    };
    let mut result = AttestationResult::new(roots, policy, now);
    result.add(cpu.claims(), cpu.unchecked());
    appraise_gpus(document, &judge, &mut result, transcript)?;
    let keyset_digest = accept_keyset(document, policy, now, transcript)?;
    Ok(Appraisal {
        result,
        keyset: document.keyset.clone(),
        keyset_digest,
        report_digest: Sha256Digest::of(report),
        cpu: Arc::new(cpu),
        role: document.role,
        nonce: document.nonce,
        batch: document.batch.clone(),
        gpu: document.gpu.as_ref().map(GpuSection::binding),
    })
}

/// The GPUs answered the nonce this keyset, random and epoch give. That their evidence is the one the CPU's report
/// names is shown with REPORT_DATA, when the channel is bound.
fn appraise_gpus(
    document: &AttestationDocument,
    judge: &Judge<'_>,
    result: &mut AttestationResult,
    transcript: &mut Transcript,
) -> Result<(), Rejection> {
    judge.require_part(Part::Gpu, document.gpu.is_some(), result, transcript)?;
    let Some(gpu) = &document.gpu else { return Ok(()) };
    let nonce = GpuSection::nonce(&document.keyset.digest(), &gpu.random, gpu.epoch);
    let claims = judge.gpus(&gpu.evidence, &gpu.endorsements, &nonce, transcript)?;
    result.add(claims.claims(), claims.unchecked());
    Ok(())
}

/// The keyset is the one whose digest is stated, usable, and not older or longer-lived than allowed.
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
    /// The claims, the policy, and what was left unchecked.
    #[must_use]
    pub fn result(&self) -> &AttestationResult {
        &self.result
    }

    /// What the verdict is worth.
    #[must_use]
    pub fn assurance(&self) -> AssuranceClass {
        self.result.assurance()
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

    /// What the guest was launched from, hex: the SNP launch digest, or MRTD.
    #[must_use]
    pub fn launch_digest(&self) -> String {
        self.cpu.launch_digest()
    }

    /// What kind of machine, in words.
    #[must_use]
    pub fn product(&self) -> String {
        self.cpu.product()
    }

    /// Which machine, hex: CHIP_ID (all zero under a VLEK that hides it), or PPID.
    #[must_use]
    pub fn machine_id(&self) -> String {
        self.cpu.machine_id()
    }

    /// Its firmware, in words.
    #[must_use]
    pub fn tcb(&self) -> String {
        self.cpu.tcb()
    }

    /// Name of the policy applied.
    #[must_use]
    pub fn policy_name(&self) -> &str {
        self.result.policy()
    }

    /// Digest of the policy's text.
    #[must_use]
    pub fn policy_digest(&self) -> Sha256Digest {
        self.result.policy_digest()
    }

    /// Items the policy leaves unchecked.
    #[must_use]
    pub fn unchecked(&self) -> &[&'static str] {
        self.result.unchecked()
    }

    /// SHA-256 of the report.
    #[must_use]
    pub fn report_digest(&self) -> Sha256Digest {
        self.report_digest
    }

    /// What the CPU's evidence says.
    #[must_use]
    pub fn cpu(&self) -> &CpuClaims {
        &self.cpu
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
        let bound = inputs.report_data() == *self.cpu.report_data();
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
        let root = batch_leaf(expected, &Nonce::ABSENT, None);
        let bound = if self.reports_keyset(expected, root) { Ok(()) } else { Err(Rejection::ReportDataMismatch) };
        transcript.check("keyset_report.report_data", bound, |()| "covers the keyset".to_owned())
    }

    /// Tie the appraisal to the caller's nonce and to the key that envelopes are sealed to (role `ohttp`): what is sealed to it can be
    /// opened by the appraised machine alone. There is no channel to bind: the caller sees a relay's.
    ///
    /// # Errors
    /// `channel.*` rejections.
    pub fn bind_envelopes(self, nonce: &Nonce, transcript: &mut Transcript) -> Result<EnvelopeAppraisal, Rejection> {
        let expected = Role::Ohttp;
        let role =
            if self.role == expected { Ok(()) } else { Err(Rejection::ChannelRole { got: self.role, expected }) };
        transcript.check("channel.role", role, |()| expected.to_string())?;
        let fresh = if self.nonce == *nonce { Ok(()) } else { Err(Rejection::NonceMismatch) };
        transcript.check("channel.nonce", fresh, |()| nonce.to_string())?;
        let root = self.batch.root(batch_leaf(expected, nonce, None));
        let root = transcript.check("channel.batch_path", root, |root| hex::encode(root))?;
        let bound = if self.reports_keyset(expected, root) { Ok(()) } else { Err(Rejection::ReportDataMismatch) };
        transcript.check("channel.report_data", bound, |()| "covers nonce and keyset".to_owned())?;
        let key = self.keyset.envelope_key().ok_or(Rejection::NoEnvelopeKey);
        let key = transcript.check("channel.envelope_key", key, |key| hex::encode(key))?;
        Ok(EnvelopeAppraisal { appraisal: self, key })
    }

    /// Whether REPORT_DATA is that of this role and batch over this keyset. It names one of the keyset's own TLS keys; which one does not
    /// matter to somebody who does not see it.
    fn reports_keyset(&self, role: Role, batch_root: [u8; 32]) -> bool {
        self.keyset.tls_public_keys.iter().any(|entry| {
            let inputs = ReportDataInputs {
                role,
                batch_root,
                leaf_spki_sha256: entry.spki_sha256.0,
                keyset_digest: self.keyset_digest,
                gpu: self.gpu.clone(),
            };
            inputs.report_data() == *self.cpu.report_data()
        })
    }
}

impl EnvelopeAppraisal {
    /// The appraisal.
    #[must_use]
    pub fn appraisal(&self) -> &Appraisal {
        &self.appraisal
    }

    /// The X25519 key that envelopes are sealed to.
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }
}

impl ChannelBoundAppraisal {
    /// The appraisal.
    #[must_use]
    pub fn appraisal(&self) -> &Appraisal {
        &self.appraisal
    }
}
