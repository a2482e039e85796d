//! A wallet on disk.
//!
//! Decides: when a change of the wallet counts (once it is on disk: a spend is stored before anything about it is sent). Trusts
//! on entry: the wallet's directory. Holds on exit: one process at a time uses a wallet; memory is never ahead of the disk.
//!
//! | file | content |
//! |---|---|
//! | `seed.sealed`, `seed.txt` | the 24 words (BIP-39), sealed or not; whoever reads them owns the credits |
//! | `state.sealed`, `state.json` | what the ledger's log says about them |
//! | `key.json` | the key of what is sealed, itself sealed under a passphrase |
//! | `ledger.sealed`, `ledger.json` | the ledger's address and identity |
//! | `proving-key.bin`, `merge-key.bin` | cache; their verifying keys must have the ledger's digests |
//! | `receipts/` | receipts, see [`crate::bundle`] |
//! | `bills/`, `evidence/` | what nodes signed that tabs cost, until the log says the same; what contradicts it: in the clear, as receipts |
//! | `lock` | held while a process uses the wallet |

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use attestation::Sha256Digest;
use bip39::Mnemonic;
use credits::ledger::LedgerInfo;
use credits::vault::{Passphrase, VaultError};
use credits::wallet::{Wallet, WalletError, WalletSeed, WalletState};
use rand_core::{OsRng, RngCore};
use serde::{Deserialize, Serialize};
use tlog::Quorum;
use zeroize::Zeroizing;

use crate::files::{FileError, create_private_dir, read_capped, write_private};
use crate::wallet_files::{Secret, SecretFiles};

const SEED: &str = "seed";
const STATE: &str = "state";
const LEDGER: &str = "ledger";
const LOCK_FILE: &str = "lock";

/// Largest proving key that is kept.
pub const PROVING_KEY_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Entropy of 24 words.
const ENTROPY_LEN: usize = 32;

/// Why a wallet cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no wallet in the directory.
    #[error("there is no wallet in {}", directory.display())]
    Missing {
        /// The directory.
        directory: PathBuf,
    },
    /// There already is one.
    #[error("there already is a wallet in {}", directory.display())]
    Exists {
        /// The directory.
        directory: PathBuf,
    },
    /// Another process uses it.
    #[error("another process uses the wallet in {}", directory.display())]
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// A file could not be used.
    #[error("use the wallet's files")]
    File(#[source] FileError),
    /// A file of the wallet is not what it should be.
    #[error("the wallet's {file} is damaged: {detail}")]
    Damaged {
        /// Which file.
        file: &'static str,
        /// What is wrong; never contains the words.
        detail: String,
    },
    /// It is sealed, and no passphrase was given.
    #[error("the wallet is sealed: it takes its passphrase")]
    PassphraseNeeded,
    /// A passphrase was given, and it is not sealed.
    #[error("the wallet is not sealed, though a passphrase was given: it may be another one")]
    NotSealed,
    /// It does not open, or cannot be sealed.
    #[error("the wallet stays sealed")]
    Vault(#[source] VaultError),
    /// The words are not 24 words with a right checksum.
    #[error("the recovery words are not 24 BIP-39 words with a right checksum")]
    Words,
    /// The operating system gave no randomness.
    #[error("draw a seed")]
    Random,
    /// The wallet refused.
    #[error("the wallet refused")]
    Wallet(#[source] WalletError),
    /// An earlier change could not be stored, so memory and disk differ.
    #[error("an earlier change of the wallet could not be stored")]
    Stale,
}

impl From<FileError> for StoreError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl StoreError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "wallet.missing",
            Self::Exists { .. } => "wallet.exists",
            Self::Locked { .. } => "wallet.locked",
            Self::File(_) | Self::Stale => "wallet.storage",
            Self::Damaged { .. } => "wallet.damaged",
            Self::PassphraseNeeded => "wallet.passphrase_needed",
            Self::NotSealed => "wallet.not_sealed",
            Self::Vault(error) => error.code(),
            Self::Words => "wallet.words",
            Self::Random => "wallet.random",
            Self::Wallet(error) => error.code(),
        }
    }
}

/// A proving key that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CachedKey {
    /// Of spends.
    Spend,
    /// Of merges.
    Merge,
}

impl CachedKey {
    /// The files of the key and of its digest.
    const fn files(self) -> (&'static str, &'static str) {
        match self {
            Self::Spend => ("proving-key.bin", "proving-key.sha256"),
            Self::Merge => ("merge-key.bin", "merge-key.sha256"),
        }
    }
}

