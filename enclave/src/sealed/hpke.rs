//! HPKE (RFC 9180) in base mode, as its recipient: X25519, HKDF-SHA256, and one of three AEADs.
//!
//! The work is done by AWS-LC, which is linked already and does all other cryptography here; its safe Rust layer does not pass HPKE on,
//! so this module calls C. Whatever a stranger sends comes in as slices and goes out as `None` when anything is wrong with it; why it is
//! wrong is told to nobody.
#![allow(unsafe_code, reason = "AWS-LC's HPKE has no safe interface; each call is argued for")]

use std::ptr::NonNull;

use aws_lc_sys as lc;
use zeroize::Zeroizing;

/// Bytes of a public key, and of an encapsulated secret.
pub const X25519_BYTES: usize = 32;
/// Identifier of the KEM: DHKEM(X25519, HKDF-SHA256).
pub const KEM_X25519: u16 = 0x0020;
/// Identifier of the key derivation: HKDF-SHA256.
pub const KDF_SHA256: u16 = 0x0001;
/// What each of the AEADs adds to a text.
pub const TAG_BYTES: usize = 16;

/// How messages are sealed (RFC 9180 §7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aead {
    /// AES-128-GCM.
    Aes128Gcm,
    /// AES-256-GCM.
    Aes256Gcm,
    /// ChaCha20-Poly1305.
    ChaCha20Poly1305,
}

impl Aead {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Aes128Gcm, Self::Aes256Gcm, Self::ChaCha20Poly1305];

    /// Its identifier.
    #[must_use]
    pub fn id(self) -> u16 {
        match self {
            Self::Aes128Gcm => 1,
            Self::Aes256Gcm => 2,
            Self::ChaCha20Poly1305 => 3,
        }
    }

    /// The one with this identifier.
    #[must_use]
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|aead| aead.id() == id)
    }

    /// AWS-LC's name for the same.
    fn as_ptr(self) -> *const lc::EVP_HPKE_AEAD {
        // SAFETY: these take nothing and return a pointer to a constant.
        unsafe {
            match self {
                Self::Aes128Gcm => lc::EVP_hpke_aes_128_gcm(),
                Self::Aes256Gcm => lc::EVP_hpke_aes_256_gcm(),
                Self::ChaCha20Poly1305 => lc::EVP_hpke_chacha20_poly1305(),
            }
        }
    }
}

/// A recipient's key pair. The private half never leaves AWS-LC's memory, which is overwritten when this is dropped.
pub struct RecipientKey {
    key: NonNull<lc::EVP_HPKE_KEY>,
    public: [u8; X25519_BYTES],
}

// SAFETY: the key is written once, before this value exists; afterwards AWS-LC only reads it (all of its functions that are called here
// take it as `const`), and it holds no reference to the thread that made it.
unsafe impl Send for RecipientKey {}
// SAFETY: see above.
unsafe impl Sync for RecipientKey {}

impl std::fmt::Debug for RecipientKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RecipientKey({})", hex::encode(self.public))
    }
}

impl Drop for RecipientKey {
    fn drop(&mut self) {
        // SAFETY: it was made by `EVP_HPKE_KEY_new` and is freed once.
        unsafe { lc::EVP_HPKE_KEY_free(self.key.as_ptr()) }
    }
}

impl RecipientKey {
    /// A fresh key pair.
    #[must_use]
    pub fn generate() -> Option<Self> {
        // SAFETY: the key is allocated and holds nothing yet; the KEM is a constant.
        Self::filled(|key| unsafe { lc::EVP_HPKE_KEY_generate(key, lc::EVP_hpke_x25519_hkdf_sha256()) })
    }

    #[cfg(test)]
    fn from_private(private: &[u8; X25519_BYTES]) -> Option<Self> {
        // SAFETY: as above; the slice is read for its length.
        Self::filled(|key| unsafe {
            lc::EVP_HPKE_KEY_init(key, lc::EVP_hpke_x25519_hkdf_sha256(), private.as_ptr(), private.len())
        })
    }

