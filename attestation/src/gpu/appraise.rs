//! The entry point for GPU evidence: reports, chains, manifests and OCSP responses in, [`GpuClaims`] out.
//!
//! Decides: everything, in order. Steps 1 to 6 establish what is genuine and stop at the first failure; step 7 makes every
//! policy check and refuses with the first that failed. No step returns success early.
//!
//! For each device: 1. decode the report; 2. verify its chain; 3. its signature; 4. its nonce; then firmware identity.
//! For the set: 5. verify manifests; 6. revocation; 7. hold all of it against the policy.

use std::sync::Arc;

use crate::gpu::accept::hold_against;
use crate::gpu::chain::VerifiedDevice;
use crate::gpu::ocsp::{self, Demand, Subject};
use crate::gpu::policy::{GpuItems, RevocationItems};
use crate::gpu::rim::{Manifest, VerifiedRim};
use crate::gpu::{
    GpuCache, GpuClaims, GpuDevice, GpuEndorsements, GpuEvidence, GpuRejection, GpuReport, OcspAnswer, RimKind,
};
use crate::policy::{AppraisalPolicy, Platform, Rule};
use crate::rejection::Rejection;
use crate::roots::TrustRoots;
use crate::time::UnixTime;
use crate::transcript::Transcript;
use crate::{crypto, x509};

/// Most OCSP responses of one set: three for each device and six for the manifests, with room to spare.
const OCSP_ANSWERS_MAX: usize = 128;

/// A device whose report is genuine and answers the nonce.
pub(crate) struct GenuineDevice {
    pub(crate) report: GpuReport,
    pub(crate) verified: Arc<VerifiedDevice>,
}

/// The genuine manifests that were given.
pub(crate) struct Manifests {
    driver: Option<Arc<VerifiedRim>>,
    vbios: Option<Arc<VerifiedRim>>,
}

impl Manifests {
    pub(crate) fn get(&self, kind: RimKind) -> Option<&VerifiedRim> {
        match kind {
            RimKind::Driver => self.driver.as_deref(),
            RimKind::Vbios => self.vbios.as_deref(),
        }
    }

    /// Those that are about `device`: a switch has no driver.
    pub(crate) fn of(&self, device: &GenuineDevice) -> Vec<&Manifest> {
        let driver = self.driver.as_deref().filter(|_| device.verified.architecture.is_gpu());
        driver.into_iter().chain(self.vbios.as_deref()).map(|rim| &rim.manifest).collect()
    }

    fn revocable(&self) -> impl Iterator<Item = &Subject> {
        [&self.driver, &self.vbios].into_iter().flatten().flat_map(|rim| &rim.revocable)
    }
}

/// Appraise a set of devices that were all asked with `expected_nonce`. `endorsements` are for the driver and VBIOS
/// version all of them run.
///
/// # Errors
/// The first reason to refuse; `transcript` then contains its FAIL line.
#[expect(clippy::too_many_arguments, reason = "each is a separate input of the verdict")]
pub fn appraise(
    evidence: &[GpuEvidence],
    endorsements: &GpuEndorsements,
    expected_nonce: &[u8; 32],
    roots: &TrustRoots,
    policy: &AppraisalPolicy,
    now: UnixTime,
    cache: &GpuCache,
    transcript: &mut Transcript,
) -> Result<GpuClaims, Rejection> {
    let Platform::Items(items) = &policy.items().gpu else {
        let refused = Err(Rejection::PlatformRefused { platform: "NVIDIA GPU" });
        return transcript.check("gpu.platform_accepted", refused, |_| String::new());
    };
    transcript.check("gpu.devices.count", require_count(items, evidence.len()), |count| format!("{count} devices"))?;
    let mut devices = Vec::with_capacity(evidence.len());
    for one in evidence {
        devices.push(verify_device(one, expected_nonce, roots, now, cache, transcript)?);
    }
    let manifests = Manifests {
        driver: verify_rim("gpu.driver.rim.verify", endorsements.driver_rim.as_deref(), roots, now, cache, transcript)?,
        vbios: verify_rim("gpu.vbios.rim.verify", endorsements.vbios_rim.as_deref(), roots, now, cache, transcript)?,
    };
    let mut unchecked = Vec::new();
    let questions = questions(&items.revocation, &devices, &manifests);
    verify_ocsp(&questions, &endorsements.ocsp, now, cache, transcript, &mut unchecked)?;
    hold_against(items, &devices, &manifests, transcript, &mut unchecked)?;
    Ok(GpuClaims::new(roots.assurance(), devices.iter().map(claims_of).collect(), unchecked))
}

