//! EAT Attestation Results: a verdict as a signed token that other verifiers' relying parties can read.
//!
//! Format: draft-ietf-rats-ear-04 as a JWT (RFC 7519) signed with Ed25519 (RFC 8037), trustworthiness vector after
//! draft-ietf-rats-ar4si-10. Decides: how much of a verdict the vector may claim. A claim is affirmed only for what
//! was checked; for what the policy left unchecked the vector says nothing, and the item is listed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::crypto;
use crate::rejection::{Rejection, RejectionClass};
use crate::result::{AttestationResult, Claim, ClaimSource};
use crate::signing::KeyError;
use crate::time::UnixTime;

/// `eat_profile` of every token.
pub const EAR_PROFILE: &str = "tag:ietf.org,2026:rats/ear#04";
/// Longest token that is read.
pub const EAR_BYTES_MAX: usize = 1024 * 1024;

/// AR4SI: affirming, nothing better is known.
const AFFIRMING: u8 = 2;
/// AR4SI executables: approved at boot; nothing is said about later.
const APPROVED_AT_BOOT: u8 = 3;
/// AR4SI: no claim is made.
const NO_CLAIM: u8 = 0;
/// AR4SI hardware: genuine, with known weaknesses that the policy accepts.
const KNOWN_TO_BE_OUTDATED: u8 = 32;
/// AR4SI: contraindicated.
const CONTRAINDICATED: u8 = 96;

/// Items about the set as a whole.
const EVIDENCE: &str = "evidence.";

/// Members of the trustworthiness vector (AR4SI §3.1).
const VECTOR: [&str; 8] = [
    "instance-identity",
    "configuration",
    "executables",
    "file-system",
    "hardware",
    "runtime-opaque",
    "storage-opaque",
    "sourced-data",
];

/// The key a verifier signs its results with.
pub struct VerifierKey {
    key: crypto::Ed25519Key,
}

impl std::fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifierKey").field("public", &hex::encode(self.public())).finish_non_exhaustive()
    }
}

impl VerifierKey {
    /// The key with this RFC 8032 seed.
    ///
    /// # Errors
    /// When the library refuses the seed.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        crypto::Ed25519Key::from_seed(seed).map(|key| Self { key }).map_err(|_| KeyError::Seed)
    }

    /// A fresh seed from the cryptographic library's operating-system generator.
    ///
    /// # Errors
    /// When the generator fails.
    pub fn fresh_seed() -> Result<Zeroizing<[u8; 32]>, KeyError> {
        crypto::random_32().map(Zeroizing::new).map_err(|_| KeyError::Random)
    }

    /// The public half, 32 bytes.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.key.public()
    }

    /// The public half as a JSON Web Key (RFC 8037 §2).
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.key_id(),
            "x": URL_SAFE_NO_PAD.encode(self.public())})
    }

    fn key_id(&self) -> String {
        let mut id = hex::encode(crypto::sha256(&self.public()));
        id.truncate(32);
        id
    }
}

/// Why a token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EarError {
    /// Not three base64url parts of JSON, JSON and 64 bytes, or too long.
    #[error("the token is not a signed JSON web token")]
    Malformed,
    /// Not `EdDSA`: the header cannot choose another algorithm.
    #[error("the token is not signed with EdDSA")]
    Algorithm,
    /// The signature does not verify.
    #[error("the token's signature does not verify")]
    Signature,
    /// Not an EAR of the profile this version writes.
    #[error("the token's profile is not {EAR_PROFILE}")]
    Profile,
}

