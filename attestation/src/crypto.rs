//! The one place that names a cryptographic library: aws-lc-rs natively, ring on wasm32, behind the same calls.
//!
//! Decides: nothing about policy. Each verification function answers for exactly one algorithm with fixed
//! parameters, so no caller can be talked into another one.

#[cfg(not(target_arch = "wasm32"))]
use aws_lc_rs as provider;
#[cfg(target_arch = "wasm32")]
use ring as provider;

use provider::digest;
use provider::rand::{SecureRandom, SystemRandom};
use provider::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, ED25519,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PSS_2048_8192_SHA384,
    RsaPublicKeyComponents, UnparsedPublicKey,
};

/// The library refused an input; it does not say why, and nothing may depend on why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut context = Sha256Context::new();
    context.update(bytes);
    context.finish()
}

/// SHA-384.
pub(crate) fn sha384(bytes: &[u8]) -> [u8; 48] {
    let mut context = Sha384Context::new();
    context.update(bytes);
    context.finish()
}

/// SHA-1, only to recognise which certificate an OCSP response is about (RFC 5019 §2.1.1). Never relied on for trust:
/// the response's signature decides.
pub(crate) fn sha1(bytes: &[u8]) -> [u8; 20] {
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    digest.as_ref().try_into().expect("invariant: a SHA-1 digest has 20 bytes")
}

/// SHA-512.
pub(crate) fn sha512(bytes: &[u8]) -> [u8; 64] {
    let digest = digest::digest(&digest::SHA512, bytes);
    digest.as_ref().try_into().expect("invariant: a SHA-512 digest has 64 bytes")
}

/// SHA-256 in pieces.
#[derive(Clone)]
pub(crate) struct Sha256Context(digest::Context);

impl Sha256Context {
    pub(crate) fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finish().as_ref().try_into().expect("invariant: a SHA-256 digest has 32 bytes")
    }
}

/// SHA-384 in pieces.
#[derive(Clone)]
pub(crate) struct Sha384Context(digest::Context);

impl Sha384Context {
    pub(crate) fn new() -> Self {
        Self(digest::Context::new(&digest::SHA384))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> [u8; 48] {
        self.0.finish().as_ref().try_into().expect("invariant: a SHA-384 digest has 48 bytes")
    }
}

/// Thirty-two bytes from the library's operating-system generator.
pub(crate) fn random_32() -> Result<[u8; 32], Refused> {
    let mut bytes = [0_u8; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Refused)?;
    Ok(bytes)
}

/// An Ed25519 signing key. Both libraries wipe the private half when it is freed.
pub(crate) struct Ed25519Key(Ed25519KeyPair);

impl Ed25519Key {
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Result<Self, Refused> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_| Refused)
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().expect("invariant: an Ed25519 public key has 32 bytes")
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().expect("invariant: an Ed25519 signature has 64 bytes")
    }
}

/// RFC 8032 Ed25519.
pub(crate) fn verify_ed25519(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> Result<(), Refused> {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).map_err(|_| Refused)
}

/// ECDSA P-384 with SHA-384; `public` is an uncompressed point, `signature` is r ‖ s, each 48 bytes big endian.
pub(crate) fn verify_ecdsa_p384(public: &[u8], message: &[u8], signature: &[u8; 96]) -> Result<(), Refused> {
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public).verify(message, signature).map_err(|_| Refused)
}

/// RSASSA-PSS with SHA-384, MGF1-SHA-384 and a 48-byte salt; `public` is a PKCS#1 `RSAPublicKey`.
pub(crate) fn verify_rsa_pss_sha384(public: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Refused> {
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, public).verify(message, signature).map_err(|_| Refused)
}

/// ECDSA P-384 with SHA-384; `signature` is DER, as certificates carry it.
pub(crate) fn verify_ecdsa_p384_der(public: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Refused> {
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, public).verify(message, signature).map_err(|_| Refused)
}

/// ECDSA P-256 with SHA-256; `public` is an uncompressed point, `signature` is r ‖ s, each 32 bytes big endian.
pub(crate) fn verify_ecdsa_p256(public: &[u8], message: &[u8], signature: &[u8; 64]) -> Result<(), Refused> {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public).verify(message, signature).map_err(|_| Refused)
}

/// ECDSA P-256 with SHA-256; `signature` is DER, as certificates carry it.
pub(crate) fn verify_ecdsa_p256_der(public: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Refused> {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public).verify(message, signature).map_err(|_| Refused)
}

/// RSASSA-PKCS1-v1_5 with SHA-256; `public` is a PKCS#1 `RSAPublicKey`.
pub(crate) fn verify_rsa_pkcs1_sha256(public: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Refused> {
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public).verify(message, signature).map_err(|_| Refused)
}

/// RSASSA-PKCS1-v1_5 with SHA-384; `public` is a PKCS#1 `RSAPublicKey`.
pub(crate) fn verify_rsa_pkcs1_sha384(public: &[u8], message: &[u8], signature: &[u8]) -> Result<(), Refused> {
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA384, public).verify(message, signature).map_err(|_| Refused)
}

/// RSASSA-PKCS1-v1_5 with SHA-256 from the numbers of the key: `modulus` and `exponent` are big endian without leading zeros.
pub(crate) fn verify_rsa_pkcs1_sha256_components(
    modulus: &[u8],
    exponent: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), Refused> {
    let key = RsaPublicKeyComponents { n: modulus, e: exponent };
    key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).map_err(|_| Refused)
}