    fn filled(fill: impl FnOnce(*mut lc::EVP_HPKE_KEY) -> i32) -> Option<Self> {
        // SAFETY: takes nothing; null when there is no memory.
        let key = NonNull::new(unsafe { lc::EVP_HPKE_KEY_new() })?;
        let mut made = Self { key, public: [0; X25519_BYTES] };
        if fill(key.as_ptr()) != 1 {
            return None;
        }
        let mut written = 0;
        // SAFETY: at most `public.len()` bytes are written to `public`, and their number to `written`.
        let read = unsafe {
            lc::EVP_HPKE_KEY_public_key(key.as_ptr(), made.public.as_mut_ptr(), &raw mut written, made.public.len())
        };
        (read == 1 && written == X25519_BYTES).then_some(made)
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &[u8; X25519_BYTES] {
        &self.public
    }

    /// What a sender set up with this encapsulated secret and `info`.
    #[must_use]
    pub fn receive(&self, encapsulated: &[u8], info: &[u8], aead: Aead) -> Option<Received> {
        if encapsulated.len() != X25519_BYTES {
            return None;
        }
        // SAFETY: takes nothing; null when there is no memory.
        let context = Received(NonNull::new(unsafe { lc::EVP_HPKE_CTX_new() })?);
        // SAFETY: context and key are alive; KDF and AEAD are constants; the slices are read for their lengths. A context that could not
        // be set up is freed and nothing else.
        let set_up = unsafe {
            lc::EVP_HPKE_CTX_setup_recipient(
                context.0.as_ptr(),
                self.key.as_ptr(),
                lc::EVP_hpke_hkdf_sha256(),
                aead.as_ptr(),
                encapsulated.as_ptr(),
                encapsulated.len(),
                info.as_ptr(),
                info.len(),
            )
        };
        (set_up == 1).then_some(context)
    }
}

/// The recipient's side of one message.
pub struct Received(NonNull<lc::EVP_HPKE_CTX>);

// SAFETY: a context holds no reference to the thread that made it, and what changes it takes `&mut self`.
unsafe impl Send for Received {}

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Received")
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        // SAFETY: it was made by `EVP_HPKE_CTX_new` and is freed once.
        unsafe { lc::EVP_HPKE_CTX_free(self.0.as_ptr()) }
    }
}

impl Received {
    /// Opens the next sealed text.
    #[must_use]
    pub fn open(&mut self, sealed: &[u8], associated: &[u8]) -> Option<Vec<u8>> {
        // AWS-LC wants room for the sealed text's length, and writes what it opens to.
        let mut opened = vec![0; sealed.len()];
        let mut written = 0;
        // SAFETY: the context was set up as a recipient's; at most `opened.len()` bytes are written to `opened`, and their number to
        // `written`; the slices are read for their lengths and overlap nothing.
        let open = unsafe {
            lc::EVP_HPKE_CTX_open(
                self.0.as_ptr(),
                opened.as_mut_ptr(),
                &raw mut written,
                opened.len(),
                sealed.as_ptr(),
                sealed.len(),
                associated.as_ptr(),
                associated.len(),
            )
        };
        if open != 1 || written > opened.len() {
            return None;
        }
        opened.truncate(written);
        Some(opened)
    }

    /// So many bytes of a secret that both sides have, for this purpose. Shorter ones are no prefixes of longer ones.
    #[must_use]
    pub fn export(&self, purpose: &[u8], length: usize) -> Option<Zeroizing<Vec<u8>>> {
        let mut secret = Zeroizing::new(vec![0; length]);
        // SAFETY: the context was set up; exactly `length` bytes are written to `secret`, which has them; `purpose` is read for its
        // length.
        let exported = unsafe {
            lc::EVP_HPKE_CTX_export(self.0.as_ptr(), secret.as_mut_ptr(), length, purpose.as_ptr(), purpose.len())
        };
        (exported == 1).then_some(secret)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::{Aead, RecipientKey};

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    /// RFC 9180 appendix A.1.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM, base mode.
    #[test]
    fn the_vectors_of_rfc_9180_are_opened_and_their_secrets_exported() {
        let private: [u8; 32] =
            bytes("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8").try_into().unwrap();
        let key = RecipientKey::from_private(&private).unwrap();
        assert_eq!(hex::encode(key.public()), "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d");
        let enc = bytes("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431");
        let info = bytes("4f6465206f6e2061204772656369616e2055726e");
        let text = bytes("4265617574792069732074727574682c20747275746820626561757479");
        let mut received = key.receive(&enc, &info, Aead::Aes128Gcm).unwrap();
        for (aad, sealed) in [
            (
                "436f756e742d30",
                "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a",
            ),
            (
                "436f756e742d31",
                "af2d7e9ac9ae7e270f46ba1f975be53c09f8d875bdc8535458c2494e8a6eab251c03d0c22a56b8ca42c2063b84",
            ),
        ] {
            assert_eq!(received.open(&bytes(sealed), &bytes(aad)).unwrap(), text);
        }
        let exported = received.export(b"", 32).unwrap();
        assert_eq!(hex::encode(&*exported), "3853fe2b4035195a573ffc53856e77058e15d9ea064de3e59f4961d0095250ee");
        let exported = received.export(b"TestContext", 32).unwrap();
        assert_eq!(hex::encode(&*exported), "e9e43065102c3836401bed8c3c3c75ae46be1639869391d62c61f1ec7af54931");
    }

    #[test]
    fn what_is_not_for_this_key_is_not_opened() {
        let key = RecipientKey::generate().unwrap();
        assert_ne!(key.public(), RecipientKey::generate().unwrap().public());
        for enc in [vec![], vec![0; 31], vec![9; 33]] {
            assert!(key.receive(&enc, b"", Aead::Aes256Gcm).is_none(), "{enc:?}");
        }
        // A point of small order gives a secret that everybody knows.
        assert!(key.receive(&[0; 32], b"", Aead::Aes256Gcm).is_none());
        for aead in Aead::ALL {
            let mut received = key.receive(&[9; 32], b"", aead).unwrap();
            for sealed in [vec![], vec![0; 15], vec![0; 16], vec![7; 1000]] {
                assert!(received.open(&sealed, b"").is_none());
            }
        }
    }
}
