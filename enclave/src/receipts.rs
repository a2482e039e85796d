//! Receipts of this boot, for lookup by their own id or by that of the answer. In memory, bounded: the oldest give way.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use attestation::Receipt;
use credits::{Bytes32, Nullifier};

/// A store of so many receipts, and so many of one tab. A stranger's receipt is as absent as one that never was.
#[derive(Debug)]
pub struct ReceiptStore {
    capacity: usize,
    per_tab: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    by_id: HashMap<String, (Nullifier, Arc<Receipt>)>,
    by_tab: HashMap<Nullifier, OfTab>,
    /// Id of an answer → id of its receipt.
    by_answer: HashMap<String, String>,
    order: VecDeque<String>,
}

/// A tab that has receipts here. It may have ended; whoever has its key may still fetch them.
#[derive(Debug)]
struct OfTab {
    key: Bytes32,
    /// Ids of its receipts, oldest first.
    ids: VecDeque<String>,
}

impl Held {
    fn forget(&mut self, id: &str) {
        let Some((tab, receipt)) = self.by_id.remove(id) else { return };
        if let Some(answer) = &receipt.chat_id {
            self.by_answer.remove(answer);
        }
        remove(&mut self.order, id);
        if let Entry::Occupied(mut of_tab) = self.by_tab.entry(tab) {
            remove(&mut of_tab.get_mut().ids, id);
            if of_tab.get().ids.is_empty() {
                of_tab.remove();
            }
        }
    }
}

/// It is nearly always the oldest.
fn remove(ids: &mut VecDeque<String>, id: &str) {
    if ids.front().is_some_and(|oldest| oldest == id) {
        ids.pop_front();
    } else {
        ids.retain(|other| other != id);
    }
}

impl ReceiptStore {
    /// An empty store.
    #[must_use]
    pub fn of(capacity: usize, per_tab: usize) -> Self {
        Self { capacity, per_tab, held: Mutex::default() }
    }

    /// Keeps a receipt of a tab, which is fetched with this key.
    pub fn keep(&self, tab: Nullifier, key: Bytes32, receipt: Arc<Receipt>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = &receipt.chat_id {
            held.by_answer.insert(answer.clone(), receipt.receipt_id.clone());
        }
        let id = receipt.receipt_id.clone();
        held.by_id.insert(id.clone(), (tab, receipt));
        held.order.push_back(id.clone());
        let ids = &mut held.by_tab.entry(tab).or_insert_with(|| OfTab { key, ids: VecDeque::new() }).ids;
        ids.push_back(id);
        let oldest = if ids.len() > self.per_tab { ids.front().cloned() } else { None };
        let oldest =
            oldest.or_else(|| if held.order.len() > self.capacity { held.order.front().cloned() } else { None });
        if let Some(oldest) = oldest {
            held.forget(&oldest);
        }
    }

    /// The key of a tab that has receipts here.
    #[must_use]
    pub fn tab_key(&self, tab: &Nullifier) -> Option<Bytes32> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.by_tab.get(tab).map(|of_tab| of_tab.key)
    }

    /// The receipt with this id, or of the answer with it, if it belongs to `tab`.
    #[must_use]
    pub fn find(&self, tab: &Nullifier, id: &str) -> Option<Arc<Receipt>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let id = held.by_answer.get(id).map_or(id, String::as_str);
        held.by_id.get(id).filter(|(owner, _)| owner == tab).map(|(_, receipt)| Arc::clone(receipt))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Arc;

    use attestation::{Event, ReceiptKey, Sha256Digest, UnixTime, UnsignedReceipt};
    use credits::{Bytes32, Nullifier};

    use super::ReceiptStore;

    #[test]
    fn receipts_are_found_by_both_ids_by_their_own_tab_until_they_give_way() {
        let key = ReceiptKey::generate().unwrap();
        let digest = Sha256Digest([0; 32]);
        let (mine, theirs): (Nullifier, Nullifier) =
            ("01".repeat(32).parse().unwrap(), "02".repeat(32).parse().unwrap());
        let store = ReceiptStore::of(3, 2);
        let receipt = |number: u32| {
            let receipt = UnsignedReceipt {
                receipt_id: format!("rcpt-{number}"),
                chat_id: Some(format!("chatcmpl-{number}")),
                model: None,
                workload_keyset_digest: digest,
                endpoint: "/v1/chat/completions".to_owned(),
                method: "POST".to_owned(),
                served_at: UnixTime(0),
                event_log: vec![Event::RequestReceived { body_hash: digest }],
            };
            Arc::new(receipt.sign(&key).unwrap())
        };
        for number in 0..3 {
            store.keep(mine, Bytes32([1; 32]), receipt(number));
        }
        for id in ["rcpt-0", "chatcmpl-0", "rcpt-9", ""] {
            assert!(store.find(&mine, id).is_none(), "{id}");
        }
        for id in ["rcpt-1", "chatcmpl-1", "chatcmpl-2"] {
            assert!(store.find(&mine, id).is_some() && store.find(&theirs, id).is_none(), "{id}");
        }
        assert_eq!(store.find(&mine, "chatcmpl-2").unwrap().receipt_id, "rcpt-2");
        // A tab that has many makes its own give way, and only then, all together, somebody's oldest.
        for number in 3..9 {
            store.keep(theirs, Bytes32([2; 32]), receipt(number));
        }
        let held: Vec<u32> = (0..9)
            .filter(|number| [mine, theirs].iter().any(|tab| store.find(tab, &format!("rcpt-{number}")).is_some()))
            .collect();
        assert_eq!(held, [2, 7, 8]);
        // A tab's key is known as long as it has receipts.
        assert_eq!(store.tab_key(&mine), Some(Bytes32([1; 32])));
        for number in 9..12 {
            store.keep("03".repeat(32).parse().unwrap(), Bytes32([3; 32]), receipt(number));
        }
        assert_eq!((store.tab_key(&mine), store.tab_key(&theirs)), (None, Some(Bytes32([2; 32]))));
    }
}
