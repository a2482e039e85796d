//! From a tree of files to a volume: EROFS with its verity tree behind it.
//!
//! Decides: salt and file system id. Both follow from the volume's name and the revision of what is on it, so that whoever has the same
//! files computes the same root hash.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Context;
use attestation::Sha256Digest;
use measured_init::config::Volume;

use crate::tree::FileTree;
use crate::{erofs, verity};

/// A finished volume.
#[derive(Debug, Clone)]
pub struct Made {
    /// What PID 1 needs to mount it.
    pub volume: Volume,
    /// File system id.
    pub uuid: String,
}

/// Writes `tree` as the volume `name` to `path`. `subject` is what the salt is made of: for a model `name@revision`.
///
/// # Errors
/// When the disk is full or the tree does not fit the format.
pub fn make(name: &str, subject: &str, tree: &FileTree, path: &Path) -> anyhow::Result<Made> {
    let salt = Sha256Digest::of(subject.as_bytes()).0;
    let id = Sha256Digest::of(format!("{name} {subject}").as_bytes()).0;
    let uuid: [u8; 16] = *id.first_chunk().context("a SHA-256 has 16 bytes")?;
    let open = File::options().read(true).write(true).create_new(true).open(path);
    let mut file = open.with_context(|| format!("write {}", path.display()))?;
    let mut writer = BufWriter::with_capacity(1 << 20, &mut file);
    erofs::write(tree, uuid, &mut writer).with_context(|| format!("write the {name} volume"))?;
    writer.flush().with_context(|| format!("write the {name} volume"))?;
    drop(writer);
    let verity = verity::append_tree(&mut file, salt).with_context(|| format!("hash the {name} volume"))?;
    file.sync_all().with_context(|| format!("write {}", path.display()))?;
    let volume = Volume {
        name: name.to_owned(),
        root_hash: hex::encode(verity.root_hash),
        salt: hex::encode(verity.salt),
        data_blocks: verity.data_blocks,
    };
    Ok(Made { volume, uuid: dashed(&uuid) })
}

/// A UUID as people write it.
pub(crate) fn dashed(uuid: &[u8; 16]) -> String {
    let text = hex::encode(uuid);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}