/// A token for `outcome`, whose dates were judged at `at`, issued at `issued_at` by the verifier's own clock.
///
/// What concerns no platform stands beside the submodules: the parts that were missing, what freshness was not shown,
/// and how much the roots are worth.
///
/// An accepted result becomes one submodule per platform; a rejection one submodule `attester` that is contraindicated
/// (or, when the evidence could not be judged at all, has status `none`) and names the code.
#[must_use]
pub fn sign_ear(
    outcome: Result<&AttestationResult, &Rejection>,
    at: UnixTime,
    issued_at: UnixTime,
    key: &VerifierKey,
) -> String {
    let (status, submods) = match outcome {
        Ok(result) => accepted(result),
        Err(rejection) => refused(rejection),
    };
    let general: Vec<&str> = outcome.map(|result| result.unchecked().to_vec()).unwrap_or_default();
    let general: Vec<&str> = general.into_iter().filter(|item| item.starts_with(EVIDENCE)).collect();
    let payload = json!({
        "eat_profile": EAR_PROFILE,
        "iat": issued_at,
        "cloister_appraised_at": at,
        "cloister_assurance": outcome.ok().map(AttestationResult::assurance),
        "cloister_unchecked": general,
        "ear_status": status,
        "ear_verifier_id": {
            "developer": "cloister",
            "build": concat!("cloister ", env!("CARGO_PKG_VERSION")),
        },
        "submods": submods,
    });
    let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": key.key_id()});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&payload));
    let signature = URL_SAFE_NO_PAD.encode(key.key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// The claims of a token signed by `public`.
///
/// # Errors
/// See [`EarError`].
pub fn verify_ear(token: &str, public: &[u8; 32]) -> Result<Value, EarError> {
    if token.len() > EAR_BYTES_MAX {
        return Err(EarError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(EarError::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(EarError::Malformed)?;
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| EarError::Malformed);
    let object =
        |part: &str| serde_json::from_slice::<Map<String, Value>>(&bytes(part)?).map_err(|_| EarError::Malformed);
    let header = object(header)?;
    // RFC 7515 §4.1.11: a critical header that is not understood refuses the token, and none is understood here.
    if header.contains_key("crit") {
        return Err(EarError::Malformed);
    }
    if header.get("alg").and_then(Value::as_str) != Some("EdDSA") {
        return Err(EarError::Algorithm);
    }
    let signature: [u8; 64] = bytes(signature)?.try_into().map_err(|_| EarError::Malformed)?;
    crypto::verify_ed25519(public, signed.as_bytes(), &signature).map_err(|_| EarError::Signature)?;
    let claims = object(payload)?;
    if claims.get("eat_profile").and_then(Value::as_str) != Some(EAR_PROFILE) {
        return Err(EarError::Profile);
    }
    Ok(Value::Object(claims))
}

fn accepted(result: &AttestationResult) -> (&'static str, Value) {
    let mut submods = Map::new();
    let mut worst = "affirming";
    for platform in Platform::ALL {
        let claims: Vec<&Claim> = result.claims().iter().filter(|claim| platform.owns(claim.name)).collect();
        if claims.is_empty() {
            continue;
        }
        let unchecked: Vec<&str> = result.unchecked().iter().copied().filter(|item| platform.owns(item)).collect();
        let of = |wanted: &[ClaimSource]| -> Map<String, Value> {
            let chosen = claims.iter().filter(|claim| wanted.contains(&claim.source));
            chosen.map(|claim| (claim.name.to_owned(), claim.value.clone())).collect()
        };
        let mut verifier_claims = of(&[ClaimSource::Derived]);
        verifier_claims.insert("cloister_assurance".to_owned(), json!(result.assurance()));
        verifier_claims.insert("cloister_unchecked".to_owned(), json!(unchecked));
        let vector = platform.vector(&claims, &unchecked);
        let is_warning = vector.values().any(|value| value == KNOWN_TO_BE_OUTDATED);
        let status = if is_warning { "warning" } else { "affirming" };
        worst = if is_warning { status } else { worst };
        let appraisal = json!({
            "ear_status": status,
            "ear_trustworthiness_vector": vector,
            "ear_appraisal_policy_ids": [format!("urn:{}", result.policy_digest())],
            "ear_attester_claims": of(&[ClaimSource::HardwareProven, ClaimSource::Asserted]),
            "ear_verifier_claims": verifier_claims,
        });
        submods.insert(platform.submodule().to_owned(), appraisal);
    }
    (worst, Value::Object(submods))
}

fn refused(rejection: &Rejection) -> (&'static str, Value) {
    let (status, hardware) = match rejection.class() {
        RejectionClass::Rejected => ("contraindicated", CONTRAINDICATED),
        RejectionClass::Unsupported | RejectionClass::Malformed => ("none", NO_CLAIM),
    };
    let vector: Map<String, Value> = VECTOR
        .iter()
        .map(|name| ((*name).to_owned(), json!(if *name == "hardware" { hardware } else { NO_CLAIM })))
        .collect();
    let appraisal = json!({
        "ear_status": status,
        "ear_trustworthiness_vector": vector,
        "ear_verifier_claims": {"cloister_rejection": rejection.code(), "cloister_reason": rejection.to_string()},
    });
    (status, json!({ "attester": appraisal }))
}

/// A platform that claims can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Platform {
    Snp,
    Tdx,
    Azure,
    Gpu,
}

impl Platform {
    const ALL: [Self; 4] = [Self::Snp, Self::Tdx, Self::Azure, Self::Gpu];

    fn prefix(self) -> &'static str {
        match self {
            Self::Snp => "snp.",
            Self::Tdx => "tdx.",
            Self::Azure => "azure.",
            Self::Gpu => "gpu.",
        }
    }

    fn submodule(self) -> &'static str {
        match self {
            Self::Snp => "sev-snp",
            Self::Tdx => "tdx",
            Self::Azure => "azure-vtpm",
            Self::Gpu => "nvidia-gpu",
        }
    }

    fn owns(self, name: &str) -> bool {
        name.starts_with(self.prefix())
    }

    /// Items whose checks are what a member of the vector claims; an id ending in a dot stands for all under it.
    fn needed_for(self, member: &str) -> &'static [&'static str] {
        match (self, member) {
            (Self::Snp, "instance-identity") => &["snp.report.chip_id"],
            (Self::Snp, "executables") => &["snp.report.launch_digest"],
            (Self::Snp, "configuration") => &["snp.guest.", "snp.platform.", "snp.report.vmpl"],
            (Self::Snp, "hardware") => &["snp.tcb.", "snp.revocation.", "snp.report.vlek_csp_id"],
            (Self::Snp, "runtime-opaque") => &["snp.guest.debug", "snp.guest.migration_agent", "snp.report.vmpl"],
            (Self::Tdx, "instance-identity") => &["tdx.platform.ppid"],
            (Self::Tdx, "executables") => &["tdx.quote.mr_td", "tdx.quote.rtmr"],
            (Self::Tdx, "configuration") => &["tdx.attributes.", "tdx.xfam.", "tdx.platform.", "tdx.quote.service_td"],
            (Self::Tdx, "hardware") => &["tdx.tcb.", "tdx.collateral."],
            (Self::Tdx, "runtime-opaque") => &[
                "tdx.attributes.debug",
                "tdx.attributes.migratable",
                "tdx.attributes.reserved",
                "tdx.quote.service_td",
            ],
            (Self::Gpu, "instance-identity") => &["gpu.devices.serial"],
            (Self::Gpu, "executables") => &["gpu.driver.", "gpu.vbios."],
            (Self::Gpu, "configuration") => &["gpu.devices.mode", "gpu.devices.protected_pcie", "gpu.devices.topology"],
            (Self::Gpu, "hardware") => &["gpu.revocation.", "gpu.devices.fwid"],
            (Self::Gpu, "runtime-opaque") => &["gpu.driver.rim", "gpu.vbios.rim", "gpu.devices.mode"],
            _ => &[],
        }
    }

    /// What every accepted item of the platform supports, less what was left unchecked. Nothing is claimed about a
    /// vTPM: what it says is as good as the hardware report under it, which has a submodule of its own.
    fn vector(self, claims: &[&Claim], unchecked: &[&str]) -> Map<String, Value> {
        let current = claims.iter().all(|claim| claim.name != "tdx.tcb_status" || claim.value == "UpToDate");
        let value = |member: &str| {
            let needed = self.needed_for(member);
            let waived = |item: &&str| {
                needed
                    .iter()
                    .any(|id| *item == *id || ((id.ends_with('.') || *id == "tdx.quote.rtmr") && item.starts_with(id)))
            };
            if needed.is_empty() || unchecked.iter().any(waived) {
                return NO_CLAIM;
            }
            match member {
                "executables" => APPROVED_AT_BOOT,
                "hardware" if !current => KNOWN_TO_BE_OUTDATED,
                _ => AFFIRMING,
            }
        };
        VECTOR.iter().map(|member| ((*member).to_owned(), json!(value(member)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every id that acceptance code can leave unchecked, read from that code, so that a new one is asked about here.
    fn waivable(sources: &[&'static str]) -> Vec<&'static str> {
        let mut ids: Vec<&str> = Vec::new();
        for source in sources {
            for quoted in source.split('"').skip(1).step_by(2) {
                let is_id = ["snp.", "tdx.", "gpu."].iter().any(|prefix| quoted.starts_with(prefix));
                if is_id && quoted.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_')) {
                    ids.push(quoted);
                }
            }
        }
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Checks every policy implies, and items about who chose a value: AR4SI has no member for those.
    const ABOUT_NOTHING: [&str; 30] = [
        "snp.report.version",
        "snp.report.product",
        "snp.report.signing_key",
        "snp.report.requester",
        "snp.report.host_data",
        "snp.report.guest_svn",
        "snp.report.family_id",
        "snp.report.image_id",
        "snp.report.id_key",
        "snp.report.author_key",
        "tdx.quote.version",
        "tdx.quote.mr_config_id",
        "tdx.quote.mr_owner",
        "tdx.quote.mr_owner_config",
        "gpu.devices.architecture",
        "gpu.devices.distinct",
        "gpu.devices.count",
        "gpu.measurements",
        "gpu.chain.verify",
        "gpu.report.decode",
        "gpu.report.fwid",
        "gpu.report.nonce",
        "gpu.report.signature",
        "gpu.driver.rim.verify",
        "gpu.vbios.rim.verify",
        "gpu.revocation.responses",
        "gpu.revocation.subject",
        "gpu.platform_accepted",
        "snp.guest.policy",
        "snp.tcb.order",
    ];

    #[test]
    fn no_waived_item_leaves_the_whole_vector_standing() {
        let snp = [
            include_str!("snp/accept.rs"),
            include_str!("snp/accept/bits.rs"),
            include_str!("snp/accept/firmware.rs"),
            "\"snp.revocation.crl\"",
        ];
        let tdx = [include_str!("tdx/accept.rs")];
        let gpu = [include_str!("gpu/accept.rs"), include_str!("gpu/appraise.rs"), "\"gpu.devices.topology\""];
        for (platform, sources) in [(Platform::Snp, &snp[..]), (Platform::Tdx, &tdx), (Platform::Gpu, &gpu)] {
            let whole = platform.vector(&[], &[]);
            let ids: Vec<&str> = waivable(sources).into_iter().filter(|id| platform.owns(id)).collect();
            assert!(ids.len() >= 9, "{ids:?}");
            for id in ids.into_iter().filter(|id| !ABOUT_NOTHING.contains(id)) {
                assert_ne!(platform.vector(&[], &[id]), whole, "{id} waived changes nothing");
            }
        }
    }

    #[test]
    fn a_tcb_that_is_not_up_to_date_is_a_warning() {
        let claim = |status: &str| Claim::derived("tdx.tcb_status", status);
        let (current, outdated) = (claim("UpToDate"), claim("OutOfDate"));
        assert_eq!(Platform::Tdx.vector(&[&current], &[]).get("hardware"), Some(&json!(AFFIRMING)));
        assert_eq!(Platform::Tdx.vector(&[&outdated], &[]).get("hardware"), Some(&json!(KNOWN_TO_BE_OUTDATED)));
    }
}
