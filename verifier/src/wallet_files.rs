//! The secret files of a wallet, plain or sealed under a passphrase.
//!
//! Decides: which of the two a directory holds, and in which order files change when that changes. Holds on exit: at every
//! moment one of the two is whole, and which one counts is decided by a single file: `seed.sealed` if it is there.

use std::path::{Path, PathBuf};

use credits::vault::{LockedKey, Passphrase, VaultKey};
use rand_core::OsRng;
use zeroize::Zeroizing;

use crate::files::{FileError, read_capped, write_private};
use crate::wallet_store::StoreError;

const PLAIN_SEED_FILE: &str = "seed.txt";
const PLAIN_STATE_FILE: &str = "state.json";
const PLAIN_LEDGER_FILE: &str = "ledger.json";
const SEALED_SEED_FILE: &str = "seed.sealed";
const SEALED_STATE_FILE: &str = "state.sealed";
const SEALED_LEDGER_FILE: &str = "ledger.sealed";
const KEY_FILE: &str = "key.json";

const SEED_BYTES_MAX: u64 = 4096;
/// A description, and sixteen witnesses with the longest names.
const LEDGER_BYTES_MAX: u64 = 16 * 1024;
const STATE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// One of the secret files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secret {
    /// The 24 words.
    Seed,
    /// What the ledger's log says about the wallet.
    State,
    /// Where the ledger is and who it is: vouchers are sent there.
    Ledger,
}

impl Secret {
    /// The seed comes last: its presence says that the wallet is whole.
    const IN_ORDER: [Self; 3] = [Self::Ledger, Self::State, Self::Seed];

    fn plain(self) -> &'static str {
        match self {
            Self::Seed => PLAIN_SEED_FILE,
            Self::State => PLAIN_STATE_FILE,
            Self::Ledger => PLAIN_LEDGER_FILE,
        }
    }

    fn sealed(self) -> &'static str {
        match self {
            Self::Seed => SEALED_SEED_FILE,
            Self::State => SEALED_STATE_FILE,
            Self::Ledger => SEALED_LEDGER_FILE,
        }
    }

    fn bytes_max(self) -> u64 {
        match self {
            Self::Seed => SEED_BYTES_MAX,
            Self::State => STATE_BYTES_MAX,
            Self::Ledger => LEDGER_BYTES_MAX,
        }
    }
}

/// The secret files of one directory, opened.
pub(crate) struct SecretFiles {
    directory: PathBuf,
    key: Option<VaultKey>,
}

impl SecretFiles {
    /// Whether a wallet is in the directory.
    pub(crate) fn exist(directory: &Path) -> bool {
        Self::are_sealed(directory) || directory.join(PLAIN_SEED_FILE).exists()
    }

    /// Whether it takes a passphrase to open it.
    pub(crate) fn are_sealed(directory: &Path) -> bool {
        directory.join(SEALED_SEED_FILE).exists()
    }

    /// For a directory without a wallet.
    pub(crate) fn create(directory: &Path, passphrase: Option<&Passphrase>) -> Result<Self, StoreError> {
        let key = passphrase.map(|passphrase| new_key(directory, passphrase)).transpose()?;
        Ok(Self { directory: directory.to_owned(), key })
    }

    /// For a directory with one.
    pub(crate) fn open(directory: &Path, passphrase: Option<&Passphrase>) -> Result<Self, StoreError> {
        if !Self::are_sealed(directory) {
            // Somebody may have put a wallet of his own in the place of the sealed one.
            return match passphrase {
                Some(_) => Err(StoreError::NotSealed),
                None => Ok(Self { directory: directory.to_owned(), key: None }),
            };
        }
        let passphrase = passphrase.ok_or(StoreError::PassphraseNeeded)?;
        let bytes = read_capped(&directory.join(KEY_FILE), SEED_BYTES_MAX)?;
        let locked: LockedKey = serde_json::from_slice(&bytes)
            .map_err(|_| StoreError::Damaged { file: KEY_FILE, detail: "not a sealed key".to_owned() })?;
        let key = locked.unlock(passphrase).map_err(StoreError::Vault)?;
        let files = Self { directory: directory.to_owned(), key: Some(key) };
        for secret in Secret::IN_ORDER {
            files.read(secret)?;
        }
        // Left by a change that was cut off, in either direction; what is sealed is whole.
        files.remove_plain()?;
        Ok(files)
    }

