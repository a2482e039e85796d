//! vTPM evidence against a policy, up to the hardware report it hands on.
//!
//! Decides: whether the vTPM's own statements are acceptable. The result means nothing until
//! [`AzureClaims::hardware`] was appraised: [`crate::appraise_evidence`] does both.

use crate::azure::policy::AzureItems;
use crate::azure::{AkTrust, AzureRejection, HardwareEvidence, TpmQuote, VerifiedVtpm, VtpmEvidence, verify_vtpm};
use crate::cpu::CpuClaims;
use crate::findings::Findings;
use crate::policy::{AppraisalPolicy, Platform, Rule};
use crate::rejection::Rejection;
use crate::result::Claim;
use crate::roots::{RootKind, TrustRoots};
use crate::time::UnixTime;
use crate::transcript::Transcript;

/// Most certificates that may be given to find a chain among.
const INTERMEDIATES_GIVEN_MAX: usize = 8;

/// What accepted vTPM evidence says.
#[derive(Debug)]
pub(crate) struct AzureClaims {
    verified: VerifiedVtpm,
    unchecked: Vec<&'static str>,
}

impl AzureClaims {
    /// The hardware evidence everything rests on.
    pub(crate) fn hardware(&self) -> &HardwareEvidence {
        &self.verified.hardware
    }

    pub(crate) fn unchecked(&self) -> &[&'static str] {
        &self.unchecked
    }

    /// The claims, for an attestation result: the hardware vouches for the vTPM, the vTPM for the PCRs.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        let (quote, configuration) = (&self.verified.quote, &self.verified.claims.vm_configuration);
        let pcrs: Vec<String> =
            self.verified.pcrs.iter().map(|(index, value)| format!("{index}:{}", hex::encode(value))).collect();
        vec![
            Claim::derived("azure.pcrs", pcrs),
            Claim::derived("azure.ak_certified", self.verified.ak_certified),
            Claim::asserted("azure.nonce", hex::encode(&quote.qualifying_data)),
            Claim::asserted("azure.secure_boot", configuration.secure_boot),
            Claim::asserted("azure.console_enabled", configuration.console_enabled),
            Claim::asserted("azure.vm_unique_id", configuration.vm_unique_id.clone()),
        ]
    }
}

/// Appraise everything but the hardware report. Without `expected_nonce` the quote's own is taken, and the transcript
/// says that freshness is not shown. `intermediates` are DER certificates that may stand between the attestation key
/// and a root.
pub(crate) fn appraise(
    evidence: &VtpmEvidence,
    expected_nonce: Option<&[u8]>,
    intermediates: &[&[u8]],
    roots: &TrustRoots,
    policy: &AppraisalPolicy,
    now: UnixTime,
    transcript: &mut Transcript,
) -> Result<AzureClaims, Rejection> {
    let Platform::Items(items) = &policy.items().azure else {
        let refused = Err(Rejection::PlatformRefused { platform: "Azure vTPM" });
        return transcript.check("azure.platform_accepted", refused, |_| String::new());
    };
    if intermediates.len() > INTERMEDIATES_GIVEN_MAX {
        let detail = "more certificates were given than a chain can need".to_owned();
        return Err(AzureRejection::EvidenceMalformed { detail }.into());
    }
    let trusted: Vec<&[u8]> = roots.of_kind(RootKind::AzureVtpm).collect();
    let ak_trust = match items.ak_certificate {
        Rule::Check(_) => AkTrust::Certificate { roots: &trusted, intermediates, now },
        Rule::Unchecked => AkTrust::HardwareReport,
    };
    let nonce = match expected_nonce {
        Some(nonce) => nonce.to_vec(),
        None => {
            transcript.skip("azure.nonce", "no expected nonce was given: freshness is not shown");
            TpmQuote::parse(&evidence.tpm_quote.message)?.qualifying_data
        }
    };
    let verified = verify_vtpm(evidence, &nonce, ak_trust).map_err(Rejection::from);
    let verified = transcript.check("azure.verify", verified, |vtpm| {
        format!("{} PCRs quoted for nonce {}", vtpm.pcrs.len(), hex::encode(&vtpm.quote.qualifying_data))
    })?;
    let mut unchecked = Vec::new();
    hold_against(items, &verified, transcript, &mut unchecked)?;
    Ok(AzureClaims { verified, unchecked })
}

/// Whether an accepted SNP report was asked for by the most privileged level, which is the paravisor's.
pub(crate) fn require_most_privileged(claims: &CpuClaims) -> Result<(), AzureRejection> {
    match claims {
        CpuClaims::Snp(claims) if claims.report().vmpl != 0 => Err(AzureRejection::Vmpl { got: claims.report().vmpl }),
        _ => Ok(()),
    }
}

fn hold_against(
    items: &AzureItems,
    vtpm: &VerifiedVtpm,
    transcript: &mut Transcript,
    unchecked: &mut Vec<&'static str>,
) -> Result<(), Rejection> {
    let mut findings = Findings::new(transcript, unchecked);
    // verify_vtpm made the check when it was asked for; here it is recorded.
    findings.item("azure.ak_certificate", &items.ak_certificate, |_| {
        if vtpm.ak_certified { Ok("certified".to_owned()) } else { Err(AzureRejection::CertificateMissing) }
    });
    // The provider publishes its revocation lists on the network alone.
    findings.item("azure.ak_revocation", &Rule::<()>::Unchecked, |()| Ok::<_, AzureRejection>(String::new()));
    findings.item("azure.pcrs", &items.pcrs, |allowed| {
        for (index, values) in allowed {
            let quoted = vtpm.pcrs.iter().find(|(quoted, _)| quoted.to_string() == *index).map(|(_, value)| value);
            if !quoted.is_some_and(|quoted| values.iter().any(|value| value.0 == *quoted)) {
                let got = quoted.map_or_else(|| "not quoted".to_owned(), hex::encode);
                return Err(AzureRejection::PcrNotAllowed { index: index.clone(), got });
            }
        }
        Ok(format!("{} compared", allowed.len()))
    });
    let configuration = &vtpm.claims.vm_configuration;
    findings.item("azure.secure_boot", &items.secure_boot, |_| {
        if configuration.secure_boot { Ok("on".to_owned()) } else { Err(AzureRejection::SecureBootOff) }
    });
    findings.item("azure.console", &items.console, |_| {
        if configuration.console_enabled { Err(AzureRejection::ConsoleEnabled) } else { Ok("off".to_owned()) }
    });
    findings.verdict()
}
