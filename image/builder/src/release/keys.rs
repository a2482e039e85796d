//! The two secret keys of a release: who signs what was built, and who signs the log.
//!
//! Whoever has the log's key can log anything but signs for nothing; whoever has the release key signs but can hide nothing. Keep
//! them on different machines where that matters. One key can do both.

use std::path::Path;

use anyhow::Context as _;
use attestation::{ReceiptKey, VerifierKey};
use verifier::release::note::{NoteSigner, secret_text};
use zeroize::Zeroizing;

use super::files::{read_capped, write_secret, write_whole};

/// Name of a log that is signed with the release key.
pub const DEFAULT_LOG_NAME: &str = "cloister/releases";
/// Longest key file.
const KEY_BYTES_MAX: u64 = 4096;

/// The keys of a release.
#[derive(Debug)]
pub struct ReleaseKeys {
    /// Signs the provenance.
    pub release: ReceiptKey,
    /// Signs checkpoints.
    pub log: NoteSigner,
}

impl ReleaseKeys {
    /// Reads the release key (64 hex characters) and the log's key (C2SP secret text). Without a log key the release key signs the log
    /// under [`DEFAULT_LOG_NAME`].
    ///
    /// # Errors
    /// When a file cannot be read or holds no key.
    pub fn load(release: &Path, log: Option<&Path>) -> anyhow::Result<Self> {
        let text = read_text(release)?;
        let mut seed = Zeroizing::new([0_u8; 32]);
        hex::decode_to_slice(text.trim_end(), seed.as_mut())
            .map_err(|_| anyhow::anyhow!("{} is not a release key: 64 hex characters", release.display()))?;
        let key = |seed| ReceiptKey::from_seed(seed).with_context(|| format!("use {}", release.display()));
        let log = match log {
            Some(path) => NoteSigner::from_secret_text(read_text(path)?.trim_end())
                .with_context(|| format!("use {}", path.display()))?,
            None => NoteSigner::new(DEFAULT_LOG_NAME, key(&seed)?)?,
        };
        Ok(Self { release: key(&seed)?, log })
    }
}

/// Makes both keys, each with the public half beside it: `release.key` and `release.pub`, `log.key` and `log.vkey`. `name` is the
/// log's, best a URL without scheme (C2SP signed-note).
///
/// # Errors
/// When a secret is there already (it is never overwritten), the name is none, or a file cannot be written.
pub fn keygen(release: &Path, log: &Path, name: &str) -> anyhow::Result<()> {
    let log_seed = VerifierKey::fresh_seed()?;
    let log_text = secret_text(name, &log_seed)?;
    let signer = NoteSigner::from_secret_text(&log_text)?;
    let seed = VerifierKey::fresh_seed()?;
    let public = ReceiptKey::from_seed(&seed)?.public();
    write_secret(release, Zeroizing::new(format!("{}\n", hex::encode(seed.as_slice()))).as_bytes())?;
    write_secret(log, Zeroizing::new(format!("{}\n", log_text.as_str())).as_bytes())?;
    write_whole(&release.with_extension("pub"), format!("{public}\n").as_bytes())?;
    write_whole(&log.with_extension("vkey"), format!("{}\n", signer.public()).as_bytes())?;
    Ok(())
}

fn read_text(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let bytes = read_capped(path, KEY_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("{} is not text", path.display()))?;
    Ok(Zeroizing::new(text))
}
