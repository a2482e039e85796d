//! The entry point of TDX: a quote, its collateral, roots, a policy and a time in, [`TdxClaims`] or a rejection out.
//!
//! Decides: everything about a quote, in one order. Steps 1 to 6 establish that it is genuine and stop at the first
//! failure, because what follows would read unauthenticated bytes; no status, not even a refused one, is an answer
//! before every signature has been verified. Step 7 makes every policy check and refuses with the first that failed.
//!
//! 1. decode; 2. collateral; 3. PCK chain and revocation; 4. dates; 5. quoting enclave and quote signature;
//!    6. what the collateral says about this platform; 7. the policy.

use std::sync::Arc;

use crate::cache::Store;
use crate::crypto::Sha256Context;
use crate::findings::Findings;
use crate::policy::{AppraisalPolicy, Platform};
use crate::rejection::Rejection;
use crate::roots::{AssuranceClass, RootKind, TrustRoots};
use crate::tdx::chain::{self, VerifiedPck};
use crate::tdx::collateral::{self, VerifiedCollateral};
use crate::tdx::tcb::{self, TcbVerdict};
use crate::tdx::{PckCa, PckFacts, TcbStatus, TdQuote, TdxCollateral, TdxRejection, accept, qe};
use crate::time::UnixTime;
use crate::transcript::Transcript;

/// What was verified before: collateral, PCK chains and quoting enclaves. Dates are checked at every use.
#[derive(Debug, Default)]
pub struct TdxCache {
    collateral: Store<VerifiedCollateral>,
    pck: Store<VerifiedPck>,
    qe: Store<()>,
}

/// A quote whose signatures hold, and what is known about its platform.
#[derive(Debug, Clone)]
pub(crate) struct Genuine {
    pub(crate) quote: TdQuote,
    pub(crate) collateral: Arc<VerifiedCollateral>,
    pub(crate) pck: Arc<VerifiedPck>,
    pub(crate) evaluation_number: u32,
    pub(crate) tcb: TcbVerdict,
}

/// A quote that is genuine and acceptable. Only [`appraise`] makes one. It is not tied to any connection: the caller
/// compares [`TdxClaims::report_data`] with what its own connection requires.
#[derive(Debug, Clone)]
pub struct TdxClaims {
    genuine: Genuine,
    assurance: AssuranceClass,
    unchecked: Vec<&'static str>,
}

/// Appraise `quote` with `collateral` under `roots` and `policy` at `now`.
///
/// # Errors
/// The first reason to refuse; `transcript` then ends in, or contains, its FAIL line.
pub fn appraise(
    quote: &[u8],
    collateral: &TdxCollateral,
    roots: &TrustRoots,
    policy: &AppraisalPolicy,
    now: UnixTime,
    cache: &TdxCache,
    transcript: &mut Transcript,
) -> Result<TdxClaims, Rejection> {
    let Platform::Items(items) = &policy.items().tdx else {
        let refused = Err(Rejection::PlatformRefused { platform: "TDX" });
        return transcript.check("tdx.platform_accepted", refused, |_| String::new());
    };
    // 1. Decode.
    let quote =
        transcript.check("tdx.quote.decode", TdQuote::parse(quote), |quote| format!("version {}", quote.version))?;
    let genuine = verify(quote, collateral, roots, now, cache, transcript)?;
    let mut unchecked = Vec::new();
    let mut findings = Findings::new(transcript, &mut unchecked);
    accept::hold_against(&mut findings, items, &genuine, now);
    findings.verdict()?;
    Ok(TdxClaims { genuine, assurance: roots.assurance(), unchecked })
}

