//! Sealing a wallet's files under a passphrase.
//!
//! A random key seals the files (AES-256-GCM, a random nonce each time, the file's name authenticated with it), and is itself
//! sealed under a key that Argon2id (RFC 9106) makes from the passphrase. Changing the passphrase seals the random key anew and
//! touches no file.
//!
//! Holds on exit: what opens was sealed under the same key and name, whole. Not shown: that it is the newest that was.

#[cfg(not(target_arch = "wasm32"))]
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
#[cfg(target_arch = "wasm32")]
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::bytes::{LengthPrefixed, decode_hex};

const MAGIC: &[u8; 18] = b"cloister/sealed/v1";
const LOCKED_VERSION: &str = "cloister/wallet-key/v1";
const KEY_LEN: usize = 32;
const SALT_LEN: usize = 16;
const TAG_LEN: usize = 16;

/// Fewest characters of a passphrase.
pub const PASSPHRASE_CHARS_MIN: usize = 8;
/// Longest passphrase, in bytes.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;
/// What a guess costs: the second of RFC 9106's recommendations, on one lane.
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
const LANES: u32 = 1;
/// The most that a stored description may ask for: it is read before anything about it is known to be ours.
const MEMORY_KIB_MAX: u32 = 1 << 20;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 16;

/// Why a vault stays closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The passphrase is too short or too long.
    #[error("a passphrase has at least {PASSPHRASE_CHARS_MIN} characters and at most {PASSPHRASE_BYTES_MAX} bytes")]
    PassphraseLength,
    /// The passphrase is another one, or the sealed key was changed.
    #[error("the passphrase is wrong")]
    PassphraseWrong,
    /// The description of the key is not one of ours.
    #[error("the description of the sealed key is malformed")]
    Malformed,
    /// The bytes were not sealed under this key and name, or were changed.
    #[error("the sealed bytes were changed, or are of another wallet or file")]
    Altered,
    /// The operating system gave no randomness.
    #[error("no randomness")]
    Random,
    /// The memory that the key's derivation takes is not there.
    #[error("deriving the key takes more memory than there is")]
    Memory,
}

impl VaultError {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::PassphraseLength => "vault.passphrase_length",
            Self::PassphraseWrong => "vault.passphrase_wrong",
            Self::Malformed => "vault.malformed",
            Self::Altered => "vault.altered",
            Self::Random => "vault.random",
            Self::Memory => "vault.memory",
        }
    }
}

/// A passphrase: not printed by `Debug`, erased on drop.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes a passphrase of a fit length, without line ends.
    pub fn new(text: &str) -> Result<Self, VaultError> {
        let text = text.trim_end_matches(['\r', '\n']);
        let fits = text.chars().count() >= PASSPHRASE_CHARS_MIN && text.len() <= PASSPHRASE_BYTES_MAX;
        if fits { Ok(Self(Zeroizing::new(text.to_owned()))) } else { Err(VaultError::PassphraseLength) }
    }

    /// Whether it is the same as another.
    pub fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// The key that seals a wallet's files.
pub struct VaultKey(Zeroizing<[u8; KEY_LEN]>);

impl fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultKey")
    }
}

impl VaultKey {
    /// Draws a key.
    pub fn generate(rng: &mut dyn CryptoRngCore) -> Result<Self, VaultError> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        rng.try_fill_bytes(key.as_mut_slice()).map_err(|_| VaultError::Random)?;
        Ok(Self(key))
    }

    /// Seals the content of a file of this name.
    pub fn seal(&self, name: &str, content: &[u8], rng: &mut dyn CryptoRngCore) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE_LEN];
        rng.try_fill_bytes(&mut nonce).map_err(|_| VaultError::Random)?;
        let mut sealed = Vec::with_capacity(content.len() + TAG_LEN);
        sealed.extend_from_slice(content);
        let nonce_bytes = nonce;
        self.cipher()?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad(name)), &mut sealed)
            .map_err(|_| VaultError::Altered)?;
        Ok([MAGIC.as_slice(), &nonce_bytes, &sealed].concat())
    }

    /// Opens what was sealed under this name.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let rest = sealed.strip_prefix(MAGIC).ok_or(VaultError::Altered)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(VaultError::Altered)?;
        let mut content = Zeroizing::new(rest.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.cipher()?.open_in_place(nonce, Aad::from(aad(name)), &mut content);
        let len = opened.map_err(|_| VaultError::Altered)?.len();
        content.truncate(len);
        Ok(content)
    }

    fn cipher(&self) -> Result<LessSafeKey, VaultError> {
        let key = UnboundKey::new(&AES_256_GCM, self.0.as_slice()).map_err(|_| VaultError::Altered)?;
        Ok(LessSafeKey::new(key))
    }
}

fn aad(name: &str) -> Vec<u8> {
    LengthPrefixed::new("cloister/sealed/v1").bytes(name.as_bytes()).finish()
}

/// A [`VaultKey`] sealed under a passphrase, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedKey {
    version: String,
    kdf: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    sealed: String,
}

const KDF: &str = "argon2id-19";
const KEY_NAME: &str = "key";

