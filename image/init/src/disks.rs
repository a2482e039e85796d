//! Which disk holds which volume. Names of disks are the host's word and only a hint: what a volume is, its hash decides. What is
//! refused here is everything ambiguous, so that a host cannot choose between two readings.
//!
//! A volume lies on a whole disk with the serial `cloister-<volume>`, or in a partition named `<volume>` of a GPT disk, which may
//! have an EFI system partition named `esp` besides.

use thiserror::Error;

use crate::config::Volume;
use crate::verity::{SECTOR_LEN, device_bytes};

/// What the kernel says of one block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    /// Its name, e.g. `vda` or `vda2`.
    pub name: String,
    /// `major:minor`.
    pub number: String,
    /// Whether it is a whole disk or a part of one.
    pub kind: Kind,
    /// Its length in sectors of 512 bytes.
    pub sectors: u64,
}

/// Whole disk or partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A whole disk and its serial, empty if it has none.
    Disk {
        /// The serial.
        serial: String,
    },
    /// A partition.
    Partition {
        /// The disk it is on.
        disk: String,
        /// Its name, empty if it has none.
        label: String,
    },
}

/// Why the disks were refused. It is the host's fault.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskError {
    /// A disk that is none of this image's.
    #[error("unknown disk {name:?} (serial or label {hint:?})")]
    Unknown {
        /// Its name in the kernel.
        name: String,
        /// What it calls itself.
        hint: String,
    },
    /// A disk with a volume's serial that has partitions as well.
    #[error("disk {name:?} is a volume and has partitions")]
    Ambiguous {
        /// Its name in the kernel.
        name: String,
    },
    /// Two devices for one volume.
    #[error("volume {volume:?} is on {first:?} and on {second:?}")]
    Duplicate {
        /// The volume.
        volume: String,
        /// One device.
        first: String,
        /// The other.
        second: String,
    },
    /// No device for a volume.
    #[error("no disk for volume {volume:?}")]
    Missing {
        /// The volume.
        volume: String,
    },
    /// Shorter than data and tree.
    #[error("disk {name:?} for volume {volume:?} has {got} bytes, {expected} are measured")]
    TooSmall {
        /// The volume.
        volume: String,
        /// The device.
        name: String,
        /// Its length.
        got: u64,
        /// Length of data and tree.
        expected: u64,
    },
}

impl DiskError {
    /// Stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "disk.unknown",
            Self::Ambiguous { .. } => "disk.ambiguous",
            Self::Duplicate { .. } => "disk.duplicate",
            Self::Missing { .. } => "disk.missing",
            Self::TooSmall { .. } => "disk.too_small",
        }
    }

    /// Whether it can still come right while the kernel is finding disks and reading partition tables.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unknown { .. } | Self::Missing { .. } => true,
            Self::Ambiguous { .. } | Self::Duplicate { .. } | Self::TooSmall { .. } => false,
        }
    }
}

/// The device (`major:minor`) of each of `volumes`, in their order.
pub fn assign(volumes: &[Volume], devices: &[BlockDevice]) -> Result<Vec<String>, DiskError> {
    let mut claims = Vec::new();
    for device in devices {
        if let Some(volume) = claimed(volumes, devices, device)? {
            claims.push((volume, device));
        }
    }
    volumes.iter().map(|volume| choose(volume, &claims).map(|device| device.number.clone())).collect()
}

/// The volume that `device` says it is; `None` for what is known and holds none.
fn claimed<'a>(
    volumes: &'a [Volume],
    devices: &[BlockDevice],
    device: &BlockDevice,
) -> Result<Option<&'a Volume>, DiskError> {
    let named = |name: &str| volumes.iter().find(|volume| volume.name == name);
    let (hint, volume, holds_none) = match &device.kind {
        Kind::Disk { serial } => {
            let partitioned =
                devices.iter().any(|other| matches!(&other.kind, Kind::Partition { disk, .. } if *disk == device.name));
            let volume = serial.strip_prefix("cloister-").and_then(named);
            if partitioned && volume.is_some() {
                return Err(DiskError::Ambiguous { name: device.name.clone() });
            }
            (serial, volume, partitioned)
        }
        Kind::Partition { label, .. } => (label, named(label), label == "esp"),
    };
    if volume.is_none() && !holds_none {
        return Err(DiskError::Unknown { name: device.name.clone(), hint: hint.clone() });
    }
    Ok(volume)
}

