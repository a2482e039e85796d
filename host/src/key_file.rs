//! Files with keys, readable by their owner only.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context;

/// Makes a directory that only its owner opens, unless it is there.
pub(crate) fn make_directory(dir: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(|| format!("make {}", dir.display()))
}

/// Random bytes for a key.
pub(crate) fn seed() -> anyhow::Result<[u8; 32]> {
    let mut seed = [0; 32];
    let mut rest = seed.as_mut_slice();
    while !rest.is_empty() {
        let got = rustix::rand::getrandom(&mut *rest, rustix::rand::GetRandomFlags::empty()).context("draw a key")?;
        rest = rest.get_mut(got..).unwrap_or_default();
    }
    Ok(seed)
}

/// Writes a key that is not there yet.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file: File =
        file.with_context(|| format!("make {}; one that is there is never replaced", path.display()))?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    let folder = path.parent().context("a key has a directory")?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let written = file.sync_all().and_then(|()| File::open(folder)?.sync_all());
    written.with_context(|| format!("write {}", path.display()))
}

/// Reads a key.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("read the key {}; `init` or `new` makes one", path.display()))
}
