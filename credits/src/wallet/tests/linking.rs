//! How well an adversary who sees all that ledger and nodes see can tell which spends are one wallet's.
//!
//! He sees the log: deposits, reservations with their root, settlements, in their order. He knows how wallets choose notes and
//! roots. What he wants is an earlier settlement of the same wallet: the one whose leaf a spend spent, or the wallet's last one.
//! His guess is the best of several rules, each tried on all spends: the leaf at some distance from the root's edge, on either
//! side, or from the newest leaf at the moment of the spend. Reserves and prices are the same for all here, so amounts tell nothing.

use super::*;
use crate::entry::LogEntry;
use crate::tree::{ANCHOR_STEP, spent_under};

const CLIENTS: usize = 10_000;
const LANES: u64 = 4;
const SPENDS_PER_CLIENT: usize = 4;
/// Seconds over which clients appear; a tab is open for up to a tenth of an hour, and the next follows within an hour.
const DAY: u64 = 86_400;
const TAB_SECS: u64 = 360;
const PAUSE_SECS: u64 = 3_600;
const RESERVE: u64 = 1_024;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A note: its leaf, and its worth, which only its owner knows.
#[derive(Clone, Copy)]
struct Held {
    worth: u64,
    index: u64,
}

/// What the adversary sees of a spend, and, for scoring, what he looks for.
struct Seen {
    /// How many leaves its root is over.
    under: u64,
    /// How many leaves there are when it is seen.
    now: u64,
    /// The leaf it spent, if a settlement made it.
    spent: Option<u64>,
    /// The leaf of the wallet's last settlement.
    last: Option<u64>,
}

/// When a wallet fixes what it spends next.
#[derive(Clone, Copy, PartialEq)]
enum Proves {
    /// Right after the settlement before, as one does that keeps a proof ready.
    Ahead,
    /// When it needs the tab.
    AtNeed,
}

/// One day of all clients on one ledger. `under` says how many leaves the root is over that a note is spent under.
fn day(under: fn(u64, u64) -> u64, proves: Proves) -> Vec<Seen> {
    let mut dice = Dice(7);
    let mut leaves: u64 = 0;
    let mut events: std::collections::BTreeSet<(u64, usize, bool)> = Default::default();
    let mut held: Vec<Vec<Held>> = Vec::new();
    let mut minted = 0;
    for client in 0..CLIENTS {
        let deposit = 4 * RESERVE + 1_024 * dice.below(4);
        held.push((0..LANES).map(|lane| Held { worth: deposit, index: leaves + lane }).collect());
        leaves += LANES;
        minted = leaves;
        events.insert((dice.below(DAY), client, true));
    }
    // The wallet's own rule, as in `Wallet::pick`.
    let pick = |notes: &mut Vec<Held>, leaves: u64| {
        let sufficient = notes.iter().enumerate().filter(|(_, note)| note.worth >= RESERVE);
        let best = sufficient.min_by_key(|(_, note)| (under(leaves, note.index) == leaves, note.worth, note.index));
        best.map(|(at, _)| at).map(|at| notes.swap_remove(at)).map(|note| (note, under(leaves, note.index)))
    };
    let mut seen = Vec::new();
    let mut ready: Vec<Option<(Held, u64)>> = vec![None; CLIENTS];
    let mut open: Vec<Option<Held>> = vec![None; CLIENTS];
    let mut spends = vec![0; CLIENTS];
    let mut last = vec![None; CLIENTS];
    while let Some((time, client, opens)) = events.pop_first() {
        if opens {
            let Some((note, under)) = ready[client].take().or_else(|| pick(&mut held[client], leaves)) else {
                continue;
            };
            let spent = (note.index >= minted).then_some(note.index);
            seen.push(Seen { under, now: leaves, spent, last: last[client] });
            open[client] = Some(note);
            events.insert((time + 1 + dice.below(TAB_SECS), client, false));
        } else {
            let charge = 1 + dice.below(RESERVE);
            let worth = open[client].take().unwrap().worth - charge;
            held[client].push(Held { worth, index: leaves });
            last[client] = Some(leaves);
            leaves += 1;
            spends[client] += 1;
            if proves == Proves::Ahead {
                ready[client] = pick(&mut held[client], leaves);
            }
            if spends[client] < SPENDS_PER_CLIENT {
                events.insert((time + 1 + dice.below(PAUSE_SECS), client, true));
            }
        }
    }
    seen
}

