//! The bytes of a file, on their way into an image.
//!
//! Decides: that exactly as many bytes are copied as were planned, as the formats write lengths and places before contents. A file of the
//! building machine that grew or shrank in between is refused.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use crate::tree::Source;

/// How much of a file is held in memory while it is copied.
const CHUNK_BYTES: u64 = 1 << 20;

/// Why contents could not be copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// A file of the building machine could not be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file of the building machine has another length than when the image was planned.
    #[error("{path} no longer has the {expected} bytes it had")]
    Changed {
        /// The file.
        path: PathBuf,
        /// Its length at first.
        expected: u64,
    },
    /// The image could not be written.
    #[error("write the image")]
    Write(#[source] io::Error),
}

/// Copies all `len` bytes of `source`.
pub(crate) fn copy(source: &Source, len: u64, out: &mut impl Write) -> Result<(), ContentError> {
    copy_range(source, len, 0, len, out)
}

/// Copies the bytes from `start` to `end` of `source`, which has `len`.
pub(crate) fn copy_range(
    source: &Source,
    len: u64,
    start: u64,
    end: u64,
    out: &mut impl Write,
) -> Result<(), ContentError> {
    match source {
        Source::Bytes(bytes) => {
            let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
            let wanted = range.and_then(|(start, end)| bytes.get(start..end));
            let wanted = wanted.ok_or_else(|| changed("<memory>".into(), len))?;
            out.write_all(wanted).map_err(ContentError::Write)
        }
        Source::File(path) => {
            let failed = |source| ContentError::Read { path: path.clone(), source };
            let mut file = File::open(path).map_err(failed)?;
            if file.metadata().map_err(failed)?.len() != len {
                return Err(changed(path.clone(), len));
            }
            file.seek(SeekFrom::Start(start)).map_err(failed)?;
            let mut left = end.saturating_sub(start);
            let mut chunk = Vec::new();
            while left > 0 {
                chunk.clear();
                let read = Read::by_ref(&mut file).take(left.min(CHUNK_BYTES)).read_to_end(&mut chunk);
                let read = u64::try_from(read.map_err(failed)?).unwrap_or(0);
                if read == 0 {
                    return Err(changed(path.clone(), len));
                }
                out.write_all(&chunk).map_err(ContentError::Write)?;
                left = left.saturating_sub(read);
            }
            Ok(())
        }
    }
}

/// Writes `count` zero bytes.
pub(crate) fn zeros(count: u64, out: &mut impl Write) -> Result<(), ContentError> {
    io::copy(&mut io::repeat(0).take(count), out).map(|_| ()).map_err(ContentError::Write)
}

fn changed(path: PathBuf, expected: u64) -> ContentError {
    ContentError::Changed { path, expected }
}
