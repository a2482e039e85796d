use super::*;
use crate::field::Fe;
use crate::note::NotePublicKey;

const LEDGER: Bytes32 = Bytes32([1; 32]);

fn credits(value: u64) -> Credits {
    Credits::new(value).unwrap()
}

fn key() -> PayeeKey {
    PayeeKey::from_seed(&[7; 32])
}

fn output(value: u64) -> MintOutput {
    MintOutput { pk: NotePublicKey(Fe::from(3)), value: credits(value), b: Fe::from(4) }
}

fn claim(before: u64, value: u64) -> ClaimRequest {
    ClaimRequest::sign(&key(), &LEDGER, before, output(value))
}

fn verified(request: ClaimRequest) -> VerifiedClaim {
    VerifiedClaim::verify(request, &LEDGER).unwrap()
}

/// Computed apart, with Python's `hashlib` and PyPI `cryptography`, from `docs/protocol.md` alone.
#[test]
fn signature_vector() {
    let expected = "cefa12e592a9987199771aacb79852352f0af82bc57078dce494dec4b6c74556\
                    14fb7987d6138e2cb1e73dcb5197846e80dd604579791bdffa7afc7df01dc107";
    assert_eq!(claim(2, 5).signature.to_string(), expected);
}

#[test]
fn the_signature_covers_every_field() {
    let good = claim(10, 5);
    assert_eq!(verify_claim(&LEDGER, &good), Ok(()));
    let changed = [
        ClaimRequest { payee: PayeeKey::from_seed(&[8; 32]).public(), ..good.clone() },
        ClaimRequest { claim_seq: 11, ..good.clone() },
        ClaimRequest { output: output(6), ..good.clone() },
        ClaimRequest { output: MintOutput { pk: NotePublicKey(Fe::from(9)), ..good.output }, ..good.clone() },
        ClaimRequest { output: MintOutput { b: Fe::from(9), ..good.output }, ..good.clone() },
    ];
    for bad in changed {
        assert_eq!(verify_claim(&LEDGER, &bad), Err(LedgerError::ClaimSignature), "{bad:?}");
    }
    assert_eq!(verify_claim(&Bytes32([2; 32]), &good), Err(LedgerError::ClaimSignature));
}

/// The identity as a key: R = S·B for S = 0, whatever is signed.
#[test]
fn nobody_claims_under_a_key_that_signs_for_anybody() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    let (payee, signature) = (Bytes32(identity), SignatureBytes(signature));
    let request = ClaimRequest { payee, signature, ..claim(0, 5) };
    let message = claim_message(&LEDGER, &payee, 0, &request.output);
    assert_eq!(verify_ed25519(&payee, &message, &signature), Ok(()), "the library takes it");
    assert_eq!(verify_claim(&LEDGER, &request), Err(LedgerError::ClaimSignature));
}

#[test]
fn decisions() {
    let last = |claim_seq, value| LastClaim { claim_seq, output: output(value), entry_index: 42 };
    let nothing = VerifiedClaim::verify(claim(0, 0), &LEDGER).map(|_| ());
    assert_eq!(nothing, Err(LedgerError::ClaimZero));
    let decide = |owed, last: Option<&LastClaim>, request| decide_claim(credits(owed), last, &verified(request));
    // The first, all of it and more than it.
    assert_eq!(decide(5, None, claim(0, 5)), Ok(ClaimDecision::Record));
    assert_eq!(decide(4, None, claim(0, 5)), Err(LedgerError::ClaimAboveCharges));
    assert_eq!(decide(0, None, claim(0, 1)), Err(LedgerError::ClaimAboveCharges));
    assert_eq!(decide(9, None, claim(1, 5)), Err(LedgerError::ClaimStale));
    // A later one follows the last.
    let before = last(0, 5);
    assert_eq!(decide(4, Some(&before), claim(1, 4)), Ok(ClaimDecision::Record));
    assert_eq!(decide(4, Some(&before), claim(1, 5)), Err(LedgerError::ClaimAboveCharges));
    assert_eq!(decide(4, Some(&before), claim(0, 4)), Err(LedgerError::ClaimStale));
    assert_eq!(decide(4, Some(&before), claim(2, 4)), Err(LedgerError::ClaimStale));
    // The same again is answered as before, though nothing is left.
    assert_eq!(decide(0, Some(&before), claim(0, 5)), Ok(ClaimDecision::Repeat { entry_index: 42 }));
    assert_eq!((claims_made(None), claims_made(Some(&before))), (0, 1));
}
