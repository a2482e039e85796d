//! Signed statements: one key of the keyset, one purpose, exactly this content.

use attestation::{JcsError, KeyError, ReceiptKey, Signed};
use attestation_testing::AcceptedCase;
use serde::{Deserialize, Serialize};

use crate::support::pki;

const PURPOSE: &str = "cloister/offer/v1";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    model: String,
    credits: u64,
}

fn price() -> Price {
    Price { model: "demo".to_owned(), credits: 3 }
}

fn signed() -> Signed<Price> {
    Signed::sign(PURPOSE, price(), &AcceptedCase::receipt_key()).unwrap()
}

#[test]
fn a_statement_survives_the_wire() {
    let keyset = AcceptedCase::new(pki()).keyset;
    let text = serde_json::to_string(&signed()).unwrap();
    let received: Signed<Price> = serde_json::from_str(&text).unwrap();
    assert_eq!(received.verify(PURPOSE, &keyset).unwrap(), &price());
}

#[test]
fn faults_have_their_codes() {
    let keyset = AcceptedCase::new(pki()).keyset;
    type Fault = fn(&mut Signed<Price>);
    let faults: [(&str, Fault); 5] = [
        ("signed.signature", |signed| signed.statement.credits += 1),
        ("signed.signature", |signed| signed.signature.replace_range(0..2, "00")),
        ("signed.encoding", |signed| signed.signature.truncate(126)),
        ("signed.key_unknown", |signed| signed.key_id.clear()),
        ("signed.not_canonical", |signed| signed.statement.credits = u64::MAX),
    ];
    for (expected, fault) in faults {
        let mut signed = signed();
        fault(&mut signed);
        assert_eq!(signed.verify(PURPOSE, &keyset).unwrap_err().code(), expected);
    }
}

#[test]
fn a_signature_for_one_purpose_is_none_for_another() {
    let keyset = AcceptedCase::new(pki()).keyset;
    let refused = signed().verify("cloister/settlement/v1", &keyset).unwrap_err();
    assert_eq!(refused.code(), "signed.signature");
}

#[test]
fn unsignable_statements_are_refused_at_signing() {
    let key = AcceptedCase::receipt_key();
    assert!(matches!(Signed::sign(PURPOSE, 0.5, &key), Err(JcsError::Float)));
    assert!(matches!(Signed::sign(PURPOSE, u64::MAX, &key), Err(JcsError::IntegerTooLarge)));
}

#[test]
fn keys_are_fresh_and_debug_shows_no_secret() {
    let keys: Result<Vec<ReceiptKey>, KeyError> = (0..2).map(|_| ReceiptKey::generate()).collect();
    let [one, two] = keys.unwrap().try_into().unwrap();
    assert_ne!(one.public(), two.public());
    assert_eq!(format!("{one:?}"), format!("ReceiptKey {{ key_id: {:?}, .. }}", one.key_id()));
    assert_eq!(one.key_id(), one.public().key_id());
    assert_eq!(one.key_id().len(), 32);
}

#[test]
fn rfc_8032_test_vector_2() {
    let seed = hex::decode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
    let key = ReceiptKey::from_seed(&seed.try_into().unwrap()).unwrap();
    assert_eq!(key.public().to_string(), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    let signature = key.sign(&[0x72]);
    assert_eq!(
        hex::encode(signature),
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    );
    key.public().verify(&[0x72], &signature).unwrap();
    assert_eq!(key.public().verify(&[0x73], &signature), Err(attestation::BadSignature));
}
