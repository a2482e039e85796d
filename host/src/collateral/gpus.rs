//! What NVIDIA says about GPUs: two reference manifests by the names that the report gives them, and OCSP responses.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use attestation::gpu::{
    Architecture, GpuEndorsements, GpuEvidence, GpuReport, OcspAnswer, OcspRequest, RimKind, ocsp_requests,
};
use attestation::{Base64, Sha256Digest, TrustRoots};
use serde::Deserialize;

use super::fetch::Fetcher;
use super::shelf::{Document, RENEW_OCSP, Shelf};

/// How the names of files with responses end that an operator keeps, here as for `cloister appraise`.
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

pub(super) fn endorsements(
    shelf: &Shelf,
    evidence: &[GpuEvidence],
    roots: &TrustRoots,
) -> anyhow::Result<GpuEndorsements> {
    let first = evidence.first().context("no GPU is named")?;
    let report = GpuReport::parse(&first.report)?;
    let [driver, vbios] = [RimKind::Driver, RimKind::Vbios].map(|kind| rim(shelf, kind, &report, roots));
    let (driver, vbios) = (driver?, vbios?);
    let ocsp = if shelf.fetches() {
        let requests = ocsp_requests(evidence, &[&driver, &vbios], roots)?;
        requests.into_iter().map(|request| answer(shelf, request)).collect::<Result<_, _>>()?
    } else {
        kept_answers(shelf)?
    };
    Ok(GpuEndorsements { driver_rim: Some(driver), vbios_rim: Some(vbios), ocsp })
}

/// The manifest, as XML or as the service's answer. Only the certificate says which chip it is; the names of both are tried.
fn rim(shelf: &Shelf, kind: RimKind, report: &GpuReport, roots: &TrustRoots) -> anyhow::Result<Vec<u8>> {
    let names: Vec<String> =
        [Architecture::Hopper, Architecture::Blackwell].into_iter().filter_map(|chip| kind.id(report, chip)).collect();
    let first = names.first().with_context(|| format!("the report does not say which {kind} the GPU has"))?;
    for name in &names {
        // Before it stands in a path, a URL, or a command that somebody may copy.
        shelf.path(name)?;
        let xml = format!("{name}.xml");
        if shelf.has(&xml) {
            return bounded(&shelf.path(&xml)?, RIM_BYTES_MAX);
        }
        if shelf.has(&format!("{name}.json")) {
            return manifest(shelf, name, roots);
        }
    }
    if shelf.fetches() {
        // The first name that the service knows; if it knows none, what it said about the likelier one.
        let mut tried = names.iter().map(|name| manifest(shelf, name, roots));
        let refused = match tried.next() {
            Some(Err(refused)) => refused,
            Some(found) => return found,
            None => bail!("the report names no {kind}"),
        };
        return tried.find(Result::is_ok).unwrap_or(Err(refused));
    }
    bail!("{first}.xml is missing in {}; {}", shelf.dir().display(), rim_advice(shelf, first))
}

fn rim_advice(shelf: &Shelf, name: &str) -> String {
    format!("fetch it there (or start with --fetch): curl --fail --output {name}.json '{}'", rim_url(shelf, name))
}

fn rim_url(shelf: &Shelf, name: &str) -> String {
    format!("{}/v1/rim/{name}", shelf.services().nvidia_rim.trim_end_matches('/'))
}

/// A manifest in the form of the service's answer. It never changes: another version has another name.
fn manifest(shelf: &Shelf, name: &str, roots: &TrustRoots) -> anyhow::Result<Vec<u8>> {
    let (file, url, roots) = (format!("{name}.json"), rim_url(shelf, name), roots.clone());
    let source = move |fetcher: &Fetcher| {
        let body = fetcher.get(&url, RIM_ANSWER_BYTES_MAX)?.body;
        let read = || -> anyhow::Result<()> {
            let RimAnswer { rim } = serde_json::from_slice(&body)?;
            if rim.0.len() > RIM_BYTES_MAX {
                bail!("the manifest is longer than {RIM_BYTES_MAX} bytes");
            }
            // Signed by NVIDIA, whatever the date.
            Ok(ocsp_requests(&[], &[&rim.0], &roots).map(drop)?)
        };
        read().with_context(|| format!("read what {url} answered"))?;
        Ok(body)
    };
    let bytes = shelf.get(Document {
        name: file.clone(),
        bytes_max: RIM_ANSWER_BYTES_MAX,
        renew: None,
        advice: rim_advice(shelf, name),
        source: Some(Box::new(source)),
    })?;
    let answer: RimAnswer =
        serde_json::from_slice(&bytes).with_context(|| format!("{file} is not an answer of NVIDIA's service"))?;
    Ok(answer.rim.0)
}

/// The responder's answer about one certificate.
fn answer(shelf: &Shelf, request: OcspRequest) -> anyhow::Result<OcspAnswer> {
    let name = format!("ocsp-{}.der", Sha256Digest::of(&request.to_der()).to_hex());
    let url = shelf.services().nvidia_ocsp.clone();
    let source = move |fetcher: &Fetcher| {
        let response = fetcher.post_ocsp(&url, request.to_der(), OCSP_BYTES_MAX)?.body;
        request.require_answered_by(&response).with_context(|| format!("read what {url} answered"))?;
        Ok(response)
    };
    let response = shelf.get(Document {
        name,
        bytes_max: OCSP_BYTES_MAX,
        renew: Some(RENEW_OCSP),
        advice: "start with --fetch".to_owned(),
        source: Some(Box::new(source)),
    })?;
    Ok(OcspAnswer { response, nonce: None })
}

/// Responses that an operator keeps, all of them.
fn kept_answers(shelf: &Shelf) -> anyhow::Result<Vec<OcspAnswer>> {
    let dir = shelf.dir();
    let entries = fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?;
    let mut files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    files.retain(|path| path.to_string_lossy().ends_with(OCSP_SUFFIX));
    files.sort();
    if files.is_empty() || files.len() > OCSP_ANSWERS_MAX {
        bail!(
            "{} has {} files *{OCSP_SUFFIX}, not 1 to {OCSP_ANSWERS_MAX}; start with --fetch, or ask every few hours about every \
             certificate of the device and of the manifests' signers, leaf and root of a device excepted, and about no other \
             (gpu.ocsp.cert_id): openssl ocsp -no_nonce -noverify -issuer ISSUER.pem -cert NAME.pem -url {} -respout NAME{OCSP_SUFFIX}",
            dir.display(),
            files.len(),
            shelf.services().nvidia_ocsp,
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