fn require_count(items: &GpuItems, got: usize) -> Result<usize, GpuRejection> {
    let (minimum, maximum) = (items.devices.gpus.min, items.devices.gpus.max);
    if (minimum..=maximum).contains(&got) { Ok(got) } else { Err(GpuRejection::Count { got, minimum, maximum }) }
}

/// Steps 1 to 4 for one device, and its firmware identity.
fn verify_device(
    evidence: &GpuEvidence,
    expected_nonce: &[u8; 32],
    roots: &TrustRoots,
    now: UnixTime,
    cache: &GpuCache,
    transcript: &mut Transcript,
) -> Result<GenuineDevice, Rejection> {
    // 1. Decode.
    let report = GpuReport::parse(&evidence.report);
    let report =
        transcript.check("gpu.report.decode", report, |report| format!("{} measurements", report.blocks.len()))?;

    // 2. Chain, at the time the caller names.
    let verified = cache.chain(&evidence.certificate_chain, roots).and_then(|verified| {
        verified.validity.iter().try_for_each(|validity| validity.require(now))?;
        Ok(verified)
    });
    let verified = transcript.check("gpu.chain.verify", verified, |verified| {
        format!("{} device {} under {} roots", verified.architecture, verified.device_serial, roots.assurance())
    })?;

    // 3. Signature, over the bytes received.
    let signature = crypto::verify_ecdsa_p384(&verified.point, report.signed(), report.signature())
        .map_err(|_refused| GpuRejection::ReportSignature);
    transcript.check("gpu.report.signature", signature, |()| "ECDSA P-384 verifies".to_owned())?;

    // 4. Nonce, from the request: the responder's own is not ours.
    let nonce = if report.nonce == *expected_nonce { Ok(()) } else { Err(GpuRejection::NonceMismatch) };
    transcript.check("gpu.report.nonce", nonce, |()| "the one sent".to_owned())?;

    // An absent identity is a policy item; one that is there must be the certified one.
    let fwid = match &report.opaque.fwid {
        Some(fwid) if verified.fwid != Some(*fwid) => Err(GpuRejection::FwidMismatch),
        Some(_) => Ok("the certified one"),
        None => Ok("not reported"),
    };
    transcript.check("gpu.report.fwid", fwid, |found| (*found).to_owned())?;
    Ok(GenuineDevice { report, verified })
}

/// Step 5 for one manifest.
fn verify_rim(
    id: &'static str,
    bytes: Option<&[u8]>,
    roots: &TrustRoots,
    now: UnixTime,
    cache: &GpuCache,
    transcript: &mut Transcript,
) -> Result<Option<Arc<VerifiedRim>>, Rejection> {
    let Some(bytes) = bytes else { return Ok(None) };
    let rim = cache.rim(bytes, roots).and_then(|rim| {
        rim.validity.iter().try_for_each(|validity| validity.require(now))?;
        Ok(rim)
    });
    let found = |rim: &Arc<VerifiedRim>| format!("{} {}", rim.manifest.product, rim.manifest.version);
    transcript.check(id, rim, found).map(Some)
}

/// A certificate an OCSP response may be about, and what the policy asks.
struct Question<'a> {
    subject: &'a Subject,
    /// The transcript's name for it.
    id: &'static str,
    required: bool,
    demand: Demand,
}

