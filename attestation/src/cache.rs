//! What was verified once need not be verified again: a bounded store keyed by a digest of every input.
//!
//! Decides: nothing. Only successes are kept, and only facts that do not depend on time: dates are checked at every
//! use. The key covers every byte that led to the result, roots included, so a hit means the same question.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Results kept per kind; the oldest goes first.
const ENTRIES_MAX: usize = 256;

/// A bounded map from the digest of all inputs to the verified result.
#[derive(Debug)]
pub(crate) struct Store<V> {
    inner: Mutex<Inner<V>>,
}

#[derive(Debug)]
struct Inner<V> {
    results: HashMap<[u8; 32], Arc<V>>,
    order: VecDeque<[u8; 32]>,
}

impl<V> Default for Store<V> {
    fn default() -> Self {
        Self { inner: Mutex::new(Inner { results: HashMap::new(), order: VecDeque::new() }) }
    }
}

impl<V> Store<V> {
    /// The stored result under `key`, or the one `verify` gives, which is then stored.
    pub(crate) fn get_or_verify<E>(&self, key: [u8; 32], verify: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        if let Some(found) = self.lock().results.get(&key) {
            return Ok(Arc::clone(found));
        }
        // Not under the lock: verification is slow, and doing it twice is harmless.
        let verified = Arc::new(verify()?);
        let mut inner = self.lock();
        if inner.results.insert(key, Arc::clone(&verified)).is_none() {
            inner.order.push_back(key);
        }
        while inner.order.len() > ENTRIES_MAX {
            if let Some(oldest) = inner.order.pop_front() {
                inner.results.remove(&oldest);
            }
        }
        Ok(verified)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner<V>> {
        // A panic elsewhere cannot leave a half-made entry: insertion is the last step.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_successes_are_kept_and_the_oldest_goes_first() {
        let store: Store<u32> = Store::default();
        let key = |number: u32| {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_be_bytes());
            key
        };
        assert_eq!(store.get_or_verify(key(0), || Err::<u32, _>("no")).unwrap_err(), "no");
        assert_eq!(*store.get_or_verify(key(0), || Ok::<_, ()>(7)).unwrap(), 7);
        assert_eq!(*store.get_or_verify(key(0), || Err::<u32, _>(())).unwrap(), 7, "a hit verifies nothing");
        for number in 1..=256 {
            store.get_or_verify(key(number), || Ok::<_, ()>(number)).unwrap();
        }
        assert!(store.get_or_verify(key(0), || Err::<u32, _>(())).is_err(), "the oldest is gone");
        assert_eq!(*store.get_or_verify(key(1), || Err::<u32, _>(())).unwrap(), 1);
    }
}
