use super::*;
use crate::receipts::ReceiptError;
use credits::Credits;
use http::StatusCode;

fn refused(status: u16, code: &str) -> NodeError {
    let status = StatusCode::from_u16(status).unwrap();
    NodeError::Refused { status, code: code.to_owned(), message: "no".to_owned() }
}

#[test]
fn every_family_has_its_exit_code() {
    let insufficient = WalletError::InsufficientBalance { needed: Credits::MAX, spendable: Credits::ZERO };
    let rows: Vec<(Error, u8, &str)> = vec![
        (VerifyError::Rejected(Rejection::ReportVersion { got: 9 }).into(), 20, "snp.version"),
        (VerifyError::Rejected(Rejection::ReportLength { got: 1, expected: 1184 }).into(), 30, "snp.length"),
        (VerifyError::Rejected(Rejection::ChipKeyMasked).into(), 10, "snp.chip_key_masked"),
        (VerifyError::OtherName { domain: String::new(), host: String::new() }.into(), 10, "channel.other_name"),
        (VerifyError::Fetch(NodeError::Closed).into(), 50, "node.connection_lost"),
        (VerifyError::Fetch(NodeError::TooLong { during: "x", limit: 1 }).into(), 30, "node.malformed"),
        (PaymentError::Store(StoreError::Wallet(insufficient)).into(), 40, "wallet.insufficient_balance"),
        (PaymentError::Open(SessionError::Node(refused(403, "spend.expired"))).into(), 40, "spend.expired"),
        (PaymentError::Ledger(LedgerError::Unavailable).into(), 50, "ledger.unavailable"),
        (PaymentError::Ledger(LedgerError::Fork).into(), 10, "ledger.fork"),
        (PaymentError::Ledger(LedgerError::VoucherUsed).into(), 40, "ledger.voucher_used"),
        (ExchangeError::Node(refused(402, "tab.insufficient")).into(), 40, "tab.insufficient"),
        (ExchangeError::Node(refused(503, "engine.unavailable")).into(), 50, "engine.unavailable"),
        (ExchangeError::Receipt(ReceiptError::Missing).into(), 10, "receipt.missing"),
        (StoreError::Words.into(), 2, "wallet.words"),
        (StoreError::Stale.into(), 1, "wallet.storage"),
        (BundleError::Malformed { detail: String::new() }.into(), 30, "bundle.malformed"),
    ];
    for (error, code, name) in rows {
        assert_eq!((error.exit().code(), error.code()), (code, name), "{error}");
    }
}

#[test]
fn a_chain_tells_each_cause_once() {
    let error = Error::from(PaymentError::Ledger(LedgerError::Unavailable));
    assert_eq!(chain(&error), "the ledger did not carry out the call: the ledger is not available");
}