    pub(crate) fn read(&self, secret: Secret) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let limit = secret.bytes_max();
        match &self.key {
            None => Ok(Zeroizing::new(read_capped(&self.directory.join(secret.plain()), limit)?)),
            Some(key) => {
                let sealed = read_capped(&self.directory.join(secret.sealed()), limit)?;
                key.open(secret.sealed(), &sealed).map_err(StoreError::Vault)
            }
        }
    }

    pub(crate) fn write(&self, secret: Secret, content: &[u8]) -> Result<(), StoreError> {
        match &self.key {
            None => Ok(write_private(&self.directory.join(secret.plain()), content)?),
            Some(key) => {
                let sealed = key.seal(secret.sealed(), content, &mut OsRng).map_err(StoreError::Vault)?;
                Ok(write_private(&self.directory.join(secret.sealed()), &sealed)?)
            }
        }
    }

    /// Seals the files under another passphrase, or no longer. After an error they are as they were, or as they should be, on
    /// disk: these are not to be used any more.
    pub(crate) fn change(&mut self, passphrase: Option<&Passphrase>) -> Result<(), StoreError> {
        match (&self.key, passphrase) {
            (None, None) => {}
            (Some(key), Some(passphrase)) => write_key(&self.directory, key, passphrase)?,
            (None, Some(passphrase)) => {
                *self = self.copied(Some(new_key(&self.directory, passphrase)?))?;
                self.remove_plain()?;
            }
            (Some(_), None) => {
                *self = self.copied(None)?;
                self.remove([SEALED_SEED_FILE])?;
                self.remove([SEALED_STATE_FILE, SEALED_LEDGER_FILE, KEY_FILE])?;
            }
        }
        Ok(())
    }

    /// The same secrets written under another key, or under none.
    fn copied(&self, key: Option<VaultKey>) -> Result<Self, StoreError> {
        let copy = Self { directory: self.directory.clone(), key };
        for secret in Secret::IN_ORDER {
            copy.write(secret, &self.read(secret)?)?;
        }
        Ok(copy)
    }

    /// Removes what lies in the open, temporary files of writes that were cut off included.
    fn remove_plain(&self) -> Result<(), StoreError> {
        let plain = Secret::IN_ORDER.map(Secret::plain);
        let failed = |source| FileError::Io { action: "read", path: self.directory.clone(), source };
        for entry in std::fs::read_dir(&self.directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(name) = name.to_str() else { continue };
            if plain.iter().any(|plain| name.strip_prefix(plain).is_some_and(|rest| rest.ends_with(".tmp"))) {
                self.remove([name])?;
            }
        }
        self.remove(plain)
    }

    fn remove<const N: usize>(&self, names: [&str; N]) -> Result<(), StoreError> {
        for name in names {
            let path = self.directory.join(name);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    let action = "remove";
                    return Err(FileError::Io { action, path, source: error }.into());
                }
                _ => {}
            }
        }
        // What is removed next must not be gone before this is.
        let synced = std::fs::File::open(&self.directory).and_then(|directory| directory.sync_all());
        let failed = |source| FileError::Io { action: "sync", path: self.directory.clone(), source };
        Ok(synced.map_err(failed)?)
    }
}

fn new_key(directory: &Path, passphrase: &Passphrase) -> Result<VaultKey, StoreError> {
    let key = VaultKey::generate(&mut OsRng).map_err(StoreError::Vault)?;
    write_key(directory, &key, passphrase)?;
    Ok(key)
}

fn write_key(directory: &Path, key: &VaultKey, passphrase: &Passphrase) -> Result<(), StoreError> {
    let locked = LockedKey::lock(key, passphrase, &mut OsRng).map_err(StoreError::Vault)?;
    let bytes = serde_json::to_vec_pretty(&locked);
    let bytes = bytes.map_err(|error| StoreError::Damaged { file: KEY_FILE, detail: error.to_string() })?;
    Ok(write_private(&directory.join(KEY_FILE), &bytes)?)
}
