//! `cloister-host flash`: writes a disk image to a device or a file, and reads it back.
//!
//! Decides: whether what is on the target is the image the manifest names. What was there before is gone with the first write,
//! so everything that can be refused is refused before it. The first mebibyte, where the partition table is, is cleared first
//! and written last: a target that was cut off at any moment has no partitions and boots nothing.

mod target;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use attestation::{Sha256Digest, Sha256Stream};

use crate::{measure, output};
use target::Target;

/// The part that is written last.
const HEAD_LEN: u64 = 1 << 20;

/// Bytes copied at a time.
const CHUNK_LEN: usize = 4 << 20;

/// What is written, and where.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The disk image.
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    /// The manifest that names it; by default `manifest.json` beside it.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// A whole device, or a file.
    #[arg(long, value_name = "DEVICE|FILE")]
    to: PathBuf,
    /// Erase what the target holds now.
    #[arg(long)]
    yes: bool,
}

/// The image, as the manifest states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Expected {
    digest: Sha256Digest,
    size: u64,
}

/// Why an image was not written, or not to the end.
#[derive(Debug, thiserror::Error)]
enum FlashError {
    #[error("read the image")]
    Read(#[source] io::Error),
    #[error("write the target at byte {at}")]
    Write {
        at: u64,
        #[source]
        source: io::Error,
    },
    #[error("the target took {at} bytes and no more: it is smaller than the image")]
    Short { at: u64 },
    #[error("the image has {got} bytes, the manifest states {expected}")]
    Size { got: u64, expected: u64 },
    #[error("the image is {got}, the manifest states {expected}")]
    Digest { got: Sha256Digest, expected: Sha256Digest },
    #[error("the target reads back as {got}, not {expected}: it does not keep what it is given")]
    ReadBack { got: Sha256Digest, expected: Sha256Digest },
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let expected = expected(args)?;
    let mut image = File::open(&args.image).with_context(|| format!("open {}", args.image.display()))?;
    let got = image.metadata()?.len();
    if got != expected.size {
        return Err(FlashError::Size { got, expected: expected.size }.into());
    }
    let mut target = Target::open(&args.to, expected.size, args.yes)?;
    if let Err(error) = fill(&mut image, &mut target, expected) {
        target.abandon();
        return Err(error);
    }
    let place = target.finish()?;
    output::line(&format!("{} holds {} ({} bytes)", place.display(), expected.digest, expected.size))
}

fn fill(image: &mut File, target: &mut Target, expected: Expected) -> anyhow::Result<()> {
    write(image, target.file(), expected, &mut progress("written"))
        .context("the target is unfinished: it has no partition table")?;
    target.clear_end(expected.size)?;
    target.settle()?;
    Ok(read_back(target.file(), expected, &mut progress("read back"))?)
}

/// What the manifest says of the image's file name.
fn expected(args: &Args) -> anyhow::Result<Expected> {
    let beside = || args.image.parent().unwrap_or_else(|| Path::new("")).join("manifest.json");
    let path = args.manifest.clone().unwrap_or_else(beside);
    let manifest = measure::read_manifest(&path)?;
    let name = args.image.file_name().and_then(|name| name.to_str()).context("the image has no name")?;
    match manifest.artifacts.get(name) {
        Some(artifact) => Ok(Expected { digest: Sha256Digest(artifact.sha256.0), size: artifact.size }),
        None => bail!("{} names no artifact {name}: nothing says what it should be", path.display()),
    }
}

/// Says every tenth of the way once.
fn progress(what: &'static str) -> impl FnMut(u64, u64) {
    let mut said = 0;
    move |done, of| {
        let tenths = done.saturating_mul(10).checked_div(of).unwrap_or(10);
        if tenths > said {
            said = tenths;
            output::note(&format!("{} % {what}", tenths.saturating_mul(10)));
        }
    }
}

/// Copies the image: first zeros over the head, then everything behind it, and the head once the whole image was seen to be the
/// right one.
fn write(
    image: &mut impl Read,
    target: &mut (impl Write + Seek),
    expected: Expected,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), FlashError> {
    let mut hasher = Sha256Stream::new();
    let mut head = Vec::new();
    image.by_ref().take(HEAD_LEN).read_to_end(&mut head).map_err(FlashError::Read)?;
    hasher.update(&head);
    put(target, 0, &vec![0; head.len()])?;
    target.flush().map_err(|source| FlashError::Write { at: 0, source })?;
    let mut at = length(&head);
    let mut chunk = Vec::with_capacity(CHUNK_LEN);
    loop {
        chunk.clear();
        image.by_ref().take(length_of(CHUNK_LEN)).read_to_end(&mut chunk).map_err(FlashError::Read)?;
        if chunk.is_empty() {
            break;
        }
        hasher.update(&chunk);
        put(target, at, &chunk)?;
        at = at.saturating_add(length(&chunk));
        progress(at, expected.size);
    }
    let got = hasher.finish();
    if at != expected.size {
        return Err(FlashError::Size { got: at, expected: expected.size });
    }
    if got != expected.digest {
        return Err(FlashError::Digest { got, expected: expected.digest });
    }
    target.flush().map_err(|source| FlashError::Write { at, source })?;
    put(target, 0, &head)
}

fn put(target: &mut (impl Write + Seek), at: u64, bytes: &[u8]) -> Result<(), FlashError> {
    let written = target.seek(SeekFrom::Start(at)).and_then(|_| target.write_all(bytes));
    written.map_err(|source| match source.kind() {
        // A device that ends says either, depending on where in a write it does.
        io::ErrorKind::StorageFull | io::ErrorKind::WriteZero => FlashError::Short { at },
        _ => FlashError::Write { at, source },
    })
}

fn read_back(
    target: &mut (impl Read + Seek),
    expected: Expected,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), FlashError> {
    target.seek(SeekFrom::Start(0)).map_err(FlashError::Read)?;
    let mut hasher = Sha256Stream::new();
    let mut chunk = Vec::with_capacity(CHUNK_LEN);
    let mut left = expected.size;
    while left > 0 {
        chunk.clear();
        let want = left.min(length_of(CHUNK_LEN));
        target.by_ref().take(want).read_to_end(&mut chunk).map_err(FlashError::Read)?;
        if chunk.is_empty() {
            break;
        }
        hasher.update(&chunk);
        left = left.saturating_sub(length(&chunk));
        progress(expected.size.saturating_sub(left), expected.size);
    }
    let got = hasher.finish();
    if got == expected.digest { Ok(()) } else { Err(FlashError::ReadBack { got, expected: expected.digest }) }
}

fn length(bytes: &[u8]) -> u64 {
    length_of(bytes.len())
}

fn length_of(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
