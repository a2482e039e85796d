//! Ed25519 keys: the ledger's, its administrator's, and the tab keys of wallets.
//!
//! One type holds them all; what a signature means is decided by the tag inside the signed string (protocol.md §1).

use std::fmt;

#[cfg(not(target_arch = "wasm32"))]
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rand_core::{OsRng, RngCore};
#[cfg(target_arch = "wasm32")]
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::bytes::{Bytes32, SignatureBytes};

/// Length of an Ed25519 seed.
pub const SEED_LEN: usize = 32;

/// An Ed25519 signing key. The seed is erased on drop; `Debug` prints the public half only.
#[derive(Clone)]
pub struct SigningKey {
    seed: Zeroizing<[u8; SEED_LEN]>,
    public: Bytes32,
}

/// The key that signs checkpoints.
pub type LedgerKey = SigningKey;
/// The key that signs vouchers.
pub type AdminKey = SigningKey;
/// The one-time key that signs the requests under a tab.
pub type TabKey = SigningKey;

/// A key could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The operating system gave no randomness.
    #[error("the operating system's random generator failed")]
    Random,
}

/// A signature that does not verify under the given key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

impl SigningKey {
    /// A new key from the operating system's generator.
    ///
    /// # Errors
    /// When that generator fails.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; SEED_LEN]);
        OsRng.try_fill_bytes(seed.as_mut_slice()).map_err(|_| KeyError::Random)?;
        Ok(Self::from_seed(&seed))
    }

    /// The key of a seed (RFC 8032 private key).
    pub fn from_seed(seed: &[u8; SEED_LEN]) -> Self {
        let mut public = [0; 32];
        public.copy_from_slice(key_pair(seed).public_key().as_ref());
        Self { seed: Zeroizing::new(*seed), public: Bytes32(public) }
    }

    /// The seed, for storing the key.
    pub fn seed(&self) -> &[u8; SEED_LEN] {
        &self.seed
    }

    /// The public half.
    pub fn public(&self) -> Bytes32 {
        self.public
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> SignatureBytes {
        let mut signature = [0; 64];
        signature.copy_from_slice(key_pair(&self.seed).sign(message).as_ref());
        SignatureBytes(signature)
    }
}

fn key_pair(seed: &[u8; SEED_LEN]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed).expect("invariant: every 32-byte string is an Ed25519 seed")
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(public {})", self.public)
    }
}

/// Verifies an Ed25519 signature.
///
/// # Errors
/// [`BadSignature`] when it does not verify.
pub fn verify_ed25519(public: &Bytes32, message: &[u8], signature: &SignatureBytes) -> Result<(), BadSignature> {
    UnparsedPublicKey::new(&ED25519, &public.0).verify(message, &signature.0).map_err(|_| BadSignature)
}

/// Encodings of the y coordinates of the points whose order divides 8, without the sign bit (RFC 8032 §5.1.2, §5.1.3): 0, 1, −1,
/// the two of order 8, and the spellings of 0 and 1 that are not reduced.
const SMALL_ORDER_YS: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// Whether a public key is a point of small order, under which anybody makes signatures that verify.
///
/// Who chooses the key himself harms only himself with one; it is asked where a key is typed in, such as a payee.
pub fn is_small_order(public: &Bytes32) -> bool {
    let mut y = public.0;
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    SMALL_ORDER_YS.contains(&hex::encode(y).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 §7.1, test 2.
    #[test]
    fn rfc8032_vector() {
        let seed: [u8; 32] = hex::decode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
            .unwrap()
            .try_into()
            .unwrap();
        let key = SigningKey::from_seed(&seed);
        assert_eq!(hex::encode(key.public().0), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let signature = key.sign(&[0x72]);
        assert_eq!(
            hex::encode(signature.0),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
        assert_eq!(verify_ed25519(&key.public(), &[0x72], &signature), Ok(()));
        assert_eq!(verify_ed25519(&key.public(), &[0x73], &signature), Err(BadSignature));
    }

    #[test]
    fn generated_keys_differ_and_debug_hides_the_seed() {
        let (a, b) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        assert_ne!(a.public(), b.public());
        assert!(!format!("{a:?}").contains(&hex::encode(a.seed())));
    }

    /// With S = 0 and a suitable R of small order each of them signs one message in eight at least, whoever asks.
    #[test]
    fn keys_of_small_order_sign_for_anybody_and_are_known() {
        let points: Vec<[u8; 32]> =
            SMALL_ORDER_YS.iter().map(|y| hex::decode(y).unwrap().try_into().unwrap()).collect();
        let with_sign = |y: &[u8; 32], sign: u8| {
            let mut point = *y;
            point[31] |= sign << 7;
            point
        };
        let mut forged = 0;
        for y in &points {
            for sign in [0, 1] {
                let public = Bytes32(with_sign(y, sign));
                assert!(is_small_order(&public), "{public}");
                let signature = |r: [u8; 32]| {
                    let mut bytes = [0; 64];
                    bytes[..32].copy_from_slice(&r);
                    SignatureBytes(bytes)
                };
                let rs: Vec<_> = points.iter().flat_map(|y| [with_sign(y, 0), with_sign(y, 1)]).collect();
                let signs =
                    |message: &[u8]| rs.iter().any(|r| verify_ed25519(&public, message, &signature(*r)).is_ok());
                forged += usize::from((0..64_u8).any(|message| signs(&[message])));
            }
        }
        // Some of the spellings are no points for the library; all eight points are among the others.
        assert!(forged >= 8, "{forged}");
        let key = SigningKey::from_seed(&[7; 32]);
        assert!(!is_small_order(&key.public()));
    }
}
