//! What a node shows, held against a manifest.
//!
//! Decides: which claims correspond to which values. Every value is the hardware's word in a report that was verified.

use attestation::reference::manifest::SnpLaunch;
use attestation::tdx::TdxRejection;
use attestation::{Claim, ImageManifest, ReferenceValues, Rejection};
use credits::offer::Offer;

use super::{Audit, Equality};

/// What a node's report says it was launched from, in hex.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// SEV-SNP launch digest.
    pub launch_digest: Option<String>,
    /// MRTD of a TD.
    pub mr_td: Option<String>,
    /// RTMR1 and RTMR2 of a TD.
    pub rtmrs: [Option<String>; 2],
}

/// What an accepted report says.
#[must_use]
pub fn measured_of_claims(claims: &[Claim]) -> Measured {
    let value = |name: &str| {
        let claim = claims.iter().find(|claim| claim.name == name)?;
        Some(claim.value.as_str()?.to_owned())
    };
    Measured {
        launch_digest: value("snp.launch_digest"),
        mr_td: value("tdx.mr_td"),
        rtmrs: [value("tdx.rtmr1"), value("tdx.rtmr2")],
    }
}

/// What a report says that is genuine and was refused for just this value. A refusal for another reason says nothing.
#[must_use]
pub fn measured_of_rejection(rejection: &Rejection) -> Option<Measured> {
    let none = Measured::default();
    match rejection {
        Rejection::LaunchDigest { got } => Some(Measured { launch_digest: Some(got.clone()), ..none }),
        Rejection::Tdx(TdxRejection::MrTd { got }) => Some(Measured { mr_td: Some(got.clone()), ..none }),
        Rejection::Tdx(TdxRejection::Rtmr { index: 1, got }) => {
            Some(Measured { rtmrs: [Some(got.clone()), None], ..none })
        }
        Rejection::Tdx(TdxRejection::Rtmr { index: 2, got }) => {
            Some(Measured { rtmrs: [None, Some(got.clone())], ..none })
        }
        _ => None,
    }
}

/// Compares what the report says with the manifest.
pub fn compare_node(manifest: &ImageManifest, measured: &Measured, audit: &mut Audit) {
    if let Some(got) = &measured.launch_digest {
        compare_launch(&manifest.snp, got, audit);
    }
    if let Some(got) = &measured.mr_td {
        match &manifest.tdx {
            None => audit.push("node.mr_td", Equality::Differs, format!("the manifest has no TDX values, got {got}")),
            Some(tdx) if *got == tdx.mrtd_single_pass.to_string() => {
                audit.push("node.mr_td", Equality::Equal, format!("{got} (single pass)"));
            }
            Some(tdx) if *got == tdx.mrtd_two_pass.to_string() => {
                audit.push("node.mr_td", Equality::Equal, format!("{got} (two passes)"));
            }
            Some(tdx) => {
                let expected = format!("{} or {}", tdx.mrtd_single_pass, tdx.mrtd_two_pass);
                audit.push("node.mr_td", Equality::Differs, format!("expected {expected}, got {got}"));
            }
        }
        audit.push("node.rtmr0", Equality::NotShown, "it depends on the machine: replay the log");
    }
    let expected = manifest.tdx.as_ref().map(|tdx| [tdx.rtmr1.to_string(), tdx.rtmr2.to_string()]).unwrap_or_default();
    for ((name, got), expected) in ["node.rtmr1", "node.rtmr2"].iter().zip(&measured.rtmrs).zip(expected) {
        if let Some(got) = got {
            audit.compare(*name, &expected, got);
        }
    }
    if *measured == Measured::default() {
        audit.push("node", Equality::Differs, "its evidence has no launch measurement a manifest states");
    }
}

fn compare_launch(launches: &[SnpLaunch], got: &str, audit: &mut Audit) {
    const ITEM: &str = "node.launch_digest";
    let row = launches.iter().find(|launch| launch.launch_digest.to_string() == got);
    match row {
        Some(row) => audit.push(ITEM, Equality::Equal, format!("{got} ({})", describe(row))),
        None if launches.is_empty() => {
            audit.push(ITEM, Equality::Differs, format!("the manifest states no launch digest, got {got}"));
        }
        None => {
            let rows: Vec<_> =
                launches.iter().map(|row| format!("{} ({})", row.launch_digest, describe(row))).collect();
            audit.push(ITEM, Equality::Differs, format!("expected one of {}, got {got}", rows.join(", ")));
        }
    }
}

/// `2 vCPUs, EPYC-v4, features 0x1, qemu`.
pub(super) fn describe(launch: &SnpLaunch) -> String {
    let SnpLaunch { vcpus, cpu, guest_features, vmm, .. } = launch;
    format!("{vcpus} vCPUs, {cpu}, features {guest_features:#x}, {vmm}")
}

/// Compares the models of the signed offer, and the version of the reference values the policy took, with the manifest.
pub fn compare_offer<'a>(
    manifest: &ImageManifest,
    offer: &Offer,
    reference_values: impl Iterator<Item = &'a ReferenceValues>,
    audit: &mut Audit,
) {
    let offered: Vec<_> = offer.models.iter().map(|model| format!("{} {}", model.id, model.weights_digest)).collect();
    let built: Vec<_> =
        manifest.model.iter().map(|model| format!("{} sha256:{}", model.name, model.weights_sha256)).collect();
    audit.compare("node.models", &list(&built), &list(&offered));
    let mut named = false;
    for values in reference_values {
        named = true;
        audit.compare("reference_values.flavour", &manifest.flavour, &values.flavour);
        audit.compare("reference_values.version", &manifest.version, &values.image_version);
        audit.compare("reference_values.mode", &manifest.mode, &values.mode);
    }
    if !named {
        let reason = "the policy takes no reference values, and a report names no version: the launch digest covers it";
        audit.push("version", Equality::NotShown, reason);
    }
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
