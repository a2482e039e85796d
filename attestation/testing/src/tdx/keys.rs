//! P-256 keys that sign as certificates do (DER) and as quotes do (r ‖ s).

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
};

/// One P-256 key.
#[derive(Debug, Clone)]
pub(crate) struct P256Key {
    der: Arc<EcdsaKeyPair>,
    fixed: Arc<EcdsaKeyPair>,
}

impl P256Key {
    pub(crate) fn generate() -> Self {
        let fixed = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .expect("invariant: the library generates P-256 keys");
        let pkcs8 = fixed.to_pkcs8v1().expect("invariant: a generated key can be written");
        let der = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref())
            .expect("invariant: a written key can be read");
        Self { der: Arc::new(der), fixed: Arc::new(fixed) }
    }

    /// The public key, an uncompressed point of 65 bytes.
    pub(crate) fn point(&self) -> Vec<u8> {
        self.fixed.public_key().as_ref().to_vec()
    }

    /// x ‖ y of the public key.
    pub(crate) fn coordinates(&self) -> Vec<u8> {
        self.point().split_off(1)
    }

    pub(crate) fn sign_der(&self, message: &[u8]) -> Vec<u8> {
        sign(&self.der, message)
    }

    pub(crate) fn sign_fixed(&self, message: &[u8]) -> Vec<u8> {
        sign(&self.fixed, message)
    }
}

fn sign(key: &EcdsaKeyPair, message: &[u8]) -> Vec<u8> {
    key.sign(&SystemRandom::new(), message).expect("invariant: a P-256 key signs any message").as_ref().to_vec()
}
