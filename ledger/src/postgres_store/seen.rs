//! What this service has seen of the database, so that it notices when the database goes back or turns out to be another.
//!
//! Only states that are durable everywhere they must be count as seen: a state that a lost standby lacks is not answered with.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::StoreError;
use crate::storage::Heads;

/// The newest durable state, shared by the writer and those who read.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Option<Heads>>>);

impl Seen {
    pub(super) fn newest(&self) -> Option<Heads> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a state is newer than what was seen before it was read. One that is older, or another of its size, is refused.
    pub(super) fn is_newer(before: Option<&Heads>, heads: &Heads) -> Result<bool, StoreError> {
        match before {
            Some(before) if heads.log_size < before.log_size => Err(StoreError::Behind),
            Some(before) if heads.log_size == before.log_size && heads != before => Err(StoreError::Behind),
            Some(before) => Ok(heads.log_size > before.log_size),
            None => Ok(true),
        }
    }

    /// Takes a durable state.
    pub(super) fn raise(&self, heads: Heads) {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.is_none_or(|newest| newest.log_size < heads.log_size) {
            *newest = Some(heads);
        }
    }
}
