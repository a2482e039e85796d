//! Receipts of this boot, for lookup by their own id or by that of the answer. In memory, bounded: the oldest give way.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use attestation::Receipt;
use credits::Nullifier;

/// A store of so many receipts. A stranger's receipt is as absent as one that never was.
#[derive(Debug)]
pub struct ReceiptStore {
    capacity: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    by_id: HashMap<String, (Nullifier, Arc<Receipt>)>,
    /// Id of an answer → id of its receipt.
    by_answer: HashMap<String, String>,
    order: VecDeque<String>,
}

impl ReceiptStore {
    /// An empty store.
    #[must_use]
    pub fn of(capacity: usize) -> Self {
        Self { capacity, held: Mutex::default() }
    }

    /// Keeps a receipt of a tab.
    pub fn keep(&self, tab: Nullifier, receipt: Arc<Receipt>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = &receipt.chat_id {
            held.by_answer.insert(answer.clone(), receipt.receipt_id.clone());
        }
        held.order.push_back(receipt.receipt_id.clone());
        held.by_id.insert(receipt.receipt_id.clone(), (tab, receipt));
        if held.order.len() > self.capacity
            && let Some(oldest) = held.order.pop_front()
            && let Some((_, receipt)) = held.by_id.remove(&oldest)
            && let Some(answer) = &receipt.chat_id
        {
            held.by_answer.remove(answer);
        }
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
    use credits::Nullifier;

    use super::ReceiptStore;

    #[test]
    fn receipts_are_found_by_both_ids_by_their_own_tab_until_they_give_way() {
        let key = ReceiptKey::generate().unwrap();
        let digest = Sha256Digest([0; 32]);
        let (mine, theirs): (Nullifier, Nullifier) =
            ("01".repeat(32).parse().unwrap(), "02".repeat(32).parse().unwrap());
        let store = ReceiptStore::of(2);
        for number in 0..3 {
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
            store.keep(mine, Arc::new(receipt.sign(&key).unwrap()));
        }
        for id in ["rcpt-0", "chatcmpl-0", "rcpt-9", ""] {
            assert!(store.find(&mine, id).is_none(), "{id}");
        }
        for id in ["rcpt-1", "chatcmpl-1", "chatcmpl-2"] {
            assert!(store.find(&mine, id).is_some() && store.find(&theirs, id).is_none(), "{id}");
        }
        assert_eq!(store.find(&mine, "chatcmpl-2").unwrap().receipt_id, "rcpt-2");
    }
}
