//! The directory with the vendors' documents: read at each question, fetched where that was asked for.
//!
//! Decides: when a document is fetched. One that is missing, before the answer; one that is old, after it, so that a service that does
//! not answer holds nobody up, unless it is twice as old as it should become. What could not be renewed is handed out as it is: clients
//! judge its dates.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};

use super::fetch::{Fetcher, Services};
use crate::output;

/// Age at which statements that can change (revocation lists, TCB information) are fetched again. They are good for weeks; what they
/// newly say should reach clients within a day.
pub(super) const RENEW_STATEMENTS: Duration = Duration::from_secs(12 * 3600);
/// Age at which an OCSP response is.
pub(super) const RENEW_OCSP: Duration = Duration::from_secs(2 * 3600);

/// Most files in the directory before nothing new is fetched.
const FILES_MAX: usize = 1024;
/// Longest name of a document.
const NAME_BYTES_MAX: usize = 128;

/// Fetches a document and reads it, so that nothing else takes its place.
pub(super) type Source = Box<dyn Fn(&Fetcher) -> anyhow::Result<Vec<u8>> + Send>;

/// A document, by the file that has it.
pub(super) struct Document {
    pub(super) name: String,
    /// Longest file that is handed out.
    pub(super) bytes_max: usize,
    /// Age at which it is fetched again, if it can change.
    pub(super) renew: Option<Duration>,
    /// What an operator is to do who fetches by hand.
    pub(super) advice: String,
    /// How it is fetched, if anybody has it.
    pub(super) source: Option<Source>,
}

/// The directory.
pub(super) struct Shelf {
    dir: PathBuf,
    services: Services,
    fetcher: Option<Arc<Fetcher>>,
}

impl Shelf {
    /// Documents in `dir`, which is asked of `services` only if `fetch` says so.
    pub(super) fn open(dir: &Path, services: &Services, fetch: bool) -> anyhow::Result<Self> {
        if !dir.is_dir() {
            bail!("{} is not a directory", dir.display());
        }
        let fetcher = fetch.then(|| Fetcher::new(services)).transpose()?.map(Arc::new);
        Ok(Self { dir: dir.to_owned(), services: services.clone(), fetcher })
    }

    pub(super) const fn services(&self) -> &Services {
        &self.services
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether documents are fetched.
    pub(super) const fn fetches(&self) -> bool {
        self.fetcher.is_some()
    }

    /// Whether there is such a file.
    pub(super) fn has(&self, name: &str) -> bool {
        self.path(name).is_ok_and(|path| path.exists())
    }

    /// The file of this name, which may come from a report: it must lead nowhere else, here or in a URL.
    pub(super) fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.starts_with('.') || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_plain) {
            bail!("{name:?} is not the name of a document");
        }
        Ok(self.dir.join(name))
    }

    /// The document.
    pub(super) fn get(&self, document: Document) -> anyhow::Result<Vec<u8>> {
        let path = self.path(&document.name)?;
        match fs::read(&path) {
            Ok(bytes) if bytes.len() > document.bytes_max => {
                bail!("{} is longer than {} bytes", path.display(), document.bytes_max)
            }
            Ok(bytes) => Ok(self.renewed(document, &path).unwrap_or(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => match (&self.fetcher, document.source) {
                (Some(fetcher), Some(source)) => {
                    self.require_room()?;
                    fetcher.attempt(&document.name, true, || fetched(fetcher, &source, document.bytes_max, &path))
                }
                _ => bail!("{} is missing; {}", path.display(), document.advice),
            },
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Has an old document fetched again: now if it is far too old, else while it is handed out.
    fn renewed(&self, document: Document, path: &Path) -> Option<Vec<u8>> {
        let Document { name, renew: Some(renew), source: Some(source), bytes_max, .. } = document else { return None };
        let (fetcher, age) = (self.fetcher.clone()?, age(path));
        if age < renew {
            return None;
        }
        let path = path.to_owned();
        let fetch = move || {
            let outcome = fetcher.attempt(&name, false, || fetched(&fetcher, &source, bytes_max, &path));
            outcome.inspect_err(|error| output::note(&format!("{name} is handed out as it is: {error:#}"))).ok()
        };
        if age >= 2 * renew {
            return fetch();
        }
        // Without a thread it is tried at the next question.
        let _ = std::thread::Builder::new().spawn(fetch);
        None
    }

    /// Whoever asks about ever other machines does not fill the disk.
    fn require_room(&self) -> anyhow::Result<()> {
        let files = fs::read_dir(&self.dir).with_context(|| format!("read {}", self.dir.display()))?.count();
        if files >= FILES_MAX {
            bail!("{} has {files} files; remove those of other machines", self.dir.display());
        }
        Ok(())
    }
}

/// Fetches a document and puts it in its place, whole or not at all.
fn fetched(fetcher: &Fetcher, source: &Source, bytes_max: usize, path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = source(fetcher)?;
    if bytes.len() > bytes_max {
        bail!("{} would be longer than {bytes_max} bytes", path.display());
    }
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let write = || {
        let mut file = fs::File::create(&new)?;
        file.write_all(&bytes)?;
        // A name without its bytes after a power failure would never be fetched again.
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().with_context(|| format!("write {}", path.display()))?;
    output::note(&format!("fetched {}", path.display()));
    Ok(bytes)
}

/// The age of a file; one from the future, or of no time at all, is as old as can be.
fn age(path: &Path) -> Duration {
    let written = fs::metadata(path).and_then(|file| file.modified());
    written.ok().and_then(|written| written.elapsed().ok()).unwrap_or(Duration::MAX)
}
