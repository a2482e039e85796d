//! The policy items of GPU evidence: the tables `[gpu.*]`.
//!
//! Decides: the form of each item. What an item means for a device is decided in [`super::accept`].

use std::cmp::Ordering;
use std::fmt;

use serde::Deserialize;

use crate::gpu::Architecture;
use crate::policy::{BitRule, MAX_AGE_SECS_MAX, PolicyError, Required, Rule};

/// Most devices of one set: eight GPUs and four switches, doubled.
pub(crate) const DEVICES_MAX: usize = 24;

/// Everything a policy says about GPU evidence.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GpuItems {
    pub(crate) devices: DeviceItems,
    pub(crate) driver: SoftwareItems,
    pub(crate) vbios: SoftwareItems,
    pub(crate) revocation: RevocationItems,
}

/// What the devices must be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceItems {
    pub(crate) gpus: CountRule,
    pub(crate) architectures: Vec<Architecture>,
    pub(crate) modes: Rule<Vec<FeatureMode>>,
    /// Either needs a report that says so.
    pub(crate) protected_pcie: Rule<BitRule>,
    pub(crate) fwid: Rule<Required>,
    /// Serial numbers of boot ROM certificates, lowercase hex.
    pub(crate) serials: Rule<Vec<String>>,
}

/// How many devices make a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CountRule {
    pub(crate) min: usize,
    pub(crate) max: usize,
}

/// What FEATURE_FLAG says a GPU is used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureMode {
    /// Single-tenant pass-through: one GPU, confidential.
    Spt,
    /// Multi-instance pass-through.
    Mpt,
    /// Protected PCIe: links between GPUs and switches are not encrypted, only not shared.
    Ppcie,
}

impl FeatureMode {
    /// The mode a FEATURE_FLAG means.
    pub(crate) fn of_flag(flag: u16) -> Option<Self> {
        match flag {
            0 => Some(Self::Spt),
            1 => Some(Self::Mpt),
            2 => Some(Self::Ppcie),
            _ => None,
        }
    }
}

impl fmt::Display for FeatureMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spt => "SPT",
            Self::Mpt => "MPT",
            Self::Ppcie => "PPCIE",
        })
    }
}

/// What the driver or the VBIOS must be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SoftwareItems {
    /// Whether the manifest must be given. One that is given is always verified and compared.
    pub(crate) rim: Rule<Required>,
    pub(crate) versions: Rule<VersionRule>,
}

/// Which versions are acceptable: a list, or all from one on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VersionRule {
    /// Exactly these.
    Allowed(Vec<String>),
    /// This one and later ones.
    Minimum(String),
}

impl VersionRule {
    /// Whether `version` is acceptable.
    pub(crate) fn accepts(&self, version: &str) -> bool {
        match self {
            Self::Allowed(versions) => versions.iter().any(|allowed| allowed == version),
            Self::Minimum(minimum) => compare_versions(version, minimum).is_some_and(Ordering::is_ge),
        }
    }

    fn is_sensible(&self) -> bool {
        match self {
            Self::Allowed(versions) => versions.iter().all(|version| version_parts(version).is_some()),
            Self::Minimum(minimum) => version_parts(minimum).is_some(),
        }
    }
}

/// Part by part, as numbers. VBIOS parts are hexadecimal; driver parts are decimal, and reading decimal numerals as
/// hexadecimal ones keeps their order.
fn compare_versions(left: &str, right: &str) -> Option<Ordering> {
    Some(version_parts(left)?.cmp(&version_parts(right)?))
}

fn version_parts(version: &str) -> Option<Vec<u32>> {
    const PART_LEN_MAX: usize = 6;
    let part = |part: &str| {
        let plain = !part.is_empty() && part.len() <= PART_LEN_MAX && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(part, 16).ok().filter(|_| plain)
    };
    version.split('.').map(part).collect()
}

/// Which certificates need a good OCSP response.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevocationItems {
    /// Boot ROM, provisioner and identity of each device.
    pub(crate) device_ocsp: Rule<DeviceOcspRule>,
    /// Signer, L3 and CA of each manifest.
    pub(crate) rim_ocsp: Rule<RimOcspRule>,
}

/// How old a response about a device may be. Its own next-update date is always enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceOcspRule {
    pub(crate) max_age_secs: u64,
}

/// How old a response about a manifest's signer may be, and whether the signer may be on hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RimOcspRule {
    pub(crate) max_age_secs: u64,
    /// NVIDIA puts signers on hold whose manifests were superseded. Devices are never accepted on hold.
    pub(crate) allow_hold: bool,
}

impl GpuItems {
    /// Refuse values that look like checks and are none, or that no evidence could meet by accident.
    pub(crate) fn require_sensible(&self) -> Result<(), PolicyError> {
        let bad = |item, problem| Err(PolicyError::Item { item, problem });
        let CountRule { min, max } = self.devices.gpus;
        if min == 0 || min > max || max > DEVICES_MAX {
            return bad("gpu.devices.gpus", "min is at least 1, max at least min and at most 24");
        }
        let is_hex =
            |serial: &String| !serial.is_empty() && serial.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if let Rule::Check(serials) = &self.devices.serials
            && !serials.iter().all(is_hex)
        {
            return bad("gpu.devices.serials", "serial numbers are lowercase hex");
        }
        let ages = [
            matches!(self.revocation.device_ocsp, Rule::Check(rule) if rule.max_age_secs > MAX_AGE_SECS_MAX),
            matches!(self.revocation.rim_ocsp, Rule::Check(rule) if rule.max_age_secs > MAX_AGE_SECS_MAX),
        ];
        if ages.contains(&true) {
            return bad("gpu.revocation", "an age of more than ten years requires nothing; write \"unchecked\"");
        }
        for (item, software) in [("gpu.driver.versions", &self.driver), ("gpu.vbios.versions", &self.vbios)] {
            if matches!(&software.versions, Rule::Check(rule) if !rule.is_sensible()) {
                return bad(item, "a version is numbers with dots between them");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_part_by_part() {
        let minimum = |minimum: &str, version: &str| VersionRule::Minimum(minimum.to_owned()).accepts(version);
        assert!(minimum("580.95.05", "580.95.05"));
        assert!(minimum("580.95.05", "590.12"));
        assert!(minimum("580.95.05", "580.126.09"));
        assert!(minimum("550.90.07", "550.144.03"));
        assert!(!minimum("550.144.03", "550.90.07"));
        assert!(!minimum("580.95.05", "580.95"));
        assert!(minimum("96.00.74.00.1A", "96.00.9F.00.01"));
        assert!(!minimum("96.00.74.00.1A", "96.00.74.00.0F"));
        assert!(!minimum("580.95.05", "580.95.05-x"));
        assert!(!minimum("580.95.05", ""));
    }
}