impl LockedKey {
    /// Seals a key under a passphrase.
    pub fn lock(key: &VaultKey, passphrase: &Passphrase, rng: &mut dyn CryptoRngCore) -> Result<Self, VaultError> {
        let mut salt = [0; SALT_LEN];
        rng.try_fill_bytes(&mut salt).map_err(|_| VaultError::Random)?;
        let mut locked = Self {
            version: LOCKED_VERSION.to_owned(),
            kdf: KDF.to_owned(),
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: hex::encode(salt),
            sealed: String::new(),
        };
        let outer = locked.outer(passphrase)?;
        locked.sealed = hex::encode(outer.seal(KEY_NAME, key.0.as_slice(), rng)?);
        Ok(locked)
    }

    /// The key, for the right passphrase.
    pub fn unlock(&self, passphrase: &Passphrase) -> Result<VaultKey, VaultError> {
        let sealed = hex::decode(&self.sealed).map_err(|_| VaultError::Malformed)?;
        let key = self.outer(passphrase)?.open(KEY_NAME, &sealed).map_err(|_| VaultError::PassphraseWrong)?;
        let key = <[u8; KEY_LEN]>::try_from(key.as_slice()).map_err(|_| VaultError::Malformed)?;
        Ok(VaultKey(Zeroizing::new(key)))
    }

    fn outer(&self, passphrase: &Passphrase) -> Result<VaultKey, VaultError> {
        let Self { memory_kib, passes, lanes, .. } = *self;
        let known = self.version == LOCKED_VERSION && self.kdf == KDF;
        if !known || memory_kib > MEMORY_KIB_MAX || passes > PASSES_MAX || lanes > LANES_MAX {
            return Err(VaultError::Malformed);
        }
        let salt = decode_hex::<SALT_LEN>(&self.salt).map_err(|_| VaultError::Malformed)?;
        let params = Params::new(memory_kib, passes, lanes, Some(KEY_LEN)).map_err(|_| VaultError::Malformed)?;
        let mut key = Zeroizing::new([0; KEY_LEN]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.0.as_bytes(), &salt, key.as_mut_slice())
            .map_err(|_| VaultError::Memory)?;
        Ok(VaultKey(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::TestRng;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text).unwrap()
    }

    #[test]
    fn only_the_right_passphrase_opens() {
        let rng = &mut TestRng::new(40);
        let key = VaultKey::generate(rng).unwrap();
        let locked = LockedKey::lock(&key, &passphrase("correct horse"), rng).unwrap();
        let again: LockedKey = serde_json::from_str(&serde_json::to_string(&locked).unwrap()).unwrap();
        let unlocked = again.unlock(&passphrase("correct horse\n")).unwrap();
        assert_eq!(*unlocked.0, *key.0);
        assert_eq!(again.unlock(&passphrase("correct Horse")).unwrap_err(), VaultError::PassphraseWrong);
        // Neither the key nor the passphrase is in what is stored, and the same key is never stored alike twice.
        let text = serde_json::to_string(&locked).unwrap();
        assert!(!text.contains(&hex::encode(key.0.as_slice())));
        assert_ne!(LockedKey::lock(&key, &passphrase("correct horse"), rng).unwrap().sealed, locked.sealed);
    }

    #[test]
    fn descriptions_that_are_not_ours_are_refused_before_they_cost_anything() {
        let rng = &mut TestRng::new(41);
        let key = VaultKey::generate(rng).unwrap();
        let locked = LockedKey::lock(&key, &passphrase("correct horse"), rng).unwrap();
        let changes: [fn(&mut LockedKey); 9] = [
            |locked| locked.version = "cloister/wallet-key/v2".to_owned(),
            |locked| locked.kdf = "argon2i-19".to_owned(),
            |locked| locked.memory_kib = MEMORY_KIB_MAX + 1,
            |locked| locked.memory_kib = 0,
            |locked| locked.passes = PASSES_MAX + 1,
            |locked| locked.passes = 0,
            |locked| locked.lanes = 0,
            |locked| locked.salt = "00".to_owned(),
            |locked| locked.sealed = "0".to_owned(),
        ];
        for (row, change) in changes.iter().enumerate() {
            let mut locked = locked.clone();
            change(&mut locked);
            assert_eq!(locked.unlock(&passphrase("correct horse")).unwrap_err(), VaultError::Malformed, "row {row}");
        }
    }

    #[test]
    fn passphrases_have_a_fit_length() {
        for text in ["", "1234567", "1234567\n", &"x".repeat(PASSPHRASE_BYTES_MAX + 1)] {
            assert_eq!(Passphrase::new(text).map(|_| ()), Err(VaultError::PassphraseLength));
        }
        for text in ["12345678", "ääääääää", &"x".repeat(PASSPHRASE_BYTES_MAX)] {
            assert!(Passphrase::new(text).is_ok());
        }
    }

    #[test]
    fn every_changed_byte_and_length_is_noticed() {
        let rng = &mut TestRng::new(42);
        let key = VaultKey::generate(rng).unwrap();
        let sealed = key.seal("state", b"what is inside", rng).unwrap();
        assert_eq!(*key.open("state", &sealed).unwrap(), b"what is inside");
        assert_eq!(*key.open("state", &key.seal("state", b"", rng).unwrap()).unwrap(), b"");
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert_eq!(key.open("state", &altered).unwrap_err(), VaultError::Altered, "byte {at}");
            assert_eq!(key.open("state", &sealed[..at]).unwrap_err(), VaultError::Altered, "length {at}");
        }
        assert_eq!(key.open("seed", &sealed).unwrap_err(), VaultError::Altered, "another file's");
        let other = VaultKey::generate(rng).unwrap();
        assert_eq!(other.open("state", &sealed).unwrap_err(), VaultError::Altered, "another wallet's");
    }
}