/// Where the ledger is and who it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerRecord {
    /// Its address.
    pub url: String,
    /// What it said about itself when the wallet was made. Checkpoints are verified under this key from then on.
    pub info: LedgerInfo,
    /// Whose word is taken that a state of the ledger is its newest; without it only what this wallet has seen counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnesses: Option<Quorum>,
}

/// The 24 recovery words. They are the money: not printed by `Debug`, erased on drop.
pub struct RecoveryWords(Zeroizing<String>);

impl RecoveryWords {
    /// Draws new words from the operating system's generator.
    ///
    /// # Errors
    /// When that generator fails.
    pub fn generate() -> Result<Self, StoreError> {
        let mut entropy = Zeroizing::new([0u8; ENTROPY_LEN]);
        OsRng.try_fill_bytes(entropy.as_mut_slice()).map_err(|_| StoreError::Random)?;
        let mnemonic = Mnemonic::from_entropy(entropy.as_slice()).map_err(|_| StoreError::Words)?;
        Ok(Self(Zeroizing::new(mnemonic.to_string())))
    }

    /// Reads words, in any case and spacing.
    ///
    /// # Errors
    /// When they are not 24 words with a right checksum.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let joined = Zeroizing::new(text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" "));
        let words = Self(joined);
        words.seed()?;
        Ok(words)
    }

    /// The words, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn seed(&self) -> Result<WalletSeed, StoreError> {
        let mnemonic = Mnemonic::parse_normalized(&self.0).map_err(|_| StoreError::Words)?;
        let entropy = Zeroizing::new(mnemonic.to_entropy());
        let bytes = Zeroizing::new(<[u8; ENTROPY_LEN]>::try_from(entropy.as_slice()).map_err(|_| StoreError::Words)?);
        Ok(WalletSeed::from_bytes(*bytes))
    }
}

/// A wallet on disk, locked for this process.
pub struct WalletStore {
    directory: PathBuf,
    wallet: Wallet,
    ledger: LedgerRecord,
    files: SecretFiles,
    stale: bool,
    _lock: File,
}

impl WalletStore {
    /// Whether opening the wallet in a directory takes a passphrase.
    #[must_use]
    pub fn is_sealed(directory: &Path) -> bool {
        SecretFiles::are_sealed(directory)
    }

    /// Makes a wallet, sealed if there is a passphrase.
    ///
    /// # Errors
    /// When there already is one, or it cannot be stored.
    pub fn create(
        directory: &Path,
        words: &RecoveryWords,
        ledger: LedgerRecord,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, StoreError> {
        create_private_dir(directory)?;
        let lock = lock(directory)?;
        if SecretFiles::exist(directory) {
            return Err(StoreError::Exists { directory: directory.to_owned() });
        }
        let wallet = Wallet::new(words.seed()?, &ledger.info);
        let files = SecretFiles::create(directory, passphrase)?;
        let store = Self { directory: directory.to_owned(), wallet, ledger, files, stale: false, _lock: lock };
        store.persist_ledger()?;
        store.persist()?;
        // The seed comes last: its presence says that the wallet is whole.
        let line = Zeroizing::new(format!("{}\n", words.reveal()));
        store.files.write(Secret::Seed, line.as_bytes())?;
        Ok(store)
    }

    /// Opens a wallet.
    ///
    /// # Errors
    /// When there is none, another process uses it, a file is damaged, or it is sealed and this is not its passphrase.
    pub fn open(directory: &Path, passphrase: Option<&Passphrase>) -> Result<Self, StoreError> {
        if !SecretFiles::exist(directory) {
            return Err(StoreError::Missing { directory: directory.to_owned() });
        }
        let lock = lock(directory)?;
        let files = SecretFiles::open(directory, passphrase)?;
        let seed = read_words(&files)?.seed()?;
        let state = files.read(Secret::State)?;
        let state: WalletState = serde_json::from_slice(&state).map_err(|error| unreadable(STATE, &error))?;
        let ledger = files.read(Secret::Ledger)?;
        let ledger = serde_json::from_slice(&ledger).map_err(|error| unreadable(LEDGER, &error))?;
        let wallet = Wallet::from_state(seed, state).map_err(StoreError::Wallet)?;
        Ok(Self { directory: directory.to_owned(), wallet, ledger, files, stale: false, _lock: lock })
    }

    /// The recovery words.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn words(&self) -> Result<RecoveryWords, StoreError> {
        read_words(&self.files)
    }