/// Steps 2 to 6.
fn verify(
    quote: TdQuote,
    der: &TdxCollateral,
    roots: &TrustRoots,
    now: UnixTime,
    cache: &TdxCache,
    transcript: &mut Transcript,
) -> Result<Genuine, Rejection> {
    // 2. Collateral.
    let collateral_key = collateral_key(der, roots);
    let collateral = cache.collateral.get_or_verify(collateral_key, || collateral::verify(der, roots));
    let collateral = transcript.check("tdx.collateral.verify", collateral, |verified| {
        format!("FMSPC {} under {} roots", hex::encode(verified.tcb_info.fmspc.0), roots.assurance())
    })?;

    // 3. The PCK, and that neither it nor its CA is revoked.
    let pck_key = key_of("pck", &[&collateral_key, &quote.pck_chain_pem]);
    let pck =
        cache.pck.get_or_verify(pck_key, || chain::verify_pck(&quote.pck_chain_pem, der.pck_crl(), &collateral.root));
    let pck = transcript.check("tdx.chain.verify", pck, |pck| format!("PCK of the {} CA, not revoked", pck.ca))?;

    // 4. Dates, at the time the caller names.
    let dates = collateral.require_valid_at(now).and_then(|()| pck.require_valid_at(now).map_err(Rejection::from));
    transcript.check("tdx.dates", dates, |()| format!("valid at {now}"))?;

    // 5. The enclave that made the attestation key, and what that key signed.
    let qe_parts: [&[u8]; 3] = [&pck_key, quote.qe_report_bytes(), &quote.qe_report_signature];
    let signed_by_pck =
        cache.qe.get_or_verify(key_of("qe", &qe_parts), || qe::verify_report_signature(&quote, &pck.point));
    transcript.check("tdx.qe.signature", signed_by_pck, |_| "signed by the PCK".to_owned())?;
    transcript.check("tdx.qe.binding", qe::verify_binding(&quote), |()| "binds the attestation key".to_owned())?;
    let signature = qe::verify_quote_signature(&quote);
    transcript.check("tdx.quote.signature", signature, |()| "ECDSA P-256 verifies".to_owned())?;

    // 6. Is the collateral about this platform, and what does it say?
    let about = require_same_platform(&collateral, &pck.facts);
    transcript.check("tdx.collateral.platform", about, |()| "FMSPC and PCE-ID are the PCK's".to_owned())?;
    let evaluation_number = collateral.evaluation_number();
    let evaluation_number =
        transcript.check("tdx.collateral.evaluation", evaluation_number, |number| format!("recovery {number}"))?;
    let qe_level = qe::verify_identity(&quote.qe_report, &collateral.qe_identity);
    let qe_level = transcript.check("tdx.qe.identity", qe_level, |level| level.tcb_status.to_string())?;
    let tcb = tcb::evaluate(&collateral.tcb_info, &pck.facts, &quote.body, qe_level);
    let tcb = transcript.check("tdx.tcb.level", tcb, |tcb| format!("{} of {}", tcb.status, tcb.date))?;
    Ok(Genuine { quote, pck, evaluation_number, tcb, collateral })
}

fn require_same_platform(collateral: &VerifiedCollateral, pck: &PckFacts) -> Result<(), TdxRejection> {
    let info = &collateral.tcb_info;
    if pck.fmspc != info.fmspc.0 {
        let (pck, tcb_info) = (hex::encode(pck.fmspc), hex::encode(info.fmspc.0));
        return Err(TdxRejection::FmspcMismatch { pck, tcb_info });
    }
    if pck.pce_id != info.pce_id.0 {
        let (pck, tcb_info) = (hex::encode(pck.pce_id), hex::encode(info.pce_id.0));
        return Err(TdxRejection::PceIdMismatch { pck, tcb_info });
    }
    Ok(())
}

/// Everything collateral verification depends on: the trusted roots and every member.
fn collateral_key(collateral: &TdxCollateral, roots: &TrustRoots) -> [u8; 32] {
    let mut parts: Vec<&[u8]> = vec![collateral.digest()];
    parts.extend(roots.of_kind(RootKind::Intel));
    key_of("collateral", &parts)
}

/// A digest of `parts` that keeps the borders between them.
fn key_of(domain: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Sha256Context::new();
    for part in [domain.as_bytes()].iter().chain(parts) {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    context.finish()
}

impl TdxClaims {
    /// What the verdict is worth.
    #[must_use]
    pub fn assurance(&self) -> AssuranceClass {
        self.assurance
    }

    /// The quote.
    #[must_use]
    pub fn quote(&self) -> &TdQuote {
        &self.genuine.quote
    }

    /// REPORT_DATA, 64 bytes chosen by the TD.
    #[must_use]
    pub fn report_data(&self) -> &[u8; 64] {
        &self.genuine.quote.body.report_data
    }

    /// What the PCK certifies about the platform.
    #[must_use]
    pub fn pck(&self) -> &PckFacts {
        &self.genuine.pck.facts
    }

    /// Which CA issued the PCK.
    #[must_use]
    pub fn pck_ca(&self) -> PckCa {
        self.genuine.pck.ca
    }

    /// Platform family.
    #[must_use]
    pub fn fmspc(&self) -> &[u8; 6] {
        &self.genuine.pck.facts.fmspc
    }

    /// Which machine.
    #[must_use]
    pub fn ppid(&self) -> &[u8; 16] {
        &self.genuine.pck.facts.ppid
    }

    /// Status of platform, TDX module and quoting enclave together.
    #[must_use]
    pub fn status(&self) -> TcbStatus {
        self.genuine.tcb.status
    }

    /// Every advisory that applies, sorted.
    #[must_use]
    pub fn advisories(&self) -> &[String] {
        &self.genuine.tcb.advisories
    }

    /// Date of the oldest TCB level that applies.
    #[must_use]
    pub fn tcb_date(&self) -> UnixTime {
        self.genuine.tcb.date
    }

    /// TCB recovery of the collateral; TCB information and QE identity have the same.
    #[must_use]
    pub fn evaluation_number(&self) -> u32 {
        self.genuine.evaluation_number
    }

    /// Items the policy leaves unchecked.
    #[must_use]
    pub fn unchecked(&self) -> &[&'static str] {
        &self.unchecked
    }
}
