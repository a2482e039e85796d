//! Pages that are not the ledger's newest, with its signature, shown to devices that have seen more.

use credits::{Blind, Bytes32, Checkpoint, LogEntry, LogPage, MintEntry, UnsignedCheckpoint};

use super::checks::is_contradiction;
use super::device::choose;
use super::invariant::{Invariant, Violation};
use super::world::World;
use crate::support::{credits, ledger_key};

impl World {
    /// A page from before what the device has seen.
    pub(super) fn show_old(&mut self, device: usize, pick: u64) -> Result<(), Violation> {
        let seen = self.devices[device].wallet().state().newest_seen().map_or(0, |newest| newest.log_size);
        let old: Vec<_> = self.pages.iter().filter(|page| page.checkpoint.log_size < seen).cloned().collect();
        let Some(page) = choose(&old, pick) else { return Ok(()) };
        let page = page.clone();
        self.show(device, &page)
    }

    /// The newest log that a device has seen, with one entry changed, and signed by the ledger.
    pub(super) fn show_fork(&mut self, device: usize, pick: u64) -> Result<(), Violation> {
        let Some(seen) = self.devices[device].wallet().state().newest_seen().cloned() else { return Ok(()) };
        let from = self.devices[device].wallet().next_entry();
        let Ok(page) = self.books.log(from, 1000) else { return Ok(()) };
        let mut entries: Vec<_> = page.entries;
        entries.truncate(usize::try_from(seen.log_size - from).unwrap());
        let mut log_root = seen.log_root;
        log_root.0[0] ^= u8::try_from(1 + pick % 255).unwrap();
        let mut unsigned = UnsignedCheckpoint {
            ledger_id: seen.ledger_id,
            log_size: seen.log_size,
            log_root,
            note_count: seen.note_count,
            note_root: seen.note_root,
            time: seen.time,
        };
        if pick.is_multiple_of(2) && !entries.is_empty() {
            // Longer than what was seen, and not its continuation.
            entries.remove(0);
            entries.push(LogEntry::Mint(other_mint(&self.books.info.ledger_id, pick)));
            unsigned.log_size += 1;
        }
        let page = LogPage { entries, checkpoint: Checkpoint::sign(unsigned, &ledger_key()) };
        self.show(device, &page)
    }

    fn show(&mut self, device: usize, page: &LogPage) -> Result<(), Violation> {
        let refused = self.devices[device].is_shown(page)?;
        self.count(&format!("view: {}", refused.code()));
        let code = refused.code();
        Invariant::HostileViewsRefused.require(is_contradiction(&refused), || format!("refused as {code}"))
    }
}

/// A mint that the ledger never made.
fn other_mint(ledger_id: &Bytes32, mint_seq: u64) -> MintEntry {
    let (pk, b) = (credits::NotePublicKey(credits::Fe::from(5)), credits::Fe::from(6));
    let (value, rho) = (credits(7), credits::note::mint_rho(*ledger_id, mint_seq));
    let leaf = credits::note::leaf(credits::note::inner(pk, value, rho, Blind(b)), credits::Credits::ZERO);
    MintEntry { mint_seq, value, pk, rho, b, leaf_index: 0, leaf, voucher_id: Bytes32([0xee; 32]) }
}