/// Of a thousand spends that follow others of their wallet, those for which the best of the adversary's rules finds one.
fn linked(seen: &[Seen]) -> usize {
    let near = 2 * i64::try_from(ANCHOR_STEP).unwrap();
    let distances: Vec<i64> = (-near..near).chain([200, 400, 800, 1_600, 3_200]).collect();
    let of = |target: fn(&Seen) -> Option<u64>| {
        let follow: Vec<&Seen> = seen.iter().filter(|spend| target(spend).is_some()).collect();
        assert!(follow.len() > CLIENTS / 2, "{} spends follow others", follow.len());
        let hits = |from: fn(&Seen) -> u64, back: i64| {
            follow.iter().filter(|spend| from(spend).checked_add_signed(-1 - back) == target(spend)).count()
        };
        let edge = distances.iter().map(|back| hits(|spend| spend.under, *back)).max().unwrap();
        let now = distances.iter().map(|back| hits(|spend| spend.now, *back)).max().unwrap();
        1_000 * edge.max(now) / follow.len()
    };
    of(|spend| spend.spent).max(of(|spend| spend.last))
}

#[test]
fn spends_are_told_apart_by_their_roots_unless_wallets_share_anchors() {
    let newest = |leaves: u64, _: u64| leaves;
    let ahead = linked(&day(newest, Proves::Ahead));
    assert!(ahead > 900, "the measure works: under the newest root {ahead} of a thousand are found");
    let anchored = linked(&day(spent_under, Proves::Ahead));
    assert!(anchored < 30, "under shared anchors {anchored} of a thousand are found");
    let at_need = linked(&day(spent_under, Proves::AtNeed));
    assert!(at_need < 30, "proved at need {at_need} of a thousand are found");
}

/// The wallet does what the simulation says of it.
#[test]
fn wallets_spend_under_the_newest_anchor() {
    let mut ledger = FakeLedger::new();
    let mut wallet = funded(&mut ledger, 1_000, 2);
    let mut stranger = Wallet::new(WalletSeed::from_bytes([0x77; 32]), &ledger.info());
    let step = usize::try_from(ANCHOR_STEP).unwrap();
    let root_over = |ledger: &FakeLedger, len: usize| {
        let mut tree = crate::tree::NoteTree::new();
        ledger.entries.iter().filter_map(LogEntry::appended_note).take(len).for_each(|(_, leaf)| {
            tree.append(leaf).unwrap();
        });
        tree.root()
    };
    let grow = |ledger: &mut FakeLedger, stranger: &mut Wallet, count: u32| {
        for _ in 0..count {
            ledger.redeem(&stranger.deposit_outputs(credits(5), 1).unwrap());
        }
    };
    // Younger than any anchor: under the newest root.
    let spend = wallet.prepare_spend(credits(128), inputs(&ledger, 500)).unwrap();
    assert_eq!(spend.public.root, root_over(&ledger, 2));
    ledger.reserve(&spend).unwrap();
    grow(&mut ledger, &mut stranger, u32::try_from(step).unwrap());
    ledger.settle(spend.public.nullifier, credits(1));
    ledger.sync(&mut wallet);
    // The successor is the smaller note, and the newest leaf; the other note, which the anchor has, goes first.
    let spend = wallet.prepare_spend(credits(128), inputs(&ledger, 500)).unwrap();
    assert_eq!(spend.public.root, root_over(&ledger, step));
    assert_eq!(spend.witness.note.value, credits(500));
    // Only what no anchor has is left: it is spent all the same.
    let late = wallet.prepare_spend(credits(128), inputs(&ledger, 500)).unwrap();
    assert_eq!(late.public.root, root_over(&ledger, step + 3));
    // Once the next anchor has it, the same pending spend is proved under that.
    grow(&mut ledger, &mut stranger, u32::try_from(step).unwrap());
    ledger.sync(&mut wallet);
    let again = wallet.prepared(late.public.nullifier).unwrap();
    assert_eq!(again.public.root, root_over(&ledger, 2 * step));
    assert_eq!(again.public.ctx, late.public.ctx);
    // By now the ledger takes it under that root only.
    assert_eq!(ledger.reserve(&late), Err("spend.root_unknown"));
    ledger.reserve(&again).unwrap();
}
