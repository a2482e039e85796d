//! What a successful appraisal established about each device.
//!
//! Decides: nothing. Only [`super::appraise`] makes these. They say that devices are *attested*; that they are attached to
//! a particular machine is for whoever chose the nonce to establish.

use serde::Serialize;
use serde_json::Value;

use crate::digest::Sha256Digest;
use crate::gpu::{Architecture, FeatureMode};
use crate::result::Claim;
use crate::roots::AssuranceClass;

/// Genuine and acceptable devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GpuClaims {
    gpu_attested: bool,
    assurance: AssuranceClass,
    devices: Vec<GpuDevice>,
    unchecked: Vec<&'static str>,
}

/// One genuine and acceptable device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GpuDevice {
    pub(crate) architecture: Architecture,
    pub(crate) driver_version: Option<String>,
    pub(crate) vbios_version: Option<String>,
    pub(crate) driver_rim_id: Option<String>,
    pub(crate) vbios_rim_id: Option<String>,
    pub(crate) mode: Option<FeatureMode>,
    pub(crate) protected_pcie: Option<bool>,
    pub(crate) fwid: Option<String>,
    pub(crate) leaf_sha256: Sha256Digest,
    pub(crate) ueid: String,
    pub(crate) device_serial: String,
    pub(crate) switch_pdis: Vec<String>,
}

impl GpuClaims {
    /// The devices of one set, in the order their evidence was given.
    pub(crate) fn new(assurance: AssuranceClass, devices: Vec<GpuDevice>, mut unchecked: Vec<&'static str>) -> Self {
        // Whether the switches behind protected PCIe are attested ones is the caller's to compare (`switch_pdis`).
        if devices.iter().any(|device| device.mode == Some(FeatureMode::Ppcie)) {
            unchecked.push("gpu.devices.topology");
        }
        unchecked.sort_unstable();
        unchecked.dedup();
        Self { gpu_attested: true, assurance, devices, unchecked }
    }

    /// Always true: claims exist only of devices that passed.
    #[must_use]
    pub fn gpu_attested(&self) -> bool {
        self.gpu_attested
    }

    /// What the verdict is worth.
    #[must_use]
    pub fn assurance(&self) -> AssuranceClass {
        self.assurance
    }

    /// The devices.
    #[must_use]
    pub fn devices(&self) -> &[GpuDevice] {
        &self.devices
    }

    /// Policy items left unchecked.
    #[must_use]
    pub fn unchecked(&self) -> &[&'static str] {
        &self.unchecked
    }
}

impl GpuDevice {
    /// Architecture.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Driver version; switches have none.
    #[must_use]
    pub fn driver_version(&self) -> Option<&str> {
        self.driver_version.as_deref()
    }

    /// VBIOS version.
    #[must_use]
    pub fn vbios_version(&self) -> Option<&str> {
        self.vbios_version.as_deref()
    }

    /// The name NVIDIA publishes the driver's manifest under.
    #[must_use]
    pub fn driver_rim_id(&self) -> Option<&str> {
        self.driver_rim_id.as_deref()
    }

    /// The name NVIDIA publishes the VBIOS's manifest under.
    #[must_use]
    pub fn vbios_rim_id(&self) -> Option<&str> {
        self.vbios_rim_id.as_deref()
    }

    /// What the GPU is used as; older firmware does not say.
    #[must_use]
    pub fn mode(&self) -> Option<FeatureMode> {
        self.mode
    }

    /// Whether protected PCIe is on; older firmware does not say.
    #[must_use]
    pub fn protected_pcie(&self) -> Option<bool> {
        self.protected_pcie
    }

    /// Digest of the firmware whose key signed, SHA-384 in hex, as report and certificate agree.
    #[must_use]
    pub fn fwid(&self) -> Option<&str> {
        self.fwid.as_deref()
    }

    /// SHA-256 of the certificate of the key that signed.
    #[must_use]
    pub fn leaf_sha256(&self) -> Sha256Digest {
        self.leaf_sha256
    }

    /// Serial number of that certificate, hex: what NVIDIA calls UEID.
    #[must_use]
    pub fn ueid(&self) -> &str {
        &self.ueid
    }

    /// Serial number of the boot ROM certificate, hex: one per device. Its last eight bytes are the device identifier
    /// (PDI) other devices know it by.
    #[must_use]
    pub fn device_serial(&self) -> &str {
        &self.device_serial
    }

    /// Device identifiers, hex, of the switches behind each link; of a switch, its own. Who relies on protected PCIe must
    /// find exactly these among attested switches.
    #[must_use]
    pub fn switch_pdis(&self) -> &[String] {
        &self.switch_pdis
    }
}

impl GpuClaims {
    /// The claims, for an attestation result. Devices are listed in the order their evidence was given.
    #[must_use]
    pub fn claims(&self) -> Vec<Claim> {
        let each = |value: &dyn Fn(&GpuDevice) -> Value| -> Vec<Value> { self.devices.iter().map(value).collect() };
        let text = |value: Option<&str>| value.map_or(Value::Null, Value::from);
        vec![
            Claim::derived("gpu.attested", self.gpu_attested),
            Claim::derived("gpu.count", self.devices.len()),
            Claim::derived("gpu.architectures", each(&|device| Value::from(device.architecture.product()))),
            Claim::derived("gpu.ueids", each(&|device| Value::from(device.ueid()))),
            Claim::derived("gpu.device_serials", each(&|device| Value::from(device.device_serial()))),
            Claim::derived("gpu.driver_rims", each(&|device| text(device.driver_rim_id()))),
            Claim::derived("gpu.vbios_rims", each(&|device| text(device.vbios_rim_id()))),
            Claim::proven("gpu.driver_versions", each(&|device| text(device.driver_version()))),
            Claim::proven("gpu.vbios_versions", each(&|device| text(device.vbios_version()))),
            Claim::proven(
                "gpu.modes",
                each(&|device| device.mode().map_or(Value::Null, |mode| mode.to_string().into())),
            ),
        ]
    }
}
