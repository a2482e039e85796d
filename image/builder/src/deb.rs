//! Debian packages: an `ar` archive whose `data.tar.xz` holds the files. Maintainer scripts are never run.
//!
//! Decides: which files a package brings. The caller has checked the package's SHA-256; even so nothing is written outside the
//! destination.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// Why a package could not be unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DebError {
    /// Reading it or writing its files failed.
    #[error("unpack {path}")]
    Io {
        /// The package.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It has no `data.tar` member, or one in a compression that this version does not read.
    #[error("{path} has no data.tar.xz member (found {found:?})")]
    NoData {
        /// The package.
        path: PathBuf,
        /// The members seen.
        found: Vec<String>,
    },
}

/// Unpacks `deb` below `into`, which must exist. Owners are not kept.
///
/// # Errors
/// [`DebError`] when the package is damaged or the disk is full.
pub fn extract(deb: &Path, into: &Path) -> Result<(), DebError> {
    let failed = |source| DebError::Io { path: deb.into(), source };
    with_data(deb, |data| {
        let mut archive = tar::Archive::new(data);
        archive.set_preserve_mtime(false);
        archive.set_overwrite(true);
        for entry in archive.entries().map_err(failed)? {
            let mut entry = entry.map_err(failed)?;
            let path = entry.path().map_err(failed)?.into_owned();
            if !entry.unpack_in(into).map_err(failed)? {
                let outside = io::Error::other(format!("{} points outside the package", path.display()));
                return Err(failed(outside));
            }
        }
        Ok(())
    })
}

fn with_data<T>(deb: &Path, read: impl FnOnce(&mut dyn Read) -> Result<T, DebError>) -> Result<T, DebError> {
    let failed = |source| DebError::Io { path: deb.into(), source };
    let mut archive = ar::Archive::new(BufReader::new(File::open(deb).map_err(failed)?));
    let mut found = Vec::new();
    while let Some(entry) = archive.next_entry() {
        let mut entry = entry.map_err(failed)?;
        let name = String::from_utf8_lossy(entry.header().identifier()).into_owned();
        if name.trim_end_matches('/') == "data.tar.xz" {
            return read(&mut liblzma::read::XzDecoder::new(&mut entry));
        }
        found.push(name);
    }
    Err(DebError::NoData { path: deb.into(), found })
}
