//! The hashes of a batch's mints, worked out by all processors before the writer, which is one thread, comes to them.
//!
//! A mint's leaf depends on its number, which is known only when it is its turn. Here the numbers are foreseen, as if none of the
//! redemptions before it were refused or a repeat; where that is wrong the writer works the leaf out itself.

use std::sync::LazyLock;
use std::thread;

use credits::note::{Blind, inner, leaf, mint_rho};
use credits::{Bytes32, Credits, Fe, Leaf, MintOutput};

use crate::transitions::{Op, VerifiedRedeem};

/// Fewer redemptions than this take less time than it takes to start a thread.
const WORTH_A_THREAD: usize = 16;

/// What is hashed of a mint with one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HashedMint {
    pub(crate) mint_seq: u64,
    pub(crate) rho: Fe,
    pub(crate) leaf: Leaf,
}

impl HashedMint {
    pub(crate) fn new(ledger_id: Bytes32, mint_seq: u64, output: &MintOutput) -> Self {
        let MintOutput { pk, value, b } = *output;
        let rho = mint_rho(ledger_id, mint_seq);
        Self { mint_seq, rho, leaf: leaf(inner(pk, value, rho, Blind(b)), Credits::ZERO) }
    }
}

/// Hashes the mints of a batch whose first has this number, when they are many.
pub(crate) fn hash_mints(ops: &[Op], mut mint_seq: u64, ledger_id: Bytes32) {
    static PROCESSORS: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));
    let mut redeems = Vec::new();
    for op in ops {
        if let Op::Redeem(redeem) = op {
            redeems.push((redeem, mint_seq));
            mint_seq = mint_seq.saturating_add(u64::try_from(redeem.output_count()).unwrap_or(u64::MAX));
        }
    }
    let share = redeems.len().div_ceil(*PROCESSORS).max(WORTH_A_THREAD);
    let mut shares = redeems.chunks(share);
    // The writer's own share.
    let Some(own) = shares.next() else { return };
    let hash = |share: &[(&VerifiedRedeem, u64)]| {
        share.iter().for_each(|(redeem, first)| redeem.hash_ahead(ledger_id, *first))
    };
    thread::scope(|scope| {
        for share in shares {
            // Without the thread they are hashed when it is their turn.
            let spawned =
                thread::Builder::new().name("ledger-hashes".to_owned()).spawn_scoped(scope, move || hash(share));
            if spawned.is_err() {
                return;
            }
        }
        hash(own);
    });
}

#[cfg(test)]
mod tests {
    use credits::{NotePublicKey, RedeemRequest, SigningKey, Voucher};

    use super::*;
    use crate::identity::{EXAMPLE_KEY, example};

    #[test]
    fn every_mint_of_a_batch_is_hashed_with_its_number() {
        let (admin, identity) = (SigningKey::from_seed(&EXAMPLE_KEY), example());
        let info = identity.info();
        for count in [0, 1, 15, 16, 17, 40, 255] {
            let ops: Vec<_> = (0..count)
                .map(|number: u8| {
                    let output = |b| MintOutput {
                        pk: NotePublicKey(Fe::from(5)),
                        value: Credits::new(1).unwrap(),
                        b: Fe::from(b),
                    };
                    let outputs: Vec<_> = (0..=u64::from(number % 3)).map(output).collect();
                    let value = Credits::checked_sum(outputs.iter().map(|output| output.value)).unwrap();
                    let voucher = Voucher::issue(&admin, info.ledger_id, Bytes32([number; 32]), value).to_text();
                    Op::Redeem(VerifiedRedeem::verify(RedeemRequest { voucher, outputs }, info).unwrap())
                })
                .collect();
            hash_mints(&ops, 7, info.ledger_id);
            let mut mint_seq = 7;
            for op in &ops {
                let Op::Redeem(redeem) = op else { unreachable!() };
                for hashed in redeem.hashed_ahead() {
                    assert_eq!(hashed.mint_seq, mint_seq);
                    mint_seq += 1;
                }
            }
            let outputs: u64 = (0..u64::from(count)).map(|number| number % 3 + 1).sum();
            assert_eq!(mint_seq, 7 + outputs, "{count}");
        }
    }
}