/// Every certificate that has an issuer who answers for it, once.
fn questions<'a>(items: &RevocationItems, devices: &'a [GenuineDevice], manifests: &'a Manifests) -> Vec<Question<'a>> {
    let (required, max_age_secs) = match items.device_ocsp {
        Rule::Check(rule) => (true, Some(rule.max_age_secs)),
        Rule::Unchecked => (false, None),
    };
    let demand = Demand { max_age_secs, allow_hold: false };
    let id = "gpu.revocation.device_ocsp";
    let of_devices = devices.iter().flat_map(|device| &device.verified.revocable);
    let of_devices = of_devices.map(|subject| Question { subject, id, required, demand });

    let (required, demand) = match items.rim_ocsp {
        Rule::Check(rule) => (true, Demand { max_age_secs: Some(rule.max_age_secs), allow_hold: rule.allow_hold }),
        Rule::Unchecked => (false, Demand { max_age_secs: None, allow_hold: false }),
    };
    let id = "gpu.revocation.rim_ocsp";
    let mut questions: Vec<Question<'a>> = Vec::new();
    for question in of_devices.chain(manifests.revocable().map(|subject| {
        // Only the signer itself may be on hold, never what issued it.
        let allow_hold = demand.allow_hold && subject.link == x509::Link::RimSigner;
        Question { subject, id, required, demand: Demand { allow_hold, ..demand } }
    })) {
        if !questions.iter().any(|other| other.subject.is_same(question.subject)) {
            questions.push(question);
        }
    }
    questions
}

/// Step 6: every response given is genuine, fresh and good, and none is missing that the policy requires.
fn verify_ocsp(
    questions: &[Question<'_>],
    answers: &[OcspAnswer],
    now: UnixTime,
    cache: &GpuCache,
    transcript: &mut Transcript,
    unchecked: &mut Vec<&'static str>,
) -> Result<(), Rejection> {
    let mut answered = vec![false; questions.len()];
    let subjects: Vec<&Subject> = questions.iter().map(|question| question.subject).collect();
    let within = if answers.len() > OCSP_ANSWERS_MAX { Err(GpuRejection::OcspMalformed) } else { Ok(()) };
    transcript.check("gpu.revocation.responses", within, |()| answers.len().to_string())?;
    for answer in answers {
        let found = ocsp::find_subject(&answer.response, &subjects);
        let at = transcript.check("gpu.revocation.subject", found, |at| format!("certificate {at}"))?;
        let (Some(question), Some(answered)) = (questions.get(at), answered.get_mut(at)) else {
            return Err(GpuRejection::OcspCertId.into());
        };
        let verdict = cache
            .answer(&answer.response, question.subject)
            .and_then(|verified| verified.require_good(answer.nonce.as_ref(), question.demand, now));
        let link = question.subject.link;
        transcript.check(question.id, verdict, |found| format!("{link}: {found}"))?;
        *answered = true;
    }
    for (question, answered) in questions.iter().zip(answered) {
        let link = question.subject.link;
        if answered {
            continue;
        }
        if question.required {
            let missing: Result<(), _> = Err(GpuRejection::OcspMissing { link });
            transcript.check(question.id, missing, |()| String::new())?;
        } else {
            unchecked.push(question.id);
            transcript.skip(question.id, format!("{link}: the policy leaves it unchecked"));
        }
    }
    Ok(())
}

fn claims_of(device: &GenuineDevice) -> GpuDevice {
    let GenuineDevice { report, verified } = device;
    let opaque = &report.opaque;
    GpuDevice {
        architecture: verified.architecture,
        driver_version: opaque.driver_version.clone(),
        vbios_version: opaque.vbios_version.clone(),
        driver_rim_id: RimKind::Driver.id(report, verified.architecture),
        vbios_rim_id: RimKind::Vbios.id(report, verified.architecture),
        mode: device.mode().ok().flatten(),
        protected_pcie: opaque.protected_pcie,
        fwid: opaque.fwid.map(hex::encode),
        leaf_sha256: verified.leaf_digest,
        ueid: verified.ueid.clone(),
        device_serial: verified.device_serial.clone(),
        switch_pdis: opaque.switch_pdis.iter().map(hex::encode).collect(),
    }
}
