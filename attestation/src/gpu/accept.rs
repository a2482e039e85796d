//! Are genuine devices acceptable? Every policy item against each device, each with its own transcript line.
//!
//! Decides: acceptance, after [`super::appraise`] has established that devices and manifests are genuine. All items are
//! held against the policy even after one fails; the first failure is the verdict.

use std::collections::BTreeSet;

use crate::findings::Findings;
use crate::gpu::appraise::{GenuineDevice, Manifests};
use crate::gpu::policy::{DeviceItems, GpuItems, SoftwareItems};
use crate::gpu::{FeatureMode, GpuRejection, RimKind, compare};
use crate::policy::{BitRule, Rule};
use crate::rejection::Rejection;
use crate::transcript::Transcript;

/// Hold genuine devices against the policy.
pub(crate) fn hold_against(
    items: &GpuItems,
    devices: &[GenuineDevice],
    manifests: &Manifests,
    transcript: &mut Transcript,
    unchecked: &mut Vec<&'static str>,
) -> Result<(), Rejection> {
    let mut findings = Findings::new(transcript, unchecked);
    findings.always("gpu.devices.distinct", require_distinct(devices));
    for device in devices {
        hold_device(&mut findings, &items.devices, device);
        if device.verified.architecture.is_gpu() {
            hold_software(&mut findings, RimKind::Driver, &items.driver, device, manifests);
        }
        hold_software(&mut findings, RimKind::Vbios, &items.vbios, device, manifests);
        let given = manifests.of(device);
        if !given.is_empty() {
            findings.always("gpu.measurements", compare::require_measurements(&device.report, &given));
        }
    }
    findings.verdict()
}

/// No device reports twice, under one certificate or under two.
fn require_distinct(devices: &[GenuineDevice]) -> Result<String, GpuRejection> {
    let mut seen = BTreeSet::new();
    for device in devices {
        let serial = &device.verified.device_serial;
        let new_leaf = seen.insert(device.verified.leaf_digest.to_hex());
        if !seen.insert(serial.clone()) || !new_leaf {
            return Err(GpuRejection::DeviceRepeated { device: serial.clone() });
        }
    }
    Ok(format!("{} devices", devices.len()))
}

/// What the device is and how it is used.
fn hold_device(findings: &mut Findings<'_>, items: &DeviceItems, device: &GenuineDevice) {
    let (verified, opaque) = (&device.verified, &device.report.opaque);
    let got = verified.architecture;
    let known = items.architectures.contains(&got);
    findings.always(
        "gpu.devices.architecture",
        if known { Ok(got.to_string()) } else { Err(GpuRejection::ArchitectureNotAllowed { got }) },
    );
    findings.item("gpu.devices.serial", &items.serials, |allowed| {
        let got = verified.device_serial.clone();
        if allowed.contains(&got) { Ok(got) } else { Err(GpuRejection::DeviceNotAllowed { got }) }
    });
    // That a reported identity is the certified one was verified before; here it must be reported at all.
    findings.item("gpu.devices.fwid", &items.fwid, |_required| match &opaque.fwid {
        Some(fwid) => Ok(hex::encode(fwid)),
        None => Err(GpuRejection::FwidAbsent),
    });
    if !got.is_gpu() {
        return;
    }
    hold_mode(findings, items, device);
}

/// FEATURE_FLAG and protected PCIe. Switches have neither.
fn hold_mode(findings: &mut Findings<'_>, items: &DeviceItems, device: &GenuineDevice) {
    let mode = device.mode();
    // A mode without a known meaning is refused under every policy: it might share the device.
    if let Err(unknown) = mode {
        findings.always("gpu.devices.mode", Err::<String, _>(unknown));
    } else {
        findings.item("gpu.devices.mode", &items.modes, |allowed| match mode {
            Ok(Some(got)) if allowed.contains(&got) => Ok(got.to_string()),
            Ok(Some(got)) => Err(GpuRejection::ModeNotAllowed { got }),
            Ok(None) => Err(GpuRejection::ModeAbsent),
            Err(unknown) => Err(unknown),
        });
    }
    findings.item("gpu.devices.protected_pcie", &items.protected_pcie, |rule| {
        match (rule, device.report.opaque.protected_pcie) {
            (BitRule::Required, Some(true)) => Ok("on".to_owned()),
            (BitRule::Forbidden, Some(false)) => Ok("off".to_owned()),
            (_, Some(true)) => Err(GpuRejection::ProtectedPcie { got: "on" }),
            (_, Some(false)) => Err(GpuRejection::ProtectedPcie { got: "off" }),
            (_, None) => Err(GpuRejection::ProtectedPcie { got: "not reported" }),
        }
    });
}

/// Driver or VBIOS: its version, and the manifest for it.
fn hold_software(
    findings: &mut Findings<'_>,
    kind: RimKind,
    items: &SoftwareItems,
    device: &GenuineDevice,
    manifests: &Manifests,
) {
    let (version_id, rim_id) = match kind {
        RimKind::Driver => ("gpu.driver.version", "gpu.driver.rim"),
        RimKind::Vbios => ("gpu.vbios.version", "gpu.vbios.rim"),
    };
    findings.item(version_id, &items.versions, |rule| {
        let got = kind.version(&device.report).unwrap_or_default().to_owned();
        if rule.accepts(&got) { Ok(got) } else { Err(GpuRejection::VersionNotAllowed { kind, got }) }
    });
    match (manifests.get(kind), &items.rim) {
        // A manifest that was given counts, whether or not the policy asks for it.
        (Some(rim), _) => {
            let architecture = device.verified.architecture;
            findings.always(rim_id, compare::require_about(kind, &rim.manifest, &device.report, architecture));
        }
        (None, Rule::Check(_) | Rule::Unchecked) => {
            findings.item(rim_id, &items.rim, |_required| Err::<String, _>(GpuRejection::RimMissing { kind }));
        }
    }
}

impl GenuineDevice {
    /// What the GPU is used as. The flag has a meaning from version 1 of the opaque data's form on.
    pub(crate) fn mode(&self) -> Result<Option<FeatureMode>, GpuRejection> {
        let opaque = &self.report.opaque;
        match opaque.feature_flag.filter(|_| opaque.version.is_some_and(|version| version >= 1)) {
            None => Ok(None),
            Some(got) => FeatureMode::of_flag(got).map(Some).ok_or(GpuRejection::ModeUnknown { got }),
        }
    }
}
