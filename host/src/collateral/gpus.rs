//! What NVIDIA says about GPUs: two reference manifests by the names that the report gives them, and OCSP responses.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use attestation::Base64;
use attestation::gpu::{Architecture, GpuEndorsements, GpuEvidence, GpuReport, OcspAnswer, RimKind};
use serde::Deserialize;

/// NVIDIA's service for reference manifests.
const RIM_SERVICE: &str = "https://rim.attestation.nvidia.com/v1/rim";
/// NVIDIA's OCSP responder.
const OCSP_RESPONDER: &str = "https://ocsp.ndis.nvidia.com";
/// How the names of files with responses end, here as for `cloister appraise`.
const OCSP_SUFFIX: &str = ".ocsp.der";
/// Longest manifest that is handed out: appraisers read no longer one.
const RIM_BYTES_MAX: usize = 256 << 10;
/// The service's answer has it in base64.
const RIM_ANSWER_BYTES_MAX: usize = 2 * RIM_BYTES_MAX;
/// Longest response.
const OCSP_BYTES_MAX: usize = 16 << 10;
/// Most responses: of each certificate of one device and of two manifests, with room to spare.
const OCSP_ANSWERS_MAX: usize = 32;

/// What the service answers; the rest of it is about the manifest's history.
#[derive(Deserialize)]
struct RimAnswer {
    rim: Base64,
}

pub(super) fn endorsements(dir: &Path, evidence: &[GpuEvidence]) -> anyhow::Result<GpuEndorsements> {
    let first = evidence.first().context("no GPU is named")?;
    let report = GpuReport::parse(&first.report)?;
    Ok(GpuEndorsements {
        driver_rim: Some(rim(dir, RimKind::Driver, &report)?),
        vbios_rim: Some(rim(dir, RimKind::Vbios, &report)?),
        ocsp: ocsp(dir)?,
    })
}

/// The manifest, as XML or as the service's answer. Only the certificate says which chip it is; the names of both are tried.
fn rim(dir: &Path, kind: RimKind, report: &GpuReport) -> anyhow::Result<Vec<u8>> {
    let names: Vec<String> =
        [Architecture::Hopper, Architecture::Blackwell].into_iter().filter_map(|chip| kind.id(report, chip)).collect();
    let first = names.first().with_context(|| format!("the report does not say which {kind} the GPU has"))?;
    for name in &names {
        let (xml, json) = (dir.join(format!("{name}.xml")), dir.join(format!("{name}.json")));
        if xml.exists() {
            return bounded(&xml, RIM_BYTES_MAX);
        }
        if json.exists() {
            let answer: RimAnswer = serde_json::from_slice(&bounded(&json, RIM_ANSWER_BYTES_MAX)?)
                .with_context(|| format!("{} is not an answer of NVIDIA's service", json.display()))?;
            return Ok(answer.rim.0);
        }
    }
    bail!(
        "{first}.xml is missing in {}; fetch it there: curl --fail --output {first}.json '{RIM_SERVICE}/{first}'",
        dir.display()
    )
}

fn ocsp(dir: &Path) -> anyhow::Result<Vec<OcspAnswer>> {
    let entries = fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?;
    let mut files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    files.retain(|path| path.to_string_lossy().ends_with(OCSP_SUFFIX));
    files.sort();
    if files.is_empty() || files.len() > OCSP_ANSWERS_MAX {
        bail!(
            "{} has {} files *{OCSP_SUFFIX}, not 1 to {OCSP_ANSWERS_MAX}; ask every few hours about every certificate of the device \
             and of the manifests' signers, leaf and root of a device excepted, and about no other (gpu.ocsp.cert_id): \
             openssl ocsp -no_nonce -issuer ISSUER.pem -cert NAME.pem -url {OCSP_RESPONDER} -respout NAME{OCSP_SUFFIX}",
            dir.display(),
            files.len(),
        );
    }
    files.iter().map(|path| Ok(OcspAnswer { response: bounded(path, OCSP_BYTES_MAX)?, nonce: None })).collect()
}

fn bounded(path: &Path, limit: usize) -> anyhow::Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    if bytes.len() > limit {
        bail!("{} is longer than {limit} bytes", path.display());
    }
    Ok(bytes)
}
