use super::*;
use crate::field::Fe;

/// Computed apart, with Python's `hashlib` and PyPI `cryptography`, from `docs/protocol.md` alone. What becomes of ratings is in the
/// ledger's suite.
#[test]
fn signature_vector() {
    let expected = "25a47b39fbc248eff0a66efa4b30fd9f98c5f105477c95add9721c5ec21cf6c2\
                    ec288826798e7ca633efbcc6d1282af4af9503abc110e107dc684840a94a7708";
    let request = RatingRequest::sign(&TabKey::from_seed(&[7; 32]), &Bytes32([1; 32]), Nullifier(Fe::from(2)), 4);
    assert_eq!(request.signature.to_string(), expected);
}
