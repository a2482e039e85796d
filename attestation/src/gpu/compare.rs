//! Does a device run what the manifests say?
//!
//! Decides: whether a genuine report's measurements are those of genuine manifests for exactly its chip and versions.
//! Both manifests together name each measurement at most once; each active one must equal one alternative. A device in
//! developer-tools mode measures differently and fails here: nothing else in a report tells.

use std::collections::BTreeMap;
use std::fmt;

use crate::gpu::rim::{Expected, Manifest};
use crate::gpu::{Architecture, GpuRejection, GpuReport};

/// Measurement of the first video decoder, meaningless while that is off.
const INDEX_NVDEC0: u8 = 35;

/// Which of a device's two manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RimKind {
    /// The driver's.
    Driver,
    /// The VBIOS's; of a switch, its BIOS's.
    Vbios,
}

impl fmt::Display for RimKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Driver => "driver",
            Self::Vbios => "VBIOS",
        })
    }
}

impl RimKind {
    /// The version the report states, from its signed fields.
    pub(crate) fn version(self, report: &GpuReport) -> Option<&str> {
        match self {
            Self::Driver => report.opaque.driver_version.as_deref(),
            Self::Vbios => report.opaque.vbios_version.as_deref(),
        }
    }

    /// The name NVIDIA publishes the manifest under, from the report's signed fields; `None` when it lacks one of them.
    #[must_use]
    pub fn id(self, report: &GpuReport, architecture: Architecture) -> Option<String> {
        let version = self.version(report)?;
        let opaque = &report.opaque;
        let bare = version.replace('.', "");
        match (self, architecture) {
            (Self::Driver, Architecture::Ls10) => None,
            (Self::Driver, _) => Some(format!("NV_GPU_DRIVER_{}_{version}", architecture.product())),
            // Third-generation switches exist as one board.
            (Self::Vbios, Architecture::Ls10) => Some(format!("NV_SWITCH_BIOS_5612_0002_890_{bare}")),
            (Self::Vbios, _) => {
                let (project, sku, chip) = (&opaque.project, &opaque.project_sku, &opaque.chip_sku);
                let (project, sku, chip) = (project.as_ref()?, sku.as_ref()?, chip.as_ref()?);
                Some(format!("NV_GPU_VBIOS_{project}_{sku}_{chip}_{bare}").to_uppercase())
            }
        }
    }
}

/// Whether a manifest is for the device's chip and version.
pub(crate) fn require_about(
    kind: RimKind,
    manifest: &Manifest,
    report: &GpuReport,
    architecture: Architecture,
) -> Result<String, GpuRejection> {
    if manifest.product != architecture.product() {
        let (got, expected) = (manifest.product.clone(), architecture.product());
        return Err(GpuRejection::RimProduct { kind, got, expected });
    }
    match kind.version(report) {
        Some(version) if version == manifest.version => Ok(kind.id(report, architecture).unwrap_or_default()),
        reported => {
            let (got, expected) = (manifest.version.clone(), reported.unwrap_or_default().to_owned());
            Err(GpuRejection::RimVersion { kind, got, expected })
        }
    }
}

/// Hold the report's measurements against all manifests of the device; how many were compared.
pub(crate) fn require_measurements(report: &GpuReport, manifests: &[&Manifest]) -> Result<String, GpuRejection> {
    let mut expected: BTreeMap<u8, &Expected> = BTreeMap::new();
    for measurement in manifests.iter().flat_map(|manifest| &manifest.active) {
        if expected.insert(measurement.index, measurement).is_some() {
            return Err(GpuRejection::RimIndexConflict { index: measurement.index });
        }
    }
    if report.opaque.nvdec0 == Some(false) {
        expected.remove(&INDEX_NVDEC0);
    }
    if expected.is_empty() {
        return Err(GpuRejection::RimEmpty);
    }
    let (mut missing, mut mismatched) = (Vec::new(), Vec::new());
    for (index, expected) in &expected {
        match index.checked_add(1).and_then(|block| report.block(block)) {
            None => missing.push(*index),
            Some(block) if is_one_of(&block.value, expected) => {}
            Some(_) => mismatched.push(*index),
        }
    }
    if !missing.is_empty() {
        return Err(GpuRejection::MeasurementMissing { indices: missing });
    }
    if !mismatched.is_empty() {
        return Err(GpuRejection::MeasurementMismatch { indices: mismatched });
    }
    Ok(format!("{} measurements are as expected", expected.len()))
}

fn is_one_of(value: &[u8], expected: &Expected) -> bool {
    value.len() == expected.size && expected.alternatives.iter().any(|alternative| alternative == value)
}
