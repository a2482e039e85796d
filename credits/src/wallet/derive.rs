//! Everything a wallet knows follows from its seed: keys, blinding factors and tab keys.
//!
//! `derive(label, …) = SHA-512( lp("cloister/wallet/v1") ‖ lp(label) ‖ lp(seed) ‖ lp(ledger_id) ‖ … )`. The ledger's id is in
//! every derivation, so one seed used at two ledgers shows no common value. Field elements are the 64 bytes reduced
//! modulo r; Ed25519 seeds are the first 32.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::WALLET_FORMAT;
use crate::bytes::{Bytes32, LengthPrefixed};
use crate::claim::PayeeKey;
use crate::field::Fe;
use crate::hash::sha512;
use crate::keys::{SEED_LEN, TabKey};
use crate::note::{Blind, NotePublicKey, Nullifier, SpendKey};

/// The 32 secret bytes of a wallet; whoever has them has the credits.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct WalletSeed([u8; 32]);

impl WalletSeed {
    /// A seed from 32 secret, uniform bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for backing them up.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for WalletSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WalletSeed(..)")
    }
}

/// A wallet's secrets at one ledger.
#[derive(Clone)]
pub(super) struct WalletKeys {
    seed: WalletSeed,
    ledger_id: Bytes32,
    spend_key: SpendKey,
}

impl WalletKeys {
    pub(super) fn new(seed: WalletSeed, ledger_id: Bytes32) -> Self {
        let spend_key = SpendKey::from_secret(Fe::from_uniform(&derive(&seed, ledger_id, "spend-key", &[])));
        Self { seed, ledger_id, spend_key }
    }

    pub(super) const fn spend_key(&self) -> &SpendKey {
        &self.spend_key
    }

    pub(super) fn public_key(&self, lane: u64) -> NotePublicKey {
        self.spend_key.public_key(lane)
    }

    /// `b` of the note minted on a lane. Mints are public, so it hides nothing; it is derived only to need no randomness.
    pub(super) fn mint_blind(&self, lane: u64) -> Blind {
        Blind(self.element("mint-blind", &lane.to_be_bytes()))
    }

    /// `b'` of the successor of the note with this nullifier: secret, and the same in every attempt to spend the note, so
    /// that a wallet that has only its seed finds its notes again.
    pub(super) fn blind_next(&self, nullifier: Nullifier) -> Blind {
        Blind(self.element("blind", nullifier.as_bytes()))
    }

    pub(super) fn tab_key(&self, nullifier: Nullifier) -> TabKey {
        TabKey::from_seed(&self.half("tab", nullifier.as_bytes()))
    }

    /// The payee of a withdrawal of the note with this nullifier.
    pub(super) fn withdrawal_key(&self, nullifier: Nullifier) -> PayeeKey {
        PayeeKey::from_seed(&self.half("withdrawal", nullifier.as_bytes()))
    }

    /// Names the seed without telling it: a state read back with another seed is refused.
    pub(super) fn fingerprint(&self) -> Bytes32 {
        Bytes32(*self.half("fingerprint", &[]))
    }

    fn element(&self, label: &str, field: &[u8]) -> Fe {
        Fe::from_uniform(&derive(&self.seed, self.ledger_id, label, field))
    }

    fn half(&self, label: &str, field: &[u8]) -> Zeroizing<[u8; SEED_LEN]> {
        let whole = derive(&self.seed, self.ledger_id, label, field);
        let mut half = Zeroizing::new([0; SEED_LEN]);
        half.iter_mut().zip(whole.iter()).for_each(|(byte, value)| *byte = *value);
        half
    }
}

fn derive(seed: &WalletSeed, ledger_id: Bytes32, label: &str, field: &[u8]) -> Zeroizing<[u8; 64]> {
    let string = LengthPrefixed::new(WALLET_FORMAT).bytes(label).bytes(seed.0).bytes(ledger_id).bytes(field).finish();
    Zeroizing::new(sha512(&Zeroizing::new(string)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivations_do_not_collide() {
        let keys = WalletKeys::new(WalletSeed::from_bytes([1; 32]), Bytes32([2; 32]));
        let other_ledger = WalletKeys::new(WalletSeed::from_bytes([1; 32]), Bytes32([3; 32]));
        let other_seed = WalletKeys::new(WalletSeed::from_bytes([9; 32]), Bytes32([2; 32]));
        let nullifier = Nullifier(Fe::from(5));
        for other in [&other_ledger, &other_seed] {
            assert_ne!(keys.public_key(0), other.public_key(0));
            assert_ne!(keys.mint_blind(0), other.mint_blind(0));
            assert_ne!(keys.blind_next(nullifier), other.blind_next(nullifier));
            assert_ne!(keys.tab_key(nullifier).public(), other.tab_key(nullifier).public());
            assert_ne!(keys.withdrawal_key(nullifier).public(), other.withdrawal_key(nullifier).public());
            assert_ne!(keys.fingerprint(), other.fingerprint());
        }
        assert_ne!(keys.public_key(0), keys.public_key(1));
        assert_ne!(keys.mint_blind(0), keys.mint_blind(1));
        assert_ne!(keys.withdrawal_key(nullifier).public(), keys.tab_key(nullifier).public());
        let again = WalletKeys::new(WalletSeed::from_bytes([1; 32]), Bytes32([2; 32]));
        assert_eq!(keys.tab_key(nullifier).public(), again.tab_key(nullifier).public());
        assert_eq!(format!("{:?}", WalletSeed::from_bytes([1; 32])), "WalletSeed(..)");
    }
}
