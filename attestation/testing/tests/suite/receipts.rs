//! Receipts: what signs verifies, and nothing else does.

use std::collections::BTreeSet;

use attestation::{
    Event, Hex32, Keyset, Receipt, ReceiptRejection, Role, Sha256Digest, Transcript, UnixTime, UnsignedReceipt,
};
use attestation_testing::AcceptedCase;

use crate::support::pki;

fn keyset() -> Keyset {
    AcceptedCase::new(pki()).keyset
}

fn digest(byte: u8) -> Sha256Digest {
    Sha256Digest([byte; 32])
}

fn unsigned() -> UnsignedReceipt {
    let keyset = keyset();
    UnsignedReceipt {
        receipt_id: "rcpt-1".to_owned(),
        chat_id: Some("chatcmpl-1".to_owned()),
        model: None,
        workload_keyset_digest: keyset.digest(),
        endpoint: "/v1/chat/completions".to_owned(),
        method: "POST".to_owned(),
        served_at: UnixTime(keyset.not_after.0 - 60),
        event_log: vec![
            Event::RequestReceived { body_hash: digest(1) },
            Event::RequestForwarded { body_hash: digest(2) },
            Event::ResponseReturned { body_hash: digest(3) },
            Event::AttestationBound { report_digest: digest(4), launch_digest: "00".repeat(48), role: Role::Keyset },
            Event::GpuEvidence { evidence_digest: Hex32([9; 32]), epoch: 2 },
            Event::ModelWeights { model: "demo".to_owned(), weights: digest(5) },
            Event::TokensMetered { prompt_tokens: 7, completion_tokens: 11, outcome: "complete".to_owned() },
            Event::CreditSpent {
                ledger_id: Hex32([6; 32]),
                nullifier: Hex32([7; 32]),
                cost: 18,
                running_total: 36,
                reserve: 64,
                price_sheet_digest: Hex32([8; 32]),
            },
        ],
    }
}

fn signed() -> Receipt {
    unsigned().sign(&AcceptedCase::receipt_key()).unwrap()
}

fn verify(receipt: &Receipt) -> Result<(), ReceiptRejection> {
    receipt.verify(&keyset(), &mut Transcript::new())
}

fn code(result: &Result<(), ReceiptRejection>) -> &'static str {
    result.as_ref().err().map_or("ok", ReceiptRejection::code)
}

#[test]
fn a_signed_receipt_verifies_and_says_what_it_cost() {
    let receipt = signed();
    verify(&receipt).unwrap();
    assert_eq!(receipt.cost(), Some(18));
    receipt.check_request_body(digest(1)).unwrap();
    receipt.check_response_body(digest(3)).unwrap();
    let reread = Receipt::from_json(&receipt.to_json()).unwrap();
    assert_eq!(reread, receipt);
    verify(&reread).unwrap();
}

