//! The disk image for flashing: one GPT disk with a boot partition and the three volumes.
//!
//! Decides: the layout. Partition ids follow from the root hashes, so that equal content gives equal bytes. PID 1 takes the partition
//! names as hints only.

use std::fs;
use std::io::{BufWriter, IntoInnerError};
use std::path::Path;

use anyhow::Context;
use attestation::Sha256Digest;

use crate::tree::Source;
use crate::volume::Made;
use crate::{fat, gpt};

/// Name of the disk image.
pub const DISK_FILE: &str = "disk.img";

/// Writes `disk.img` from the files that are in `dir` already.
///
/// # Errors
/// When the disk is full.
pub fn write(dir: &Path, volumes: &[Made]) -> anyhow::Result<()> {
    let uki = fs::read(dir.join("uki.efi"))?;
    let [a, b, c, d, ..] = Sha256Digest::of(&uki).0;
    let esp = fat::esp(&uki, u32::from_le_bytes([a, b, c, d])).context("make the boot partition")?;
    let id = |subject: String| -> anyhow::Result<[u8; 16]> {
        let digest = Sha256Digest::of(subject.as_bytes()).0;
        digest.first_chunk().copied().context("a SHA-256 has 16 bytes")
    };
    let esp_id = id(format!("esp {}", Sha256Digest::of(&uki).to_hex()))?;
    let mut partitions = vec![gpt::Partition {
        name: "esp".to_owned(),
        type_guid: gpt::TYPE_ESP,
        guid: esp_id,
        source: Source::Bytes(esp),
    }];
    let mut all = String::new();
    for made in volumes {
        let volume = &made.volume;
        all.push_str(&volume.root_hash);
        partitions.push(gpt::Partition {
            name: volume.name.clone(),
            type_guid: gpt::TYPE_LINUX_DATA,
            guid: id(format!("{} {}", volume.name, volume.root_hash))?,
            source: Source::File(dir.join(format!("{}.img", volume.name))),
        });
    }
    let mut file = BufWriter::with_capacity(1 << 20, fs::File::create_new(dir.join(DISK_FILE))?);
    gpt::write(id(format!("disk {all}"))?, &partitions, &mut file).context("write the disk image")?;
    file.into_inner().map_err(IntoInnerError::into_error)?.sync_all()?;
    Ok(())
}
