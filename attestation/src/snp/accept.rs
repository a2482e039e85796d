//! Is a genuine report acceptable? Every policy item against the report, each with its own transcript line.
//!
//! Decides: acceptance, after `chain` and `verify` have established that the report is genuine. All items are held
//! against the policy even after one fails, so that the transcript tells the whole story; the first failure is the
//! verdict. Bits and fields: SNP ABI §7.3 and its tables "Guest Policy Structure" and "PLATFORM_INFO Field".

mod bits;
mod firmware;

use crate::findings::Findings;
use crate::policy::HexBytes;
use crate::rejection::Rejection;
use crate::snp::chain::EndorsedKey;
use crate::snp::extensions::VekOwner;
use crate::snp::policy::{ReportItems, SnpItems};
use crate::snp::{Product, SigningKey, SnpReport, Tcb};
use crate::transcript::Transcript;

/// VMPL of a report the hypervisor asked for (SNP ABI SNP_HV_REPORT_REQ).
const VMPL_HOST: u32 = u32::MAX;

/// What verification established about a report, beyond its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GenuineReport {
    pub(crate) product: Product,
    pub(crate) kind: SigningKey,
    pub(crate) csp_id: Option<String>,
    pub(crate) reported_tcb: Tcb,
    current_tcb: Tcb,
    committed_tcb: Tcb,
    launch_tcb: Tcb,
}

impl GenuineReport {
    /// Decode what depends on the product, now that the chain has named it.
    pub(crate) fn new(key: &EndorsedKey, reported_tcb: Tcb, report: &SnpReport) -> Result<Self, Rejection> {
        let product = key.product;
        let csp_id = match &key.facts.owner {
            VekOwner::Chip(_) => None,
            VekOwner::CloudProvider(csp_id) => Some(csp_id.clone()),
        };
        Ok(Self {
            product,
            kind: key.kind,
            csp_id,
            reported_tcb,
            current_tcb: report.current_tcb.decode(product)?,
            committed_tcb: report.committed_tcb.decode(product)?,
            launch_tcb: report.launch_tcb.decode(product)?,
        })
    }
}

/// Hold a genuine report against the policy.
pub(crate) fn hold_against(
    items: &SnpItems,
    report: &SnpReport,
    genuine: &GenuineReport,
    transcript: &mut Transcript,
    unchecked: &mut Vec<&'static str>,
) -> Result<(), Rejection> {
    let mut findings = Findings::new(transcript, unchecked);
    hold_origin(&mut findings, &items.report, report, genuine);
    bits::hold_guest_policy(&mut findings, &items.guest, report);
    firmware::hold_tcb(&mut findings, &items.tcb, report, genuine);
    bits::hold_platform(&mut findings, &items.platform, report);
    hold_identity(&mut findings, &items.report, report);
    findings.verdict()
}

/// Where the report comes from: version, product, key, provider, and who asked for it.
fn hold_origin(findings: &mut Findings<'_>, items: &ReportItems, report: &SnpReport, genuine: &GenuineReport) {
    let GenuineReport { product, kind, csp_id, .. } = genuine;
    findings.always(
        "snp.report.version",
        member(&items.versions, &report.version, |got| Rejection::ReportVersionNotAllowed { got: *got }),
    );
    findings.always(
        "snp.report.product",
        member(&items.products, product, |got| Rejection::ProductNotAllowed { got: *got }),
    );
    findings.always(
        "snp.report.signing_key",
        member(&items.signing_keys, kind, |got| Rejection::SigningKeyNotAllowed { got: *got }),
    );
    if let Some(csp_id) = csp_id {
        findings.item("snp.report.vlek_csp_id", &items.vlek_csp_ids, |allowed| {
            member(allowed, csp_id, |got| Rejection::CspNotAllowed { got: got.clone() })
        });
    }
    let asked_by_guest =
        if report.vmpl == VMPL_HOST { Err(Rejection::HostRequested) } else { Ok("the guest".to_owned()) };
    findings.always("snp.report.requester", asked_by_guest);
    findings.item("snp.report.vmpl", &items.vmpl, |allowed| {
        member(allowed, &report.vmpl, |got| Rejection::Vmpl { got: *got })
    });
}

/// What runs in the guest, and on which chip.
fn hold_identity(findings: &mut Findings<'_>, items: &ReportItems, report: &SnpReport) {
    findings.item("snp.report.launch_digest", &items.launch_digests, |allowed| {
        hex_member(allowed.values(), &report.measurement, |got| Rejection::LaunchDigest { got })
    });
    findings.item("snp.report.host_data", &items.host_data, |allowed| {
        hex_member(allowed, &report.host_data, |got| Rejection::HostData { got })
    });
    findings.item("snp.report.guest_svn", &items.guest_svn_min, |minimum| {
        let (got, minimum) = (report.guest_svn, *minimum);
        if got >= minimum { Ok(got.to_string()) } else { Err(Rejection::GuestSvn { got, minimum }) }
    });
    findings.item("snp.report.family_id", &items.family_ids, |allowed| {
        hex_member(allowed, &report.family_id, |got| Rejection::FamilyId { got })
    });
    findings.item("snp.report.image_id", &items.image_ids, |allowed| {
        hex_member(allowed, &report.image_id, |got| Rejection::ImageId { got })
    });
    findings.item("snp.report.id_key", &items.id_key_digests, |allowed| {
        hex_member(allowed, &report.id_key_digest, |got| Rejection::IdKey { got })
    });
    findings.item("snp.report.author_key", &items.author_key_digests, |allowed| {
        hex_member(allowed, &report.author_key_digest, |got| Rejection::AuthorKey { got })
    });
    findings.item("snp.report.chip_id", &items.chip_ids, |allowed| {
        hex_member(allowed, &report.chip_id, |got| Rejection::ChipNotAllowed { got })
    });
}

fn member<T: PartialEq + std::fmt::Display>(
    allowed: &[T],
    got: &T,
    refuse: impl FnOnce(&T) -> Rejection,
) -> Result<String, Rejection> {
    if allowed.contains(got) { Ok(got.to_string()) } else { Err(refuse(got)) }
}

fn hex_member<const N: usize>(
    allowed: &[HexBytes<N>],
    got: &[u8; N],
    refuse: impl FnOnce(String) -> Rejection,
) -> Result<String, Rejection> {
    let text = hex::encode(got);
    if allowed.iter().any(|candidate| candidate.0 == *got) { Ok(text) } else { Err(refuse(text)) }
}
