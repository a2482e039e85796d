//! Tests of [`super`]: a vector made by another implementation, and one fault per row.

use super::*;
use crate::field::Fe;
use crate::keys::SigningKey;

const BODY: &[u8] = br#"{"model":"tiny","messages":[]}"#;
const CREATED: u64 = 1_700_000_000;
const SKEW: u64 = 60;
const PATH: &str = "/v1/chat/completions";

fn key() -> SigningKey {
    let mut seed = [0; 32];
    (0..32).zip(&mut seed).for_each(|(value, byte)| *byte = value);
    SigningKey::from_seed(&seed)
}

fn signed() -> RequestHeaders {
    sign_request(&key(), "POST", PATH, &Nullifier(Fe::from(7)), "req_01-A", BODY, CREATED)
}

fn verify(headers: &RequestHeaders) -> Result<(), &'static str> {
    verify_request(&key().public(), "POST", PATH, headers, BODY, CREATED, SKEW).map_err(HttpSigRejection::code)
}

/// Made with PyPI `cryptography` 48.0.0 (Ed25519, seed 00 01 … 1f) and `hashlib`, the base string joined by hand from the
/// component list of RFC 9421 §2.5.
#[test]
fn a_vector_of_another_implementation() {
    let expected = RequestHeaders {
        cloister_tab: "0000000000000000000000000000000000000000000000000000000000000007".to_owned(),
        idempotency_key: "req_01-A".to_owned(),
        content_digest: "sha-256=:zXWTd0XY5BR0/Qm+B4YUorNuMfbU9eUdAl5ueCCty5w=:".to_owned(),
        signature_input: concat!(
            r#"cloister=("@method" "@path" "cloister-tab" "idempotency-key" "content-digest");created=1700000000;"#,
            r#"keyid="03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";alg="ed25519""#
        )
        .to_owned(),
        signature:
            "cloister=:pWfd71CiHxwbogIH9KnfZJd7O2uBWKbARqVsZsHF01NbnbO+4cN7bClw+ahaL9O2zw3Uv4F0j/RSPMGSVSQ1BQ==:"
                .to_owned(),
    };
    assert_eq!(signed(), expected);
    assert_eq!(verify(&expected), Ok(()));
}

/// RFC 9530 appendix D has the digest of `{"hello": "world"}` followed by a newline; RFC 9421 §B.2 that without one.
#[test]
fn content_digest_vector() {
    assert_eq!(content_digest(br#"{"hello": "world"}"#), "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:");
}

#[test]
fn one_fault_one_code() {
    assert_eq!(verify(&signed()), Ok(()));
    type Fault = fn(&mut RequestHeaders);
    let table: [(Fault, &str); 24] = [
        (|h| h.cloister_tab.push('0'), "tab.id_malformed"),
        (|h| h.cloister_tab = "f".repeat(64), "tab.id_malformed"),
        (|h| h.cloister_tab = Nullifier(Fe::from(8)).to_string(), "tab.signature"),
        (|h| h.idempotency_key.clear(), "tab.idempotency_key"),
        (|h| h.idempotency_key = "a".repeat(65), "tab.idempotency_key"),
        (|h| h.idempotency_key.push(' '), "tab.idempotency_key"),
        (|h| h.idempotency_key.push_str("\n\"@path\": /"), "tab.idempotency_key"),
        (|h| h.idempotency_key.push('x'), "tab.signature"),
        (|h| h.content_digest = content_digest(b"other"), "tab.digest_mismatch"),
        (|h| h.content_digest = h.content_digest.replace("sha-256", "sha-512"), "tab.digest_malformed"),
        (|h| h.content_digest = h.content_digest.replace("=:", ":"), "tab.digest_malformed"),
        (|h| h.content_digest.push_str(", sha-256=:AA==:"), "tab.digest_malformed"),
        (|h| h.content_digest = "sha-256=:AA==:".to_owned(), "tab.digest_malformed"),
        (|h| h.signature_input = h.signature_input.replace(" \"content-digest\"", ""), "tab.signature_input"),
        (|h| h.signature_input = h.signature_input.replace("cloister=(", "other=("), "tab.signature_input"),
        (|h| h.signature_input = h.signature_input.replace("ed25519", "hmac-sha256"), "tab.signature_input"),
        (|h| h.signature_input = h.signature_input.replace("created=1", "created=+1"), "tab.signature_input"),
        (|h| h.signature_input = h.signature_input.replace("created=1", "created=01"), "tab.signature_input"),
        (|h| h.signature_input.push_str(", second=()"), "tab.signature_input"),
        (|h| h.signature_input = h.signature_input.replace("1700000000", "1700000001"), "tab.signature"),
        (|h| h.signature_input = h.signature_input.replace("keyid=\"03", "keyid=\"04"), "tab.key_mismatch"),
        (|h| h.signature = h.signature.replace("cloister=", "other="), "tab.signature_malformed"),
        (|h| h.signature = "cloister=:AA==:".to_owned(), "tab.signature_malformed"),
        (|h| h.signature = h.signature.replace(":pWf", ":qWf"), "tab.signature"),
    ];
    for (row, (fault, code)) in table.iter().enumerate() {
        let mut headers = signed();
        fault(&mut headers);
        assert_eq!(verify(&headers), Err(*code), "row {row}: {headers:?}");
    }
}

#[test]
fn n25_n26_method_path_body_and_key_are_covered() {
    let headers = signed();
    let public = key().public();
    let verdict = |public: &Bytes32, method, path, body| {
        verify_request(public, method, path, &headers, body, CREATED, SKEW).map_err(HttpSigRejection::code)
    };
    assert_eq!(verdict(&public, "POST", PATH, BODY), Ok(()));
    assert_eq!(verdict(&public, "GET", PATH, BODY), Err("tab.signature"));
    assert_eq!(verdict(&public, "post", PATH, BODY), Err("tab.target"));
    assert_eq!(verdict(&public, "POST", "/v1/completions", BODY), Err("tab.signature"));
    assert_eq!(verdict(&public, "POST", "/v1/chat/completions?n=8", BODY), Err("tab.target"));
    assert_eq!(verdict(&public, "POST", "/v1/chat/completions\n", BODY), Err("tab.target"));
    assert_eq!(verdict(&public, "POST", PATH, b"other"), Err("tab.digest_mismatch"));
    assert_eq!(verdict(&SigningKey::from_seed(&[1; 32]).public(), "POST", PATH, BODY), Err("tab.key_mismatch"));
}

#[test]
fn n27_the_signature_is_good_for_a_while_both_ways() {
    let headers = signed();
    let at = |now| verify_request(&key().public(), "POST", PATH, &headers, BODY, now, SKEW);
    assert_eq!(at(CREATED + SKEW), Ok(()));
    assert_eq!(at(CREATED - SKEW), Ok(()));
    for now in [CREATED + SKEW + 1, CREATED - SKEW - 1, 0, u64::MAX] {
        assert_eq!(at(now), Err(HttpSigRejection::Created { created: CREATED, now }));
    }
}
