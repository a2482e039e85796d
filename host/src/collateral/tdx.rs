//! What Intel says about a platform: its collateral, in the form quote providers hand out.
//!
//! Intel's service (PCS API, version 4) has it in parts: a statement and its signature in one body, the signer's chain in a header.

use anyhow::{Context, bail};
use attestation::tdx::{COLLATERAL_BYTES_MAX, TdQuote, TdxCollateral, named_platform};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::fetch::{Fetcher, Reply, Services};
use super::shelf::{Document, RENEW_STATEMENTS, Shelf};
use super::snp;

/// The file that an operator keeps, whose host has one platform.
const NAME: &str = "tdx-collateral.json";

pub(super) fn endorsements(shelf: &Shelf, quote: &[u8]) -> anyhow::Result<TdxCollateral> {
    let quote = TdQuote::parse(quote)?;
    let (ca, platform) = named_platform(&quote)?;
    let fmspc = hex::encode(platform.fmspc);
    let advice = format!(
        "start with --fetch, or ask Intel's PCS (version 4) or your PCCS for the FMSPC of this platform, which is {fmspc}"
    );
    // What a quote says of its platform is not verified here: it chooses a file, and never what is in another's.
    let name = if shelf.fetches() { format!("tdx-{fmspc}-{ca}.json") } else { NAME.to_owned() };
    let services = shelf.services().clone();
    let source = move |fetcher: &Fetcher| fetch(fetcher, &services, &fmspc, &ca.to_string());
    let bytes = shelf.get(Document {
        name: name.clone(),
        bytes_max: COLLATERAL_BYTES_MAX,
        renew: Some(RENEW_STATEMENTS),
        advice,
        source: Some(Box::new(source)),
    })?;
    TdxCollateral::from_json(&bytes).with_context(|| format!("{name} is not Intel's collateral"))
}

/// The body of a statement's answer. What is signed is the text as it stands there.
#[derive(Deserialize)]
struct Signed<'a> {
    #[serde(borrow, alias = "tcbInfo", alias = "enclaveIdentity")]
    statement: &'a RawValue,
    signature: String,
}

/// What TCB information is about.
#[derive(Deserialize)]
struct Named {
    fmspc: String,
}

fn fetch(fetcher: &Fetcher, services: &Services, fmspc: &str, ca: &str) -> anyhow::Result<Vec<u8>> {
    let intel = services.intel.trim_end_matches('/');
    let get = |path: &str| fetcher.get(&format!("{intel}{path}"), COLLATERAL_BYTES_MAX);
    let tcb = get(&format!("/tdx/certification/v4/tcb?fmspc={fmspc}"))?;
    let identity = get("/tdx/certification/v4/qe/identity")?;
    let pck_crl = get(&format!("/sgx/certification/v4/pckcrl?ca={ca}&encoding=der"))?;
    let root_crl = fetcher.get(&services.intel_root_crl, COLLATERAL_BYTES_MAX)?;
    let (tcb_info, tcb_info_signature) = signed(&tcb).context("read the TCB information")?;
    let named: Named = serde_json::from_str(&tcb_info).context("read the TCB information")?;
    if !named.fmspc.eq_ignore_ascii_case(fmspc) {
        bail!("the TCB information is of {}, not of {fmspc}", named.fmspc);
    }
    let (qe_identity, qe_identity_signature) = signed(&identity).context("read the identity of the quoting enclave")?;
    let collateral = serde_json::json!({
        "pck_crl_issuer_chain": chain(&pck_crl, "SGX-PCK-CRL-Issuer-Chain")?,
        "root_ca_crl": list(&root_crl.body).context("read the list of Intel's root")?,
        "pck_crl": list(&pck_crl.body).context("read the list of the PCK CA")?,
        "tcb_info_issuer_chain": chain(&tcb, "TCB-Info-Issuer-Chain")?,
        "tcb_info": tcb_info,
        "tcb_info_signature": tcb_info_signature,
        "qe_identity_issuer_chain": chain(&identity, "SGX-Enclave-Identity-Issuer-Chain")?,
        "qe_identity": qe_identity,
        "qe_identity_signature": qe_identity_signature,
    });
    let bytes = serde_json::to_vec(&collateral)?;
    TdxCollateral::from_json(&bytes)?;
    Ok(bytes)
}

fn signed(reply: &Reply) -> anyhow::Result<(String, String)> {
    let Signed { statement, signature } = serde_json::from_slice(&reply.body)?;
    Ok((statement.get().to_owned(), signature))
}

/// A revocation list, in hex; a PCCS has the root's in hex already.
fn list(bytes: &[u8]) -> anyhow::Result<String> {
    let is_hex = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_hexdigit);
    let der = if is_hex { hex::decode(bytes).map_err(|error| anyhow::anyhow!("{error}"))? } else { bytes.to_vec() };
    snp::revocation_list(&der)?;
    Ok(hex::encode(der))
}

/// A chain of certificates as it is put into a header: PEM, percent-encoded.
fn chain(reply: &Reply, header: &str) -> anyhow::Result<String> {
    let text = percent_encoding::percent_decode_str(reply.header(header)?).decode_utf8();
    Ok(text.with_context(|| format!("{header} is not percent-encoded PEM"))?.into_owned())
}
