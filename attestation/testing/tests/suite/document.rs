//! The document's outer form: strict JSON, strict base64, strict hex, bounded.

use attestation::{AttestationDocument, Base64, DOCUMENT_BYTES_MAX};
use attestation_testing::{AcceptedCase, accepted_document};

use crate::support::{code, demo_policy, pki, roots_of};

fn text() -> String {
    String::from_utf8(AcceptedCase::new(pki()).document().to_json()).unwrap()
}

#[test]
fn a_document_survives_its_own_encoding() {
    let document = AcceptedCase::new(pki()).document();
    assert_eq!(AttestationDocument::from_json(&document.to_json()).unwrap(), document);
    assert!(document.to_json().len() < DOCUMENT_BYTES_MAX / 4, "room for lists and longer chains");
}

#[test]
fn accepted_documents_serve_any_keyset_and_channel() {
    let mut case = AcceptedCase::new(pki());
    case.keyset.subject = Some("some guardian".to_owned());
    let document = accepted_document(pki(), &case.keyset, &case.view, case.now);
    let mut transcript = attestation::Transcript::new();
    let roots = roots_of(pki());
    let appraisal = attestation::appraise(&document, &roots, &demo_policy(), case.now, &mut transcript).unwrap();
    let bound = appraisal.bind_channel(&case.view, &mut transcript).unwrap();
    assert_eq!(bound.appraisal().keyset(), &case.keyset);
}

#[test]
fn base64_has_one_spelling() {
    for (text, bytes) in [("\"\"", vec![]), ("\"AA==\"", vec![0]), ("\"+/8=\"", vec![0xfb, 0xff])] {
        assert_eq!(serde_json::from_str::<Base64>(text).unwrap(), Base64(bytes.clone()));
        assert_eq!(serde_json::to_string(&Base64(bytes)).unwrap(), text);
    }
    for text in ["\"AA\"", "\"AA=\"", "\"AB==\"", "\"AA==\\n\"", "\" AA==\"", "\"-_8=\"", "\"AA==AA==\""] {
        let error = serde_json::from_str::<Base64>(text).unwrap_err().to_string();
        assert!(error.starts_with("not standard padded base64"), "{text}: {error}");
    }
}

#[test]
fn malformed_documents_say_so() {
    let text = text();
    let not_after = format!("\"not_after\":{}", AcceptedCase::new(pki()).keyset.not_after);
    let cases = [
        ("nothing", String::new()),
        ("not JSON", "<html>".to_owned()),
        ("cut short", text[..text.len() - 1].to_owned()),
        ("an array", format!("[{text}]")),
        ("uppercase hex", text.replacen("\"nonce\":\"11", "\"nonce\":\"AA", 1)),
        ("short nonce", text.replacen("\"nonce\":\"11", "\"nonce\":\"", 1)),
        ("unknown role", text.replacen("\"role\":\"tls\"", "\"role\":\"TLS\"", 1)),
        ("negative index", text.replacen("\"leaf_index\":0", "\"leaf_index\":-1", 1)),
        ("float size", text.replacen("\"tree_size\":1", "\"tree_size\":1.0", 1)),
        ("digest without prefix", text.replacen("\"keyset_digest\":\"sha256:", "\"keyset_digest\":\"", 1)),
        ("repeated member", text.replacen("\"gpu\":null", "\"gpu\":null,\"gpu\":null", 1)),
        ("subject left out", text.replacen("\"subject\":null,", "", 1)),
        ("time beyond 2^53", text.replacen(&not_after, "\"not_after\":9007199254740992", 1)),
        ("unknown keyset member", text.replacen("\"subject\":null", "\"subject\":null,\"note\":1", 1)),
    ];
    for (name, case) in cases {
        assert_ne!(case, text, "{name} changes the text");
        assert_eq!(code(&AttestationDocument::from_json(case.as_bytes())), "document.malformed", "{name}");
    }
}

#[test]
fn the_size_limit_is_exact() {
    let mut text = text();
    text.push_str(&" ".repeat(DOCUMENT_BYTES_MAX - text.len()));
    AttestationDocument::from_json(text.as_bytes()).unwrap();
    text.push(' ');
    assert_eq!(code(&AttestationDocument::from_json(text.as_bytes())), "document.too_large");
}
