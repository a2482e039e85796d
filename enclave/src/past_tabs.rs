//! Which spends had a tab in this boot that is gone.
//!
//! For each of them one charge was signed at most, and whoever signs another loses what answers for him (`credits::fault`). The wall
//! clock says when a tab ends, and the host says what the wall clock says: so a spend is remembered by the other clock.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use credits::Nullifier;

/// How long a spend is remembered after its tab: longer than a request waits, and than a clock is corrected by that was not set to do
/// harm. About a hundred bytes each.
const PAST_TABS_KEPT: Duration = Duration::from_secs(24 * 3600);

/// The spends.
#[derive(Debug, Default)]
pub(crate) struct PastTabs {
    known: HashSet<Nullifier>,
    /// Oldest first.
    by_age: VecDeque<(Instant, Nullifier)>,
}

impl PastTabs {
    pub(crate) fn has(&self, id: &Nullifier) -> bool {
        self.known.contains(id)
    }

    /// Remembers one, and forgets those that are old enough.
    pub(crate) fn add(&mut self, id: Nullifier, now: Instant) {
        while let Some((_, old)) = self.by_age.pop_front_if(|(ended, _)| now.duration_since(*ended) >= PAST_TABS_KEPT) {
            self.known.remove(&old);
        }
        if self.known.insert(id) {
            self.by_age.push_back((now, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use credits::Fe;

    use super::*;

    #[test]
    fn a_spend_is_remembered_for_its_time() {
        let id = |number: u64| Nullifier(Fe::from(number));
        let (mut past, began) = (PastTabs::default(), Instant::now());
        past.add(id(1), began);
        past.add(id(1), began + Duration::from_secs(1));
        past.add(id(2), began + Duration::from_secs(2));
        assert!(past.has(&id(1)) && past.has(&id(2)) && !past.has(&id(3)));
        past.add(id(3), began + PAST_TABS_KEPT);
        assert!(!past.has(&id(1)) && past.has(&id(2)) && past.has(&id(3)));
    }
}
