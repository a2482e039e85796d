//! What the log shows, and what is not there.

use credits::ledger::LOG_PAGE_ENTRIES_MAX;
use credits::merkle::{LogFrontier, empty_root, verify_consistency, verify_inclusion};
use credits::{Ledger, LedgerError, LogEntry, NoteFrontier};

use crate::cases::whole_log;
use crate::support::*;

pub(crate) async fn unknown_things_are_not_found<L: Ledger>(world: World<L>) {
    world.mint(1, 100).await;
    let spend = world.spend(1, 10).await;
    assert_eq!(world.ledger.journal(world.journal(&spend, 1)).await, Err(LedgerError::NotFound));
    assert_eq!(world.ledger.settle(world.settle(&spend, 1)).await, Err(LedgerError::NotFound));
    assert_eq!(world.ledger.log(2, 1).await, Err(LedgerError::NotFound));
    assert_eq!(world.ledger.checkpoint(2).await, Err(LedgerError::NotFound));
    assert_eq!(world.ledger.log(u64::MAX, 1).await, Err(LedgerError::NotFound));
    assert_eq!(world.ledger.checkpoint(u64::MAX).await, Err(LedgerError::NotFound));
    for limit in [0, LOG_PAGE_ENTRIES_MAX + 1] {
        assert_eq!(world.ledger.log(0, limit).await, Err(LedgerError::Malformed));
    }
    assert_eq!(world.ledger.log(1, 1).await.unwrap().entries, []);
}

pub(crate) async fn the_log_proves_itself<L: Ledger>(world: World<L>) {
    let first = world.ledger.checkpoint(0).await.unwrap().checkpoint;
    assert_eq!((first.log_size, first.log_root, first.note_count), (0, empty_root(), 0));
    let mut seen = vec![first];
    for number in 1..=9 {
        world.mint(number, 100).await;
        let spend = world.spend(u64::from(number), 10).await;
        let reservation = world.ledger.reserve(spend.clone()).await.unwrap();
        let leaf = LogEntry::Reserve(spend.entry()).leaf_hash();
        let at = &reservation.checkpoint;
        verify_inclusion(leaf, reservation.entry_index, at.log_size, &reservation.inclusion, &at.log_root).unwrap();
        seen.push(reservation.checkpoint);
        world.ledger.journal(world.journal(&spend, 5)).await.unwrap();
        seen.push(world.ledger.settle(world.settle(&spend, 5)).await.unwrap().checkpoint);
    }
    for old in &seen {
        old.verify(&world.info.ledger_key).unwrap();
        let answer = world.ledger.checkpoint(old.log_size).await.unwrap();
        let new = &answer.checkpoint;
        verify_consistency(old.log_size, new.log_size, &answer.consistency, &old.log_root, &new.log_root).unwrap();
    }
    let (mut log, mut notes) = (LogFrontier::new(), NoteFrontier::new());
    for entry in whole_log(&world).await {
        log.append(entry.leaf_hash());
        if let Some((index, leaf)) = entry.appended_note() {
            assert_eq!(notes.append(leaf), Ok(index));
        }
    }
    let newest = world.ledger.checkpoint(0).await.unwrap().checkpoint;
    assert_eq!((log.size(), log.root()), (newest.log_size, newest.log_root));
    assert_eq!((notes.len(), notes.root()), (newest.note_count, newest.note_root));
    assert_eq!(newest.note_count, 18);
}