fn choose<'a>(volume: &Volume, claims: &[(&Volume, &'a BlockDevice)]) -> Result<&'a BlockDevice, DiskError> {
    let mut claimants = claims.iter().filter(|(claimed, _)| claimed.name == volume.name).map(|(_, device)| *device);
    let Some(device) = claimants.next() else {
        return Err(DiskError::Missing { volume: volume.name.clone() });
    };
    if let Some(second) = claimants.next() {
        return Err(DiskError::Duplicate {
            volume: volume.name.clone(),
            first: device.name.clone(),
            second: second.name.clone(),
        });
    }
    let (got, expected) = (device.sectors.saturating_mul(SECTOR_LEN), device_bytes(volume));
    if got < expected {
        return Err(DiskError::TooSmall { volume: volume.name.clone(), name: device.name.clone(), got, expected });
    }
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::image;

    fn disk(name: &str, serial: &str, sectors: u64) -> BlockDevice {
        BlockDevice {
            name: name.into(),
            number: format!("254:{name}"),
            kind: Kind::Disk { serial: serial.into() },
            sectors,
        }
    }

    fn part(name: &str, disk: &str, label: &str) -> BlockDevice {
        let kind = Kind::Partition { disk: disk.into(), label: label.into() };
        BlockDevice { name: name.into(), number: format!("254:{name}"), kind, sectors: 9999 }
    }

    fn disks() -> Vec<BlockDevice> {
        vec![
            disk("vda", "cloister-model", 9999),
            disk("vdb", "cloister-root", 9999),
            disk("vdc", "cloister-engine", 9999),
        ]
    }

    fn partitions() -> Vec<BlockDevice> {
        vec![
            disk("vda", "", 99999),
            part("vda1", "vda", "esp"),
            part("vda2", "vda", "root"),
            part("vda3", "vda", "engine"),
            part("vda4", "vda", "model"),
        ]
    }

    #[test]
    fn serials_or_labels_name_the_volumes_in_any_order() {
        let volumes = image().volumes;
        assert_eq!(assign(&volumes, &disks()).unwrap(), ["254:vdb", "254:vdc", "254:vda"]);
        assert_eq!(assign(&volumes, &partitions()).unwrap(), ["254:vda2", "254:vda3", "254:vda4"]);
        let mut mixed = partitions();
        mixed.pop();
        mixed.push(disk("vdb", "cloister-model", 9999));
        assert_eq!(assign(&volumes, &mixed).unwrap(), ["254:vda2", "254:vda3", "254:vdb"]);
    }

    #[test]
    fn every_fault_has_its_code() {
        let with = |mut base: Vec<BlockDevice>, more: BlockDevice| {
            base.push(more);
            base
        };
        let mut small = disks();
        small[1].sectors = 101 * 8 - 1;
        let mut exact = disks();
        exact[1].sectors = 101 * 8;
        assert!(assign(&image().volumes, &exact).is_ok());
        let mut no_model = image().volumes;
        no_model.pop();
        let faults = [
            ("disk.unknown", image().volumes, with(disks(), disk("vdd", "", 9999))),
            ("disk.unknown", image().volumes, with(disks(), disk("vdd", "root", 9999))),
            ("disk.unknown", image().volumes, with(disks(), disk("vdd", "cloister-", 9999))),
            ("disk.unknown", image().volumes, with(disks(), disk("vdd", "cloister-esp", 9999))),
            ("disk.unknown", image().volumes, with(partitions(), part("vda5", "vda", "data"))),
            ("disk.unknown", image().volumes, with(partitions(), part("vda5", "vda", ""))),
            ("disk.unknown", no_model, disks()),
            ("disk.ambiguous", image().volumes, with(disks(), part("vdb1", "vdb", "esp"))),
            ("disk.duplicate", image().volumes, with(disks(), disk("vdd", "cloister-root", 9999))),
            ("disk.duplicate", image().volumes, with(partitions(), disk("vdb", "cloister-root", 9999))),
            ("disk.duplicate", image().volumes, with(partitions(), part("vda5", "vda", "model"))),
            ("disk.missing", image().volumes, disks()[1..].to_vec()),
            ("disk.missing", image().volumes, vec![]),
            ("disk.too_small", image().volumes, small),
        ];
        for (code, volumes, devices) in faults {
            assert_eq!(assign(&volumes, &devices).unwrap_err().code(), code, "{devices:?}");
        }
    }
}
