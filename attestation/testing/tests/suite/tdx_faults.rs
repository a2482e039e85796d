//! One accepted TD quote, one fault per row, the exact code of the refusal; and every code must have a row.

use std::collections::BTreeSet;

use attestation::tdx::{self, TdxCache, TdxCollateral, TdxRejection};
use attestation::{ChainFault, DEMO_POLICY, Rejection, Transcript, TrustRoots};
use attestation_testing::tdx::FakeTdx;
use serde_json::Value;

use crate::support::{code, parse_policy, with_item};
use crate::tdx_fault_rows;

/// What one row spoils.
pub(crate) enum Spoil {
    /// Something before anything is signed, in a quote of version 4.
    Fake(fn(&mut FakeTdx)),
    /// The same in a version 5 quote of TD 1.5.
    Td15(fn(&mut FakeTdx)),
    /// Something in the finished quote.
    Quote(fn(&mut Vec<u8>)),
    /// Something in the finished collateral.
    Collateral(fn(&mut Value)),
    /// Something in the collateral's text.
    Text(fn(String) -> String),
    /// An item of the policy: the evidence is unchanged, the demand is not.
    Policy(&'static str, &'static str),
    /// An item of the policy, and evidence that meets everything but that.
    PolicyAndFake(&'static str, &'static str, fn(&mut FakeTdx)),
}

pub(crate) type Row = (&'static str, Spoil);

/// The whole way: JSON text, collateral, appraisal.
pub(crate) fn run(spoil: &Spoil) -> Result<tdx::TdxClaims, Rejection> {
    let mut fake = FakeTdx::accepted();
    let mut policy = DEMO_POLICY.to_owned();
    match spoil {
        Spoil::Fake(fault) => fault(&mut fake),
        Spoil::Td15(fault) => {
            fake = FakeTdx::accepted_td_1_5();
            fault(&mut fake);
        }
        Spoil::Policy(item, value) => policy = with_item(&policy, item, value),
        Spoil::PolicyAndFake(item, value, fault) => {
            policy = with_item(&policy, item, value);
            fault(&mut fake);
        }
        Spoil::Quote(_) | Spoil::Collateral(_) | Spoil::Text(_) => {}
    }
    let mut quote = fake.quote();
    if let Spoil::Quote(fault) = spoil {
        fault(&mut quote);
    }
    let mut json = fake.collateral_json();
    if let Spoil::Collateral(fault) = spoil {
        fault(&mut json);
    }
    let mut text = json.to_string();
    if let Spoil::Text(fault) = spoil {
        text = fault(text);
    }
    let collateral = TdxCollateral::from_json(text.as_bytes())?;
    let roots = TrustRoots::named(fake.root_der()).unwrap();
    let (policy, cache) = (parse_policy(&policy), TdxCache::default());
    tdx::appraise(&quote, &collateral, &roots, &policy, fake.now, &cache, &mut Transcript::new())
}

fn rows() -> Vec<Row> {
    let mut rows = tdx_fault_rows::quote();
    rows.extend(tdx_fault_rows::collateral());
    rows.extend(tdx_fault_rows::chains());
    rows.extend(tdx_fault_rows::platform());
    rows.extend(tdx_fault_rows::policy());
    rows
}

#[test]
fn the_unspoilt_quotes_are_accepted() {
    run(&Spoil::Fake(|_| {})).unwrap();
    run(&Spoil::Td15(|_| {})).unwrap();
    run(&Spoil::Td15(|fake| fake.body.td_1_5 = None)).unwrap();
}

#[test]
fn every_single_fault_gives_its_code() {
    let mut wrong = Vec::new();
    for (index, (expected, spoil)) in rows().iter().enumerate() {
        let result = run(spoil);
        if code(&result) != *expected {
            wrong.push(format!("row {index}: expected {expected}, got {} ({:?})", code(&result), result.err()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Codes of what this version does not know, and of what is not well formed; every other one is a refusal.
const UNSUPPORTED: &[&str] = &[
    "tdx.version",
    "tdx.tee_type",
    "tdx.attestation_key_type",
    "tdx.body_type",
    "tdx.qe_vendor",
    "tdx.certification_data_type",
    "tdx.tcb_info_kind",
    "tdx.qe_identity_kind",
];
const MALFORMED: &[&str] = &[
    "tdx.length",
    "tdx.reserved_not_zero",
    "tdx.collateral_too_large",
    "tdx.collateral_malformed",
    "tdx.tcb_info_malformed",
    "tdx.qe_identity_malformed",
    "tdx.pck_extension_malformed",
    "chain.malformed",
];

#[test]
fn every_refusal_has_the_exit_code_of_its_class() {
    let mut seen = BTreeSet::new();
    for (code, spoil) in rows().iter().filter(|(code, _)| seen.insert(*code)) {
        let expected = match code {
            code if UNSUPPORTED.contains(code) => 20,
            code if MALFORMED.contains(code) => 30,
            _ => 10,
        };
        assert_eq!(run(spoil).unwrap_err().exit_code(), expected, "{code}");
    }
}

#[test]
fn every_tdx_and_chain_code_has_a_row() {
    let covered: BTreeSet<&str> = rows().iter().map(|(code, _)| *code).collect();
    let all: BTreeSet<&str> = TdxRejection::codes().into_iter().chain(ChainFault::codes()).collect();
    let missing: Vec<_> = all.difference(&covered).collect();
    assert!(missing.is_empty(), "codes without a row: {missing:?}");
    let unknown: Vec<_> = covered.difference(&all).collect();
    assert!(unknown.is_empty(), "rows without a code: {unknown:?}");
}
