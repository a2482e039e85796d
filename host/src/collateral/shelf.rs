//! The directory with the vendors' documents: read at each question, fetched where that was asked for.
//!
//! Decides: when a document is fetched. One that is missing, before the answer; one that is old, after it, so that a service that does
//! not answer holds nobody up. What could not be renewed is handed out as it is: clients judge its dates.

use std::fs;
use std::io::ErrorKind;
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
        self.dir.join(name).exists()
    }

    /// The document.
    pub(super) fn get(&self, document: Document) -> anyhow::Result<Vec<u8>> {
        let path = self.dir.join(&document.name);
        match fs::read(&path) {
            Ok(bytes) if bytes.len() > document.bytes_max => {
                bail!("{} is longer than {} bytes", path.display(), document.bytes_max)
            }
            Ok(bytes) => {
                self.renew(document, path);
                Ok(bytes)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => match (&self.fetcher, document.source) {
                (Some(fetcher), Some(source)) => {
                    fetcher.attempt(&document.name, || fetched(fetcher, &source, document.bytes_max, &path))
                }
                _ => bail!("{} is missing; {}", path.display(), document.advice),
            },
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    fn renew(&self, document: Document, path: PathBuf) {
        let Document { name, renew: Some(age), source: Some(source), bytes_max, .. } = document else { return };
        let Some(fetcher) = self.fetcher.clone().filter(|fetcher| is_older(&path, age) && fetcher.may_attempt(&name))
        else {
            return;
        };
        std::thread::spawn(move || {
            if let Err(error) = fetcher.attempt(&name, || fetched(&fetcher, &source, bytes_max, &path)) {
                output::note(&format!("{name} is handed out as it is: {error:#}"));
            }
        });
    }
}

/// Fetches a document and puts it in its place, whole or not at all.
fn fetched(fetcher: &Fetcher, source: &Source, bytes_max: usize, path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = source(fetcher)?;
    if bytes.len() > bytes_max {
        bail!("{} would be longer than {bytes_max} bytes", path.display());
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, &bytes)
        .and_then(|()| fs::rename(&new, path))
        .with_context(|| format!("write {}", path.display()))?;
    output::note(&format!("fetched {}", path.display()));
    Ok(bytes)
}

/// Whether a file is older; one from the future is, too.
fn is_older(path: &Path, age: Duration) -> bool {
    let written = fs::metadata(path).and_then(|file| file.modified());
    written.is_ok_and(|written| written.elapsed().is_ok_and(|elapsed| elapsed >= age) || written.elapsed().is_err())
}
