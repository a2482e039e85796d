//! ACI `aci/1`: values published in its test vectors (Dstack-TEE/private-ai-gateway:spec/test-vectors.md, Apache-2.0),
//! made by an implementation that is not ours.

use attestation::{
    Event, KeyEntry, Keyset, Receipt, ReceiptKey, Sha256Digest, TlsKeyEntry, Transcript, UnixTime, to_jcs,
};
use serde_json::json;

const KEYSET_DIGEST: &str = "sha256:53a5cd44b30dcc51999754c719f2628a041f174ecbf9662a6f8e898a10cd9371";
const RECEIPT_PUBLIC_KEY: &str = "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394";
const E2EE_PUBLIC_KEY: &str = "5dfedd3b6bd47f6fa28ee15d969d5bb0ea53774d488bdaf9df1c6e0124b3ef22";
const SIGNING_INPUT_SHA256: &str = "1bd328e6880a5a12b3915af95ea32111310e04ab9e21ac3d71ce268e33b965c9";
const SIGNATURE: &str = "d5b005e093bde3b577faf270b7184b09e169cacb0ecb206b103bd2581f997db0\
                         3da616175454b063323a23ac1dc68f1ce506c2a6eba8aa0561d5e724f0b80c03";
const SESSION_ID: &str = "95ad1cb4dd25445808c2e9d116caf420b05703730b506395e8fc1ca6faeae28f";
const REQUEST_BODY: &[u8] = br#"{"messages":[{"content":"hi","role":"user"}],"model":"demo-model"}"#;
const RESPONSE_BODY: &[u8] = br#"{"choices":[],"id":"chatcmpl-123"}"#;

fn keyset() -> Keyset {
    let entry = |key_id: &str, algo: &str, public_key: &str| KeyEntry {
        key_id: key_id.to_owned(),
        algo: algo.to_owned(),
        public_key: public_key.to_owned(),
    };
    Keyset {
        subject: Some("dstack-app://example-app".to_owned()),
        not_after: UnixTime(1_800_000_000),
        receipt_signing_keys: vec![entry("receipt-1", "ed25519", RECEIPT_PUBLIC_KEY)],
        e2ee_public_keys: vec![entry("e2ee-1", "x25519-aes-256-gcm-hkdf-sha256", E2EE_PUBLIC_KEY)],
        tls_public_keys: vec![TlsKeyEntry {
            spki_sha256: "c0".repeat(32).parse().unwrap(),
            domain: Some("api.example.com".to_owned()),
        }],
    }
}

fn receipt_json() -> serde_json::Value {
    let (request, response) = (Sha256Digest::of(REQUEST_BODY), Sha256Digest::of(RESPONSE_BODY));
    json!({
        "api_version": "aci/1",
        "receipt_id": "rcpt-0001",
        "chat_id": "chatcmpl-123",
        "model": "demo-model",
        "workload_keyset_digest": KEYSET_DIGEST,
        "endpoint": "/v1/chat/completions",
        "method": "POST",
        "served_at": 1_750_000_000_u64,
        "event_log": [
            {"type": "request.received", "body_hash": request},
            {"type": "request.forwarded", "body_hash": request},
            {"type": "upstream.verified", "result": "verified", "required": true, "model_id": "demo-model",
             "session_id": SESSION_ID},
            {"type": "response.returned", "body_hash": response},
        ],
        "key_id": "receipt-1",
        "signature": SIGNATURE,
    })
}

#[test]
fn the_keyset_digest_is_the_published_one() {
    assert_eq!(keyset().digest().to_string(), KEYSET_DIGEST);
    assert_eq!(Sha256Digest::of(&to_jcs(&keyset()).unwrap()), keyset().digest());
}

#[test]
fn the_receipt_key_is_the_published_one() {
    let key = ReceiptKey::from_seed(&[0x02; 32]).unwrap();
    assert_eq!(key.public().to_string(), RECEIPT_PUBLIC_KEY);
    assert_eq!(keyset().receipt_key("receipt-1"), Some(key.public()));
    assert_eq!(keyset().receipt_key("e2ee-1"), None);
}

#[test]
fn the_signing_input_and_signature_are_the_published_ones() {
    let mut unsigned = receipt_json();
    unsigned.as_object_mut().unwrap().remove("signature");
    let message = to_jcs(&unsigned).unwrap();
    assert_eq!(Sha256Digest::of(&message).to_hex(), SIGNING_INPUT_SHA256);
    let key = ReceiptKey::from_seed(&[0x02; 32]).unwrap();
    assert_eq!(hex::encode(key.sign(&message)), SIGNATURE);
}

#[test]
fn a_foreign_receipt_verifies_with_an_event_type_we_do_not_know() {
    let receipt = Receipt::from_json(receipt_json().to_string().as_bytes()).unwrap();
    receipt.verify(&keyset(), &mut Transcript::new()).unwrap();
    receipt.check_request_body(Sha256Digest::of(REQUEST_BODY)).unwrap();
    receipt.check_response_body(Sha256Digest::of(RESPONSE_BODY)).unwrap();
    let Some(Event::Other(other)) = receipt.event_log.get(2) else { panic!("{:?}", receipt.event_log) };
    assert_eq!(other.kind(), "upstream.verified");
    assert_eq!(other.members().get("session_id").and_then(serde_json::Value::as_str), Some(SESSION_ID));
}

#[test]
fn the_signature_covers_the_unknown_event_too() {
    let mut altered = receipt_json();
    altered["event_log"][2]["result"] = json!("failed");
    let receipt = Receipt::from_json(altered.to_string().as_bytes()).unwrap();
    assert_eq!(receipt.verify(&keyset(), &mut Transcript::new()).unwrap_err().code(), "receipt.signature");
}
