//! The certificates that were had, in files named by the key they are of: an authority gives few for one name.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use attestation::Base64;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::output;

/// How the files are called.
const EXTENSION: &str = "pem";

/// A directory of them.
#[derive(Debug)]
pub(super) struct Shelf {
    dir: PathBuf,
}

/// A chain.
#[derive(Debug)]
pub(super) struct Held {
    /// The certificate, then those up to a root.
    pub(super) chain: Vec<CertificateDer<'static>>,
    names: Vec<String>,
    not_before: i64,
    not_after: i64,
}

impl Held {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read(path)?;
        Self::from_pem(&text).with_context(|| format!("{} is not a chain", path.display()))
    }

    /// A chain as authorities give it.
    pub(super) fn from_pem(text: &[u8]) -> anyhow::Result<Self> {
        let chain = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| anyhow::anyhow!("not PEM: {error}"))?;
        let leaf = chain.first().context("it has no certificates")?;
        let (_, leaf) = X509Certificate::from_der(leaf)?;
        let names = leaf.subject_alternative_name()?.map(|names| names.value.general_names.as_slice());
        let name = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        };
        let names = names.unwrap_or_default().iter().filter_map(name).collect();
        let validity = leaf.validity();
        let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        Ok(Self { chain, names, not_before, not_after })
    }

    /// Whether nobody accepts it any more.
    pub(super) fn is_over(&self, now: i64) -> bool {
        now >= self.not_after
    }

    /// Whether it is time for the next one: two thirds of its life are over.
    pub(super) fn is_due(&self, now: i64) -> bool {
        let third = self.not_after.saturating_sub(self.not_before) / 3;
        now >= self.not_after.saturating_sub(third)
    }

    /// As an answer has it.
    pub(super) fn base64(&self) -> Vec<Base64> {
        self.chain.iter().map(|certificate| Base64(certificate.to_vec())).collect()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({"names": self.names, "not_before": self.not_before, "not_after": self.not_after})
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, until {} (seconds since 1970)", self.names.join(" "), self.not_after)
    }
}

impl Shelf {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.dir.join(key).with_extension(EXTENSION)
    }

    /// What is held of a key.
    pub(super) fn held(&self, key: &str) -> Option<Held> {
        let path = self.path(key);
        path.exists().then(|| Self::usable(&path)).flatten()
    }

    /// All of them.
    pub(super) fn all(&self) -> anyhow::Result<Vec<Held>> {
        Ok(self.files()?.iter().filter_map(|path| Self::usable(path)).collect())
    }

    /// What a crash or a full disk left of a chain is none, and another can be had.
    fn usable(path: &Path) -> Option<Held> {
        Held::read(path).inspect_err(|error| output::note(&format!("passed over: {error:#}"))).ok()
    }

    /// Holds what an authority gave, and throws away what is over.
    pub(super) fn put(&self, key: &str, pem: &str, now: i64) -> anyhow::Result<Held> {
        let held = Held::from_pem(pem.as_bytes())?;
        let (path, new) = (self.path(key), self.dir.join(key).with_extension("new"));
        fs::write(&new, pem)
            .and_then(|()| fs::rename(&new, &path))
            .with_context(|| format!("write {}", path.display()))?;
        for path in self.files()? {
            if Held::read(&path).is_ok_and(|held| held.is_over(now)) {
                fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
            }
        }
        Ok(held)
    }

    fn files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries.collect::<Result<Vec<_>, _>>(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let entries = entries.with_context(|| format!("read {}", self.dir.display()))?;
        let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == EXTENSION));
        files.sort();
        Ok(files)
    }
}
