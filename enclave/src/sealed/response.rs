//! Keys of an answer, from the secret of its request (RFC 9458 §4.4, which the other protocol repeats word for word).

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use zeroize::Zeroizing;

use super::hpke::{Aead, Received};

/// Bytes of an AEAD's nonce.
const NONCE_BYTES: usize = 12;

/// Seals the texts of one answer, one after the other.
pub struct ResponseSealer {
    key: LessSafeKey,
    base: [u8; NONCE_BYTES],
    sealed: u64,
}

impl std::fmt::Debug for ResponseSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ResponseSealer({} sealed)", self.sealed)
    }
}

/// So many bytes of key material.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

fn algorithm(aead: Aead) -> &'static Algorithm {
    match aead {
        Aead::Aes128Gcm => &AES_128_GCM,
        Aead::Aes256Gcm => &AES_256_GCM,
        Aead::ChaCha20Poly1305 => &CHACHA20_POLY1305,
    }
}

impl ResponseSealer {
    /// The sealer of the answer to `request`, and the nonce that its client needs to open it.
    #[must_use]
    pub fn new(request: &Received, label: &[u8], encapsulated: &[u8], aead: Aead) -> Option<(Self, Vec<u8>)> {
        let algorithm = algorithm(aead);
        // `max(Nn, Nk)` bytes: a key is never shorter than a nonce.
        let length = algorithm.key_len().max(NONCE_BYTES);
        let secret = request.export(label, length)?;
        let mut nonce = vec![0; length];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        let salt = [encapsulated, &nonce].concat();
        let prk = Salt::new(HKDF_SHA256, &salt).extract(&secret);
        let mut key = Zeroizing::new(vec![0; algorithm.key_len()]);
        expand(&prk, b"key", &mut key)?;
        let mut base = [0; NONCE_BYTES];
        expand(&prk, b"nonce", &mut base)?;
        let key = LessSafeKey::new(UnboundKey::new(algorithm, &key).ok()?);
        Some((Self { key, base, sealed: 0 }, nonce))
    }

    /// Seals the next text.
    #[must_use]
    pub fn seal(&mut self, text: &[u8], associated: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = self.base;
        for (byte, count) in nonce.iter_mut().rev().zip(self.sealed.to_le_bytes()) {
            *byte ^= count;
        }
        self.sealed = self.sealed.checked_add(1)?;
        let mut sealed = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(nonce, Aad::from(associated), &mut sealed).ok()?;
        Some(sealed)
    }
}

fn expand(prk: &Prk, info: &[u8], out: &mut [u8]) -> Option<()> {
    prk.expand(&[info], Bytes(out.len())).ok()?.fill(out).ok()
}
