//! The keys of a simulated GPU and its manifests, generated once and restorable.

use attestation::Base64;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair as _,
};
use serde::{Deserialize, Serialize};

use super::certificate::GpuCertificate;
use super::{device_chain, rim};

/// The keys could not be made or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuKeysError {
    /// Key generation failed.
    #[error("the cryptographic library could not generate a key")]
    Generate,
    /// The state is not what `to_json` writes.
    #[error("the saved state does not hold the keys of a simulated GPU")]
    State(#[source] serde_json::Error),
    /// A saved key does not decode.
    #[error("the saved state holds a key that does not decode")]
    Key,
}

/// Whose key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the chains")]
pub enum KeyName {
    Leaf,
    Brom,
    Provisioner,
    Identity,
    DeviceRoot,
    RimSigner,
    RimL3,
    RimCa,
    RimRoot,
    OcspDelegate,
    /// On P-256: never right.
    P256,
}

/// P-384 keys in the order of [`KeyName`].
const P384_KEYS: usize = 10;

/// Every key of a simulated GPU. Not secrets, but keep them to one machine: whoever has them can simulate its GPU.
pub struct GpuKeys {
    p384: Vec<(EcdsaKeyPair, EcdsaKeyPair)>,
    p256: EcdsaKeyPair,
    /// Device root and manifest root as they were signed: a verifier trusts exactly these bytes, and ECDSA never signs
    /// twice alike.
    roots: Vec<Vec<u8>>,
}

impl std::fmt::Debug for GpuKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GpuKeys")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    p384: Vec<Base64>,
    p256: Base64,
    roots: Vec<Base64>,
}

impl GpuKeys {
    /// Fresh keys.
    ///
    /// # Errors
    /// When a key cannot be generated.
    pub fn generate() -> Result<Self, GpuKeysError> {
        let generate = |algorithm: &'static EcdsaSigningAlgorithm| {
            let key = EcdsaKeyPair::generate(algorithm).map_err(|_| GpuKeysError::Generate)?;
            key.to_pkcs8v1().map(|der| der.as_ref().to_vec()).map_err(|_| GpuKeysError::Generate)
        };
        let p384 = (0..P384_KEYS).map(|_| generate(&ECDSA_P384_SHA384_ASN1_SIGNING)).collect::<Result<Vec<_>, _>>()?;
        let mut keys = Self::restore(&p384, &generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?, Vec::new())?;
        keys.roots = root_certificates().iter().map(|root| root.der(&keys)).collect();
        Ok(keys)
    }

    fn restore(p384: &[Vec<u8>], p256: &[u8], roots: Vec<Vec<u8>>) -> Result<Self, GpuKeysError> {
        let read = |algorithm, pkcs8: &[u8]| EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).map_err(|_| GpuKeysError::Key);
        let both = |pkcs8: &Vec<u8>| {
            Ok((read(&ECDSA_P384_SHA384_ASN1_SIGNING, pkcs8)?, read(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8)?))
        };
        let p384 = p384.iter().map(both).collect::<Result<Vec<_>, GpuKeysError>>()?;
        if p384.len() != P384_KEYS {
            return Err(GpuKeysError::Key);
        }
        Ok(Self { p384, p256: read(&ECDSA_P256_SHA256_ASN1_SIGNING, p256)?, roots })
    }

    /// Everything needed to restore the keys.
    ///
    /// # Errors
    /// When a key cannot be written.
    pub fn to_json(&self) -> Result<Vec<u8>, GpuKeysError> {
        let write = |key: &EcdsaKeyPair| {
            key.to_pkcs8v1().map(|der| Base64(der.as_ref().to_vec())).map_err(|_| GpuKeysError::Key)
        };
        let p384 = self.p384.iter().map(|(key, _)| write(key)).collect::<Result<Vec<_>, _>>()?;
        let roots = self.roots.iter().cloned().map(Base64).collect();
        serde_json::to_vec(&State { p384, p256: write(&self.p256)?, roots }).map_err(GpuKeysError::State)
    }

    /// Restore what [`GpuKeys::to_json`] wrote.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn from_json(bytes: &[u8]) -> Result<Self, GpuKeysError> {
        let state: State = serde_json::from_slice(bytes).map_err(GpuKeysError::State)?;
        let p384: Vec<Vec<u8>> = state.p384.into_iter().map(|key| key.0).collect();
        Self::restore(&p384, &state.p256.0, state.roots.into_iter().map(|root| root.0).collect())
    }

    /// The roots, DER: of devices, and of manifests.
    #[must_use]
    pub fn roots(&self) -> &[Vec<u8>] {
        &self.roots
    }

    /// The bytes `certificate` was given when it is one of the roots.
    pub(crate) fn root_der(&self, certificate: &GpuCertificate) -> Option<&Vec<u8>> {
        root_certificates().iter().position(|root| root == certificate).and_then(|at| self.roots.get(at))
    }

    /// The public key, an uncompressed point.
    pub(crate) fn point(&self, name: KeyName) -> &[u8] {
        self.asn1(name).public_key().as_ref()
    }

    /// ECDSA, DER: P-384 with SHA-384, or P-256 with SHA-256.
    pub(crate) fn sign_der(&self, name: KeyName, message: &[u8]) -> Vec<u8> {
        let signature = self.asn1(name).sign(&SystemRandom::new(), message);
        signature.expect("invariant: an ECDSA key signs any message").as_ref().to_vec()
    }

    /// ECDSA P-384 with SHA-384: r ‖ s.
    pub(crate) fn sign_fixed(&self, name: KeyName, message: &[u8]) -> Vec<u8> {
        let (_, fixed) = self.pair(name);
        fixed.sign(&SystemRandom::new(), message).expect("invariant: an ECDSA key signs any message").as_ref().to_vec()
    }

    fn asn1(&self, name: KeyName) -> &EcdsaKeyPair {
        if name == KeyName::P256 { &self.p256 } else { &self.pair(name).0 }
    }

    fn pair(&self, name: KeyName) -> &(EcdsaKeyPair, EcdsaKeyPair) {
        self.p384.get(place(name)).expect("invariant: there is a key for every name")
    }
}

fn root_certificates() -> Vec<GpuCertificate> {
    device_chain().pop().into_iter().chain(rim::signer_chain().pop()).collect()
}

fn place(name: KeyName) -> usize {
    match name {
        KeyName::Leaf => 0,
        KeyName::Brom => 1,
        KeyName::Provisioner => 2,
        KeyName::Identity => 3,
        KeyName::DeviceRoot => 4,
        KeyName::RimSigner => 5,
        KeyName::RimL3 => 6,
        KeyName::RimCa => 7,
        KeyName::RimRoot => 8,
        KeyName::OcspDelegate | KeyName::P256 => 9,
    }
}
