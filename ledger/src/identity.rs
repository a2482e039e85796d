//! Who a ledger is: its published description and the key it signs checkpoints with.

use credits::bytes::SignatureBytes;
use credits::checkpoint::ledger_id;
use credits::ledger::LEDGER_VERSION;
use credits::state::ReserveRules;
use credits::{Bytes32, Checkpoint, LedgerInfo, LedgerKey, UnsignedCheckpoint};

use crate::storage::Heads;

/// A ledger's description with the key it names.
#[derive(Clone, Debug)]
pub struct LedgerIdentity {
    info: LedgerInfo,
    key: LedgerKey,
}

/// A description that is not of the key's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The description is of another version.
    #[error("the ledger's description is not of version {LEDGER_VERSION:?}")]
    Version,
    /// The description names another ledger key.
    #[error("the ledger key is not the one the description names")]
    Key,
    /// The id is not the hash of the keys.
    #[error("the ledger's id does not belong to its keys")]
    Id,
    /// The root window is empty: no spend could ever be reserved.
    #[error("the root window must be at least 1")]
    RootWindow,
}

impl LedgerIdentity {
    /// Puts a description and its key together; refuses a pair that does not belong together.
    pub fn new(info: LedgerInfo, key: LedgerKey) -> Result<Self, IdentityError> {
        if info.version != LEDGER_VERSION {
            return Err(IdentityError::Version);
        }
        if info.ledger_key != key.public() {
            return Err(IdentityError::Key);
        }
        if info.ledger_id != ledger_id(info.ledger_key, info.vk_digest, info.merge_vk_digest()) {
            return Err(IdentityError::Id);
        }
        if info.root_window == 0 {
            return Err(IdentityError::RootWindow);
        }
        Ok(Self { info, key })
    }

    /// The description.
    pub const fn info(&self) -> &LedgerInfo {
        &self.info
    }

    pub(crate) fn ledger_id(&self) -> Bytes32 {
        self.info.ledger_id
    }

    pub(crate) fn rules(&self) -> Rules {
        let LedgerInfo { ledger_id, vk_digest, tab_secs_max, grace_secs, root_window, .. } = self.info;
        Rules { reserve: ReserveRules { ledger_id, vk_digest, tab_secs_max }, grace_secs, root_window }
    }

    pub(crate) fn sign_checkpoint(&self, heads: &Heads, time: u64) -> Checkpoint {
        let Heads { log_size, log_root, note_count, note_root } = *heads;
        let ledger_id = self.info.ledger_id;
        Checkpoint::sign(UnsignedCheckpoint { ledger_id, log_size, log_root, note_count, note_root, time }, &self.key)
    }

    /// Signs the text of a head for witnesses, which begins with the log's name.
    pub(crate) fn sign_note_text(&self, text: &[u8]) -> SignatureBytes {
        self.key.sign(text)
    }
}

/// The numbers that the rules depend on.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// For reservations.
    pub reserve: ReserveRules,
    /// How long after its deadline a reservation may still be settled by its guardian.
    pub grace_secs: u64,
    /// A root that fewer notes than this follow is recent; an anchor may be older (protocol §4.3).
    pub root_window: u64,
}

/// Seed of the one key of [`example`].
#[cfg(test)]
pub(crate) const EXAMPLE_KEY: [u8; 32] = [1; 32];

/// A ledger for tests of single parts, its own administrator.
#[cfg(test)]
pub(crate) fn example() -> LedgerIdentity {
    let (key, vk_digest) = (LedgerKey::from_seed(&EXAMPLE_KEY), Bytes32([9; 32]));
    let info = LedgerInfo {
        version: LEDGER_VERSION.to_owned(),
        ledger_id: ledger_id(key.public(), vk_digest, None),
        ledger_key: key.public(),
        admin_key: key.public(),
        vk_digest,
        holds_value: false,
        setup: "single-party".to_owned(),
        merge: None,
        grace_secs: 60,
        root_window: 64,
        tab_secs_max: 600,
    };
    LedgerIdentity::new(info, key).expect("invariant: the description names the key")
}