    /// Seals the wallet under another passphrase, or no longer.
    ///
    /// # Errors
    /// When a file cannot be read or written: on disk the wallet is then as it was, or as it should be, and this one takes no
    /// further change.
    pub fn set_passphrase(&mut self, passphrase: Option<&Passphrase>) -> Result<(), StoreError> {
        if self.stale {
            return Err(StoreError::Stale);
        }
        self.stale = true;
        self.files.change(passphrase)?;
        self.stale = false;
        Ok(())
    }

    /// The wallet, to look at.
    #[must_use]
    pub fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    /// The ledger it belongs to.
    #[must_use]
    pub fn ledger(&self) -> &LedgerRecord {
        &self.ledger
    }

    /// Where receipts go.
    #[must_use]
    pub fn receipts_dir(&self) -> PathBuf {
        self.directory.join("receipts")
    }

    /// Where bills wait until the ledger's log says what was charged.
    #[must_use]
    pub fn bills_dir(&self) -> PathBuf {
        self.directory.join("bills")
    }

    /// Where evidence against nodes is kept.
    #[must_use]
    pub fn evidence_dir(&self) -> PathBuf {
        self.directory.join("evidence")
    }

    /// Where evidence against the ledger is kept.
    #[must_use]
    pub fn ledger_evidence_dir(&self) -> PathBuf {
        self.directory.join("ledger-evidence")
    }

    /// Changes the wallet and stores the change before returning.
    ///
    /// # Errors
    /// When the wallet refuses (nothing changed then), or the change cannot be stored: then no further change is taken, and the
    /// wallet on disk is the one before.
    pub fn update<T>(&mut self, change: impl FnOnce(&mut Wallet) -> Result<T, WalletError>) -> Result<T, StoreError> {
        if self.stale {
            return Err(StoreError::Stale);
        }
        let outcome = change(&mut self.wallet).map_err(StoreError::Wallet)?;
        self.stale = true;
        self.persist()?;
        self.stale = false;
        Ok(outcome)
    }

    /// Takes the word of other witnesses of the ledger from now on, or of none.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub fn set_witnesses(&mut self, witnesses: Option<Quorum>) -> Result<(), StoreError> {
        self.ledger.witnesses = witnesses;
        self.persist_ledger()
    }

    /// Uses another address of the same ledger, for this process only.
    pub fn use_ledger_url(&mut self, url: &str) {
        url.clone_into(&mut self.ledger.url);
    }

    /// The cached proving key, when it is there and undamaged.
    #[must_use]
    pub fn cached_key(&self, key: CachedKey) -> Option<Vec<u8>> {
        let (file, digest_file) = key.files();
        let bytes = read_capped(&self.directory.join(file), PROVING_KEY_BYTES_MAX).ok()?;
        let digest = read_capped(&self.directory.join(digest_file), 256).ok()?;
        (digest.trim_ascii() == Sha256Digest::of(&bytes).to_string().as_bytes()).then_some(bytes)
    }

    /// Keeps a proving key.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub fn cache_key(&self, key: CachedKey, bytes: &[u8]) -> Result<(), StoreError> {
        let (file, digest_file) = key.files();
        write_private(&self.directory.join(file), bytes)?;
        let digest = Sha256Digest::of(bytes).to_string();
        Ok(write_private(&self.directory.join(digest_file), digest.as_bytes())?)
    }

    fn persist(&self) -> Result<(), StoreError> {
        let bytes = Zeroizing::new(serde_json::to_vec(self.wallet.state()).map_err(|error| unreadable(STATE, &error))?);
        self.files.write(Secret::State, &bytes)
    }

    fn persist_ledger(&self) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec_pretty(&self.ledger).map_err(|error| unreadable(LEDGER, &error))?;
        self.files.write(Secret::Ledger, &bytes)
    }
}

/// The operating system drops the lock with the process, so a crash leaves nothing to clean up.
fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK_FILE);
    let failed = |source| StoreError::File(FileError::Io { action: "lock", path: path.clone(), source });
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { directory: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn read_words(files: &SecretFiles) -> Result<RecoveryWords, StoreError> {
    let text = files.read(Secret::Seed)?;
    let text = std::str::from_utf8(&text).map_err(|_| damaged(SEED, "not text"))?;
    RecoveryWords::parse(text).map_err(|_| damaged(SEED, "not 24 words"))
}

fn unreadable(file: &'static str, error: &serde_json::Error) -> StoreError {
    damaged(file, &format!("line {}, column {}", error.line(), error.column()))
}

fn damaged(file: &'static str, detail: &str) -> StoreError {
    StoreError::Damaged { file, detail: detail.to_owned() }
}

#[cfg(test)]
#[path = "wallet_store_tests.rs"]
mod tests;
