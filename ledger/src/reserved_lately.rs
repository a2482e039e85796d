//! What the spends of late were reserved as, so that their running totals and settlements need not read them first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use credits::state::ReservedSpend;
use credits::{Bytes32, Credits, Inner, Nullifier, ReserveRequest};

/// Most spends that are remembered: some megabytes, and more than are open at once.
const REMEMBERED_MAX: usize = 1 << 16;

/// What never changes about a spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReservedAs {
    pub(crate) settle_key: Bytes32,
    pub(crate) inner_next: Inner,
    pub(crate) c_max: Credits,
}

impl From<&ReserveRequest> for ReservedAs {
    fn from(request: &ReserveRequest) -> Self {
        let ReserveRequest { inner_next, c_max, context, .. } = request;
        Self { settle_key: context.settle_key, inner_next: *inner_next, c_max: *c_max }
    }
}

impl From<&ReservedSpend> for ReservedAs {
    fn from(spend: &ReservedSpend) -> Self {
        let ReservedSpend { inner_next, c_max, context, .. } = spend;
        Self { settle_key: context.settle_key, inner_next: *inner_next, c_max: *c_max }
    }
}

/// The spends that were recorded, or asked for, last.
///
/// Nothing is decided on it: the transaction compares all of it with the record again. What is remembered wrongly could refuse, never
/// allow.
#[derive(Default)]
pub(crate) struct ReservedLately(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    spends: HashMap<Nullifier, ReservedAs>,
    /// The same nullifiers, earliest first.
    order: VecDeque<Nullifier>,
}

impl ReservedLately {
    pub(crate) fn get(&self, nullifier: &Nullifier) -> Option<ReservedAs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).spends.get(nullifier).copied()
    }

    /// Remembers a spend that is recorded, and forgets the earliest when they are too many.
    pub(crate) fn remember(&self, nullifier: Nullifier, reserved: ReservedAs) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.spends.insert(nullifier, reserved).is_some() {
            return;
        }
        remembered.order.push_back(nullifier);
        if remembered.order.len() > REMEMBERED_MAX
            && let Some(earliest) = remembered.order.pop_front()
        {
            remembered.spends.remove(&earliest);
        }
    }
}

#[cfg(test)]
mod tests {
    use credits::Fe;

    use super::*;

    #[test]
    fn the_earliest_are_forgotten() {
        let lately = ReservedLately::default();
        let nullifier = |number: usize| Nullifier(Fe::from(u64::try_from(number).unwrap()));
        let reserved =
            |key| ReservedAs { settle_key: Bytes32([key; 32]), inner_next: Inner(Fe::ZERO), c_max: Credits::ZERO };
        for number in 0..=REMEMBERED_MAX {
            lately.remember(nullifier(number), reserved(1));
            lately.remember(nullifier(number), reserved(2));
        }
        assert_eq!(lately.get(&nullifier(0)), None);
        assert_eq!(lately.get(&nullifier(1)), Some(reserved(2)));
        assert_eq!(lately.get(&nullifier(REMEMBERED_MAX)), Some(reserved(2)));
        let remembered = lately.0.lock().unwrap();
        assert_eq!((remembered.spends.len(), remembered.order.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
    }
}
