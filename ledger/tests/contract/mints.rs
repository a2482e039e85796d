//! Vouchers become notes, once, and no more of them than there may be.

use std::collections::BTreeSet;
use std::sync::Arc;

use credits::value::CREDITS_MAX;
use credits::{Bytes32, Credits, Ledger, LedgerError, RedeemRequest, SigningKey, Voucher, note};

use super::support::*;

pub(crate) async fn n36_mint_rules<L: Ledger>(world: World<L>) {
    let redeem = |voucher: &Voucher, outputs: &[u64]| {
        let outputs = (0..).zip(outputs).map(|(number, value)| output(number, *value)).collect();
        world.ledger.redeem(RedeemRequest { voucher: voucher.to_text(), outputs })
    };
    let voucher = world.voucher(1, 100);
    for outputs in [&[][..], &[99], &[101], &[50, 51], &[100, 0], &[0], &[12, 11, 11, 11, 11, 11, 11, 11, 11]] {
        let refused = redeem(&voucher, outputs).await.map(|_| ());
        assert_eq!(refused, Err(LedgerError::OutputsMismatch), "{outputs:?}");
    }
    let forged = Voucher::issue(&SigningKey::from_seed(&[9; 32]), world.info.ledger_id, Bytes32([1; 32]), credits(100));
    let other = Voucher::issue(&admin_key(), Bytes32([1; 32]), Bytes32([1; 32]), credits(100));
    let raised = Voucher { value: credits(101), ..voucher.clone() };
    for (voucher, value) in [(forged, 100), (other, 100), (raised, 101)] {
        assert_eq!(redeem(&voucher, &[value]).await.map(|_| ()), Err(LedgerError::VoucherInvalid));
    }
    let worthless = world.voucher(2, 0);
    assert_eq!(redeem(&worthless, &[0]).await.map(|_| ()), Err(LedgerError::OutputsMismatch));
    assert_eq!(world.log_size().await, 0);

    // Equal outputs, in one voucher and in two, are notes of their own: rho never repeats.
    let equal = vec![output(1, 50), output(1, 50)];
    let mut seen = BTreeSet::new();
    for number in [1, 3] {
        let voucher = world.voucher(number, 100).to_text();
        let response = world.ledger.redeem(RedeemRequest { voucher, outputs: equal.clone() }).await.unwrap();
        for entry in response.entries {
            assert_eq!(entry.rho, note::mint_rho(world.info.ledger_id, entry.mint_seq));
            let inner = note::inner(entry.pk, entry.value, entry.rho, note::Blind(entry.b));
            assert_eq!(entry.leaf, note::leaf(inner, Credits::ZERO));
            assert!(seen.insert(entry.rho) && seen.insert(entry.leaf.0), "rho and leaf are new");
        }
    }
}

pub(crate) async fn n36_a_voucher_is_redeemed_once<L: Ledger + 'static>(world: World<L>) {
    let voucher = world.voucher(1, 100).to_text();
    let request = RedeemRequest { voucher: voucher.clone(), outputs: vec![output(1, 60), output(2, 40)] };
    let repeats: Vec<_> = (0..20)
        .map(|_| {
            let (ledger, request) = (Arc::clone(&world.ledger), request.clone());
            tokio::spawn(async move { ledger.redeem(request).await.unwrap().entries })
        })
        .collect();
    let mut answers = Vec::new();
    for repeat in repeats {
        answers.push(repeat.await.unwrap());
    }
    assert!(answers.iter().all(|entries| entries == &answers[0]));
    assert_eq!(world.log_size().await, 2);
    let swapped = RedeemRequest { voucher, outputs: vec![output(2, 40), output(1, 60)] };
    assert_eq!(world.ledger.redeem(swapped).await.map(|_| ()), Err(LedgerError::VoucherUsed));
}

pub(crate) async fn n36_the_cap_on_all_credits<L: Ledger>(world: World<L>) {
    let all = world.voucher(1, CREDITS_MAX);
    world.mint(1, CREDITS_MAX).await;
    let one_more = RedeemRequest { voucher: world.voucher(2, 1).to_text(), outputs: vec![output(1, 1)] };
    assert_eq!(world.ledger.redeem(one_more).await.map(|_| ()), Err(LedgerError::CapExceeded));
    // A repeat is still a repeat.
    let again = RedeemRequest { voucher: all.to_text(), outputs: vec![output(1, CREDITS_MAX)] };
    world.ledger.redeem(again).await.unwrap();
    assert_eq!(world.log_size().await, 1);
}
