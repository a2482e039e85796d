//! What the log shows, and what is not there.

use credits::ledger::LOG_PAGE_ENTRIES_MAX;
use credits::merkle::{LogFrontier, empty_root, verify_consistency, verify_inclusion};
use credits::note::{Blind, inner, leaf, mint_rho};
use credits::{Credits, Ledger, LedgerError, LogEntry, MintOutput, NoteFrontier, RedeemRequest, Root};

use super::support::*;

pub(crate) async fn whole_log<L: Ledger>(world: &World<L>) -> Vec<LogEntry> {
    let mut entries = Vec::new();
    loop {
        let from = u64::try_from(entries.len()).unwrap();
        let page = world.ledger.log(from, 7).await.unwrap();
        entries.extend(page.entries);
        if u64::try_from(entries.len()).unwrap() == page.checkpoint.log_size {
            return entries;
        }
    }
}

/// The root of the note tree once [`World::mint`] has made one more note of this value.
pub(crate) async fn root_after_mint<L: Ledger>(world: &World<L>, value: u64) -> Root {
    let (mut notes, mut mints) = (NoteFrontier::new(), 0);
    for entry in whole_log(world).await {
        if let Some((_, leaf)) = entry.appended_note() {
            notes.append(leaf).unwrap();
        }
        mints += u64::from(matches!(entry, LogEntry::Mint(_)));
    }
    let MintOutput { pk, value, b } = output(1, value);
    let rho = mint_rho(world.info.ledger_id, mints);
    notes.append(leaf(inner(pk, value, rho, Blind(b)), Credits::ZERO)).unwrap();
    notes.root()
}

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

/// Many at once share transactions, signatures and hashes; repeats and refusals among them shift what was foreseen.
pub(crate) async fn what_a_crowd_is_answered_is_in_the_log<L: Ledger + Send + Sync + 'static>(world: World<L>) {
    let redeem = |number: u8, first: u64| {
        let outputs = vec![output(first, 60), output(first + 1, 40)];
        let request = RedeemRequest { voucher: world.voucher(number, 100).to_text(), outputs };
        let ledger = std::sync::Arc::clone(&world.ledger);
        tokio::spawn(async move { ledger.redeem(request).await })
    };
    let (mut redeems, mut minted) = (Vec::new(), 0);
    for number in 1..=80 {
        redeems.push((number, redeem(number, 2 * u64::from(number))));
        if number % 4 == 0 {
            redeems.push((number, redeem(number, 2 * u64::from(number))));
            redeems.push((number, redeem(number, 1_000)));
        }
    }
    let mut redeemed = Vec::new();
    for (number, answer) in redeems {
        match answer.await.unwrap() {
            Ok(answer) => redeemed.push((number, answer)),
            Err(error) => assert_eq!((error, number % 4), (LedgerError::VoucherUsed, 0)),
        }
    }
    let log = whole_log(&world).await;
    for (number, answer) in redeemed {
        answer.checkpoint.verify(&world.info.ledger_key).unwrap();
        assert_eq!(answer.entries.len(), 2);
        for entry in answer.entries {
            assert_eq!(entry.voucher_id, world.voucher(number, 100).voucher_id);
            assert_eq!(entry.rho, mint_rho(world.info.ledger_id, entry.mint_seq));
            assert_eq!(entry.leaf, leaf(inner(entry.pk, entry.value, entry.rho, Blind(entry.b)), Credits::ZERO));
            let position = log.iter().position(|logged| *logged == LogEntry::Mint(entry.clone())).unwrap();
            assert!(u64::try_from(position).unwrap() < answer.checkpoint.log_size);
            minted += 1;
        }
    }
    assert!(minted >= log.len(), "{minted} answered, {} recorded", log.len());
    assert_eq!(log.len(), 160);

    let root = world.root().await;
    let spends: Vec<_> = (0..60).map(|number| world.spend_under(root, number, 100)).collect();
    for spend in &spends {
        world.ledger.reserve(spend.clone()).await.unwrap();
    }
    let settles = spends.iter().chain(spends.iter().step_by(5)).map(|spend| {
        let (request, ledger) = (world.settle(spend, 30), std::sync::Arc::clone(&world.ledger));
        (spend, tokio::spawn(async move { ledger.settle(request).await }))
    });
    let settles: Vec<_> = settles.collect();
    let mut answers = Vec::new();
    for (spend, answer) in settles {
        answers.push((spend, answer.await.unwrap().unwrap()));
    }
    let log = whole_log(&world).await;
    for (spend, answer) in answers {
        let at = &answer.checkpoint;
        at.verify(&world.info.ledger_key).unwrap();
        let entry = &log[usize::try_from(answer.entry_index).unwrap()];
        verify_inclusion(entry.leaf_hash(), answer.entry_index, at.log_size, &answer.inclusion, &at.log_root).unwrap();
        let LogEntry::Settle(entry) = entry else { panic!("{entry:?}") };
        assert_eq!((entry.nullifier, entry.charge, entry.refund), (spend.nullifier, credits(30), credits(70)));
        assert_eq!((entry.leaf, answer.leaf), (leaf(spend.inner_next, credits(70)), entry.leaf));
    }
}
