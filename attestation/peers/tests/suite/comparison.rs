//! The comparison itself can fail: each way a table can be wrong is a complaint.

use attestation_peers::compare::{Compared, Difference, Verdict, complaints};
use attestation_peers::vectors::unix_time;

fn accepted(conclusion: &str) -> Verdict {
    Verdict::Accepted(conclusion.to_owned())
}

fn refused(reason: &str) -> Verdict {
    Verdict::Refused(reason.to_owned())
}

fn compared(case: &str, ours: Verdict, theirs: Verdict) -> Compared {
    Compared { case: case.to_owned(), ours, theirs }
}

const ROW: Difference = Difference { case: "a", ours: "chain.expired", theirs: "accepted", reason: "dates" };

fn one(ours: Verdict, theirs: Verdict, table: &[Difference]) -> String {
    complaints(&[compared("a", ours, theirs)], table).join("; ")
}

#[test]
fn verdicts_agree_when_both_refuse_or_both_conclude_the_same() {
    assert!(accepted("").agrees_with(&accepted("")));
    assert!(refused("chain.expired").agrees_with(&refused("bad signature")));
    assert!(!accepted("").agrees_with(&refused("bad signature")));
    assert!(!refused("chain.expired").agrees_with(&accepted("")));
    assert!(!accepted("UpToDate []").agrees_with(&accepted("OutOfDate []")));
    assert!(!accepted("UpToDate [INTEL-SA-1]").agrees_with(&accepted("UpToDate []")));
}

#[test]
fn a_difference_without_a_row_is_a_complaint() {
    assert_eq!(one(accepted(""), accepted(""), &[]), "");
    let complaint = one(refused("chain.expired"), accepted(""), &[]);
    assert_eq!(complaint, "a: not explained: ours: chain.expired; theirs: accepted");
    let complaint = one(accepted("UpToDate []"), accepted("OutOfDate []"), &[]);
    assert!(complaint.starts_with("a: not explained"), "{complaint}");
}

#[test]
fn a_row_without_its_difference_is_a_complaint() {
    assert_eq!(one(refused("chain.expired"), accepted(""), &[ROW]), "");
    let agreed = one(refused("chain.expired"), refused("expired"), &[ROW]);
    assert_eq!(agreed, "a: listed as a difference, but both say chain.expired");
    let other_code = one(refused("chain.signature"), accepted(""), &[ROW]);
    assert_eq!(other_code, "a: listed otherwise: ours: chain.signature; theirs: accepted");
    let missing = complaints(&[], &[ROW]).join("; ");
    assert_eq!(missing, "a: listed, but there is no such case");
}

#[test]
fn a_refusal_of_the_peer_must_be_the_one_in_the_row() {
    let row = Difference { ours: "accepted", theirs: "MASK_CHIP_ID", ..ROW };
    assert_eq!(one(accepted(""), refused("MASK_CHIP_ID is enabled"), &[row]), "");
    assert!(one(accepted(""), refused("signature"), &[row]).starts_with("a: listed otherwise"));
    let unnamed = Difference { theirs: "", ..row };
    assert!(one(accepted(""), refused("signature"), &[unnamed]).starts_with("a: listed otherwise"));
}

#[test]
fn doubled_cases_and_rows_and_rows_without_reasons_are_complaints() {
    let twice = [compared("a", accepted(""), accepted("")), compared("a", accepted(""), accepted(""))];
    assert_eq!(complaints(&twice, &[]), ["a: compared twice"]);
    assert_eq!(one(refused("chain.expired"), accepted(""), &[ROW, ROW]), "a: listed twice");
    let silent = Difference { reason: "", ..ROW };
    assert_eq!(one(refused("chain.expired"), accepted(""), &[silent]), "a: listed without a reason");
}

#[test]
fn times_are_read_as_written() {
    for (text, seconds) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T23:59:59+00:00", 951_868_799),
        ("2024-03-01 00:00:00+00:00", 1_709_251_200),
        ("2026-06-01T00:00:00Z", 1_780_272_000),
    ] {
        assert_eq!(unix_time(text).0, seconds, "{text}");
    }
}