type Row<T> = (&'static str, fn(&mut T));

/// Faults after signing: the signature, or what is checked before it, refuses each.
const TAMPERED: &[Row<Receipt>] = &[
    ("receipt.version", |receipt| receipt.api_version = "aci/2".to_owned()),
    ("receipt.signature", |receipt| receipt.receipt_id.push('x')),
    ("receipt.signature", |receipt| receipt.chat_id = None),
    ("receipt.signature", |receipt| receipt.model = Some("other".to_owned())),
    ("receipt.signature", |receipt| receipt.endpoint.push('x')),
    ("receipt.signature", |receipt| receipt.method = "GET".to_owned()),
    ("receipt.signature", |receipt| receipt.served_at.0 -= 1),
    ("receipt.signature", |receipt| receipt.event_log.swap(1, 2)),
    ("receipt.signature", |receipt| drop(receipt.event_log.pop())),
    ("receipt.signature", |receipt| receipt.event_log.push(Event::RequestForwarded { body_hash: digest(2) })),
    ("receipt.signature", |receipt| receipt.event_log[0] = Event::RequestReceived { body_hash: digest(9) }),
    ("receipt.signature", |receipt| {
        if let Some(Event::CreditSpent { cost, .. }) = receipt.event_log.last_mut() {
            *cost -= 1;
        }
    }),
    ("receipt.signature", |receipt| receipt.signature.replace_range(0..2, "00")),
    ("receipt.keyset_mismatch", |receipt| receipt.workload_keyset_digest = digest(9)),
    ("receipt.key_unknown", |receipt| receipt.key_id.push('x')),
    ("receipt.malformed", |receipt| receipt.signature.push('0')),
    ("receipt.malformed", |receipt| receipt.signature = receipt.signature.to_uppercase()),
    ("receipt.malformed", |receipt| receipt.served_at = UnixTime(0)),
];

/// Faults before signing: the signature is right, the content is not acceptable.
const SIGNED_WRONG: &[Row<UnsignedReceipt>] = &[
    ("receipt.event_order", |receipt| receipt.event_log.swap(0, 1)),
    ("receipt.event_order", |receipt| receipt.event_log.clear()),
    ("receipt.event_missing", |receipt| drop(receipt.event_log.remove(2))),
    ("receipt.event_repeated", |receipt| receipt.event_log.push(Event::RequestReceived { body_hash: digest(1) })),
    ("receipt.event_repeated", |receipt| {
        let spent = receipt.event_log.last().unwrap().clone();
        receipt.event_log.push(spent);
    }),
    ("receipt.served_after_keyset", |receipt| receipt.served_at.0 += 61),
];

#[test]
fn tampered_receipts_are_refused() {
    for (position, (expected, fault)) in TAMPERED.iter().enumerate() {
        let mut receipt = signed();
        fault(&mut receipt);
        if *expected == "receipt.malformed" && receipt.served_at == UnixTime(0) {
            // A number that has no canonical form can only be in the text.
            let text = String::from_utf8(signed().to_json()).unwrap().replacen("\"cost\":18", "\"cost\":1.8", 1);
            assert_eq!(Receipt::from_json(text.as_bytes()).unwrap_err().code(), *expected);
            continue;
        }
        assert_eq!(code(&verify(&receipt)), *expected, "row {position}");
    }
}

#[test]
fn wrongly_made_receipts_are_refused_though_signed() {
    for (position, (expected, fault)) in SIGNED_WRONG.iter().enumerate() {
        let mut receipt = unsigned();
        fault(&mut receipt);
        let receipt = receipt.sign(&AcceptedCase::receipt_key()).unwrap();
        assert_eq!(code(&verify(&receipt)), *expected, "row {position}");
    }
}

#[test]
fn bodies_are_compared() {
    let receipt = signed();
    assert_eq!(code(&receipt.check_request_body(digest(3))), "receipt.request_mismatch");
    assert_eq!(code(&receipt.check_response_body(digest(1))), "receipt.response_mismatch");
    let mut empty = receipt;
    empty.event_log.clear();
    assert_eq!(code(&empty.check_request_body(digest(1))), "receipt.event_missing");
    assert_eq!(empty.cost(), None);
}

#[test]
fn another_boots_key_does_not_verify() {
    let mut keyset = keyset();
    let receipt = signed();
    keyset.receipt_signing_keys[0].public_key = "11".repeat(32);
    // The digest changes with the key: a keyset cannot be swapped under a receipt.
    assert_eq!(code(&receipt.verify(&keyset, &mut Transcript::new())), "receipt.keyset_mismatch");
}

#[test]
fn known_events_are_exact_and_members_are_known() {
    let text = String::from_utf8(signed().to_json()).unwrap();
    let cases = [
        text.replacen("\"outcome\":\"complete\"", "\"outcome\":\"complete\",\"more\":1", 1),
        text.replacen("\"prompt_tokens\":7", "\"prompt_tokens\":-7", 1),
        text.replacen("\"prompt_tokens\":7,", "", 1),
        text.replacen("{\"type\":\"model.weights\"", "{\"kind\":\"model.weights\"", 1),
        text.replacen("\"method\":\"POST\"", "\"method\":\"POST\",\"note\":\"\"", 1),
        text.replacen("\"method\":\"POST\",", "", 1),
        text.clone() + "x",
        text.clone() + &" ".repeat(64 * 1024),
    ];
    for case in cases {
        assert_ne!(case, text);
        assert_eq!(Receipt::from_json(case.as_bytes()).unwrap_err().code(), "receipt.malformed", "{case}");
    }
}

#[test]
fn an_unknown_event_with_a_float_has_no_canonical_form() {
    let text = String::from_utf8(signed().to_json()).unwrap();
    let with_float = text.replacen("\"event_log\":[", "\"event_log\":[{\"type\":\"x\",\"v\":0.5},", 1);
    let receipt = Receipt::from_json(with_float.as_bytes()).unwrap();
    assert_eq!(code(&verify(&receipt)), "receipt.malformed");
}

#[test]
fn every_receipt_code_has_a_row() {
    let mut covered: BTreeSet<&str> = TAMPERED.iter().map(|(code, _)| *code).collect();
    covered.extend(SIGNED_WRONG.iter().map(|(code, _)| *code));
    // The two that need something to compare with are in `bodies_are_compared`.
    covered.extend(["receipt.request_mismatch", "receipt.response_mismatch"]);
    let all: BTreeSet<&str> = ReceiptRejection::CODES.iter().copied().collect();
    assert_eq!(covered, all);
}

#[test]
fn the_transcript_tells_what_was_checked() {
    let mut transcript = Transcript::new();
    signed().verify(&keyset(), &mut transcript).unwrap();
    let ids: Vec<&str> = transcript.checks.iter().map(|check| check.id).collect();
    assert_eq!(ids, ["receipt.version", "receipt.keyset", "receipt.signature", "receipt.events"]);
}

#[test]
fn limits_are_exact() {
    let mut last_second = unsigned();
    last_second.served_at = keyset().not_after;
    verify(&last_second.sign(&AcceptedCase::receipt_key()).unwrap()).unwrap();

    let mut text = String::from_utf8(signed().to_json()).unwrap();
    text.push_str(&" ".repeat(64 * 1024 - text.len()));
    Receipt::from_json(text.as_bytes()).unwrap();
    text.push(' ');
    assert_eq!(Receipt::from_json(text.as_bytes()).unwrap_err().code(), "receipt.malformed");
}
