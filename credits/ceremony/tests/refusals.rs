//! What is damaged, forged or of another ceremony, and the code it is refused with.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::sync::OnceLock;

use ark_bn254::Fr;
use ark_ff::Field;
use ceremony::{Beacon, CeremonyError, Ptau, Zkey, contribute, contribute_beacon, start, verify};
use ceremony_testing::{Highest, Secrets, SmallCircuit, container, ptau, sections};
use credits::circuit::Relation;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use rand_core::OsRng;
use support::{SMALL_POWER, contributed, small, small_ptau, small_start};

type Change = fn(&mut Vec<u8>);

fn first() -> &'static Zkey {
    static FIRST: OnceLock<Zkey> = OnceLock::new();
    FIRST.get_or_init(small_start)
}

/// A key with the contributions of `one`, `two` and `six`: names of one length, so that contributions can change places.
fn good() -> &'static [u8] {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    GOOD.get_or_init(|| {
        let names = ["one", "two", "six"];
        names.iter().fold(first().clone(), |zkey, name| contributed(&zkey, name)).to_bytes()
    })
}

fn verdict(bytes: &[u8]) -> Result<usize, &'static str> {
    let verified = Zkey::from_bytes(bytes).and_then(|zkey| verify(first(), zkey, &mut OsRng));
    verified.map(|verified| verified.contributions().len()).map_err(CeremonyError::code)
}

fn section(bytes: &[u8], number: u32) -> std::ops::Range<usize> {
    sections(bytes).into_iter().find(|(found, _)| *found == number).unwrap().1
}

const fn g1(index: usize) -> std::ops::Range<usize> {
    64 * index..64 * (index + 1)
}

/// Exchanges two stretches of a section.
fn exchange(bytes: &mut [u8], number: u32, left: std::ops::Range<usize>, right: std::ops::Range<usize>) {
    let start = section(bytes, number).start;
    let (left, right) = (start + left.start..start + left.end, start + right.start..start + right.end);
    let (was_left, was_right) = (bytes[left.clone()].to_vec(), bytes[right.clone()].to_vec());
    assert_ne!(was_left, was_right, "section {number}: the change changes something");
    bytes[left].copy_from_slice(&was_right);
    bytes[right].copy_from_slice(&was_left);
}

/// Bytes of a contribution with a name of three letters.
const CONTRIBUTION: usize = 3 * 64 + 128 + 64 + 4 + 4 + 2 + 3;
/// Of contributions, in section 10.
const fn contribution(index: usize) -> std::ops::Range<usize> {
    68 + CONTRIBUTION * index..68 + CONTRIBUTION * (index + 1)
}

#[test]
fn the_good_key_is_good() {
    assert_eq!(verdict(good()), Ok(3));
    assert_eq!(verdict(&first().to_bytes()), Ok(0));
    let nobody = verify(first(), first().clone(), &mut OsRng).unwrap();
    assert_eq!(nobody.proving_params().unwrap_err().code(), "ceremony.no_contribution");
    let small_one = verify(first(), contributed(first(), "one"), &mut OsRng).unwrap();
    assert_eq!(small_one.proving_params().unwrap_err().code(), "params.length", "it is no key of the spend circuit");
}

#[test]
fn a_flipped_bit_of_any_section_is_refused() {
    for (number, range) in sections(good()) {
        let expected: &[&str] = match number {
            1 => &["ceremony.header"],
            2 => &["ceremony.header", "ceremony.point", "ceremony.section"],
            3 | 5..=9 => &["ceremony.point"],
            4 => &["ceremony.section", "ceremony.circuit"],
            _ => &["ceremony.circuit", "ceremony.point", "ceremony.section", "ceremony.transcript", "ceremony.delta"],
        };
        let step = (range.len() / 40).max(1);
        for at in range.step_by(step) {
            let mut bad = good().to_vec();
            bad[at] ^= 1;
            match verdict(&bad) {
                Err(code) => assert!(expected.contains(&code), "section {number}, byte {at}: {code}"),
                // A name is the one thing that no hash covers, in snarkjs as here.
                Ok(_) => assert!(number == 10 && good()[at].is_ascii_lowercase(), "section {number}, byte {at}"),
            }
        }
    }
}

#[test]
fn a_key_that_does_not_follow_is_refused() {
    // In section 2: sizes end at byte 84; then alpha, beta, beta2, gamma2, delta, delta2.
    const POINTS: usize = 84;
    let changes: [(&str, Change, &str); 16] = [
        (
            "alpha and beta",
            |bytes| exchange(bytes, 2, POINTS..POINTS + 64, POINTS + 64..POINTS + 128),
            "ceremony.circuit",
        ),
        (
            "beta2 and gamma2",
            |bytes| exchange(bytes, 2, POINTS + 128..POINTS + 256, POINTS + 256..POINTS + 384),
            "ceremony.circuit",
        ),
        (
            "delta and alpha",
            |bytes| exchange(bytes, 2, POINTS..POINTS + 64, POINTS + 384..POINTS + 448),
            "ceremony.circuit",
        ),
        (
            "delta of the first contribution",
            |bytes| copy(bytes, (10, contribution(0).start), (2, POINTS + 384), 64),
            "ceremony.delta",
        ),
        ("delta2 = gamma2", |bytes| copy(bytes, (2, POINTS + 256), (2, POINTS + 448), 128), "ceremony.delta"),
        ("two points of IC", |bytes| exchange(bytes, 3, g1(0), g1(1)), "ceremony.circuit"),
        ("two coefficients", |bytes| exchange(bytes, 4, 4..48, 48..92), "ceremony.circuit"),
        ("two points of A", |bytes| exchange(bytes, 5, g1(1), g1(3)), "ceremony.circuit"),
        ("two points of B", |bytes| exchange(bytes, 6, g1(3), g1(4)), "ceremony.circuit"),
        ("two points of B2", |bytes| exchange(bytes, 7, 3 * 128..4 * 128, 4 * 128..5 * 128), "ceremony.circuit"),
        ("two points of L", |bytes| exchange(bytes, 8, g1(0), g1(1)), "ceremony.query"),
        ("two points of H", |bytes| exchange(bytes, 9, g1(0), g1(7)), "ceremony.query"),
        ("the circuit's hash", |bytes| exchange(bytes, 10, 0..1, 1..2), "ceremony.circuit"),
        ("contributions swapped", |bytes| exchange(bytes, 10, contribution(0), contribution(1)), "ceremony.transcript"),
        ("the last contribution removed", |bytes| remove(bytes, 2), "ceremony.delta"),
        ("the first contribution removed", |bytes| remove(bytes, 0), "ceremony.transcript"),
    ];
    for (name, change, code) in changes {
        let mut bad = good().to_vec();
        change(&mut bad);
        assert_eq!(verdict(&bad), Err(code), "{name}");
    }
}

/// Copies bytes between places given by section and offset.
fn copy(bytes: &mut [u8], from: (u32, usize), to: (u32, usize), length: usize) {
    let (from, to) = (section(bytes, from.0).start + from.1, section(bytes, to.0).start + to.1);
    assert_ne!(bytes[from..from + length], bytes[to..to + length], "the change changes something");
    bytes.copy_within(from..from + length, to);
}

/// Takes a contribution out, and corrects lengths and counts.
fn remove(bytes: &mut Vec<u8>, index: usize) {
    let mut parts: Vec<(u32, Vec<u8>)> =
        sections(bytes).into_iter().map(|(number, range)| (number, bytes[range].to_vec())).collect();
    let (_, history) = parts.iter_mut().find(|(number, _)| *number == 10).unwrap();
    history.drain(contribution(index));
    history[64] -= 1;
    *bytes = container(b"zkey", 1, &parts);
}

#[test]
fn contributions_of_other_ceremonies_do_not_fit() {
    let circuit = small();
    let other_file = ptau(SMALL_POWER, &Secrets::from_seed(7), Highest::Missing);
    let other_powers = start(&circuit, &Ptau::read(&other_file, &circuit, &mut OsRng).unwrap()).unwrap();
    assert_eq!(verdict(&contributed(&other_powers, "one").to_bytes()), Err("ceremony.circuit"), "other powers of tau");

    let other_circuit = Relation::of(SmallCircuit { constant: 8, ..SmallCircuit::example() }).unwrap();
    let powers = Ptau::read(small_ptau(), &other_circuit, &mut OsRng).unwrap();
    let of_other_circuit = start(&other_circuit, &powers).unwrap();
    assert_eq!(verdict(&contributed(&of_other_circuit, "one").to_bytes()), Err("ceremony.circuit"), "another circuit");

    // Another ceremony over the same circuit: the contributions are exchanged for those of this one.
    let mut other = contributed(&contributed(&contributed(first(), "one"), "two"), "six").to_bytes();
    let (from, to) = (section(good(), 10), section(&other, 10));
    other[to].copy_from_slice(&good()[from]);
    assert_eq!(verdict(&other), Err("ceremony.delta"));
}

#[test]
fn files_that_are_no_keys_are_refused() {
    let changes: [(&str, Change, &str); 13] = [
        ("empty", |bytes| bytes.clear(), "ceremony.magic"),
        ("another kind", |bytes| bytes[0] = b'p', "ceremony.magic"),
        ("another version", |bytes| bytes[4] = 2, "ceremony.magic"),
        ("a byte short", |bytes| bytes.truncate(bytes.len() - 1), "ceremony.truncated"),
        ("a byte long", |bytes| bytes.push(0), "ceremony.truncated"),
        ("no section", |bytes| bytes[8] = 0, "ceremony.truncated"),
        ("too many sections", |bytes| bytes[9] = 1, "ceremony.header"),
        ("a section of 2^63 bytes", |bytes| bytes[12 + 11] = 0x80, "ceremony.truncated"),
        ("a section twice", |bytes| bytes[12 + 12 + 4] = 1, "ceremony.section"),
        ("2^32 variables", |bytes| size(bytes, 72), "ceremony.header"),
        ("2^32 inputs", |bytes| size(bytes, 76), "ceremony.header"),
        ("2^32 rows", |bytes| size(bytes, 80), "ceremony.header"),
        ("2^32 contributions", |bytes| many_contributions(bytes), "ceremony.section"),
    ];
    for (name, change, code) in changes {
        let mut bad = good().to_vec();
        change(&mut bad);
        assert_eq!(verdict(&bad), Err(code), "{name}");
    }
    for length in (0..good().len()).step_by(97) {
        assert!(verdict(&good()[..length]).is_err(), "{length} bytes");
    }
}

fn size(bytes: &mut [u8], offset: usize) {
    let at = section(bytes, 2).start + offset;
    bytes[at..at + 4].fill(0xff);
}

fn many_contributions(bytes: &mut [u8]) {
    let at = section(bytes, 10).start + 64;
    bytes[at..at + 4].fill(0xff);
}

#[test]
fn what_a_contributor_gives_is_judged() {
    let long = "x".repeat(65);
    for name in ["", "two\nlines", "Zoë", long.as_str()] {
        let mut zkey = first().clone();
        assert_eq!(contribute(&mut zkey, name, b"", &mut OsRng), Err(CeremonyError::Name), "{name}");
        assert_eq!(&zkey, first(), "nothing was contributed");
    }
    for (value, iterations) in [(vec![], 10), (vec![1; 256], 10), (vec![1], 9), (vec![1], 25)] {
        let mut zkey = first().clone();
        let refused = contribute_beacon(&mut zkey, Beacon { value, iterations });
        assert_eq!(refused, Err(CeremonyError::BeaconBounds));
    }
    // A beacon's value is not what its contribution was made from.
    let mut zkey = first().clone();
    contribute_beacon(&mut zkey, Beacon { value: vec![1, 2, 3], iterations: 10 }).unwrap();
    let mut bytes = zkey.to_bytes();
    let last = bytes.len() - 1;
    bytes[last] = 4;
    assert_eq!(verdict(&bytes), Err("ceremony.beacon"));
}

fn powers(bytes: &[u8]) -> Result<(), &'static str> {
    Ptau::read(bytes, &small(), &mut OsRng).map(|_| ()).map_err(CeremonyError::code)
}

#[test]
fn powers_that_are_none_are_refused() {
    assert_eq!(powers(small_ptau()), Ok(()));
    let changes: [(&str, Change, &str); 16] = [
        ("a zkey", |bytes| bytes[..4].copy_from_slice(b"zkey"), "ceremony.magic"),
        ("a byte short", |bytes| bytes.truncate(bytes.len() - 1), "ceremony.truncated"),
        ("another field", |bytes| header(bytes, 4), "ceremony.header"),
        ("degree 2^254", |bytes| header(bytes, 36), "ceremony.header"),
        ("off the curve", |bytes| flip(bytes, 2, 64), "ceremony.point"),
        ("powers on G1", |bytes| exchange(bytes, 2, g1(2), g1(3)), "ceremony.ptau_powers"),
        ("the generator", |bytes| exchange(bytes, 2, g1(0), g1(1)), "ceremony.ptau_powers"),
        ("powers on G2", |bytes| exchange(bytes, 3, 256..384, 384..512), "ceremony.ptau_powers"),
        ("alpha's powers", |bytes| exchange(bytes, 4, g1(0), g1(1)), "ceremony.ptau_powers"),
        ("beta's powers", |bytes| exchange(bytes, 5, g1(4), g1(5)), "ceremony.ptau_powers"),
        ("beta on G2", |bytes| copy(bytes, (3, 128), (6, 0), 128), "ceremony.ptau_powers"),
        // Degree 2^3 begins behind the 7 points of lower degrees, degree 2^4 behind 15.
        ("Lagrange on G1", |bytes| exchange(bytes, 12, g1(7), g1(8)), "ceremony.ptau_lagrange"),
        ("of twice the degree", |bytes| exchange(bytes, 12, g1(15), g1(16)), "ceremony.ptau_lagrange"),
        ("Lagrange on G2", |bytes| exchange(bytes, 13, 7 * 128..8 * 128, 8 * 128..9 * 128), "ceremony.ptau_lagrange"),
        ("Lagrange of alpha", |bytes| exchange(bytes, 14, g1(7), g1(14)), "ceremony.ptau_lagrange"),
        ("Lagrange of beta", |bytes| exchange(bytes, 15, g1(7), g1(14)), "ceremony.ptau_lagrange"),
    ];
    for (name, change, code) in changes {
        let mut bad = small_ptau().to_vec();
        change(&mut bad);
        assert_eq!(powers(&bad), Err(code), "{name}");
    }
    let too_small = ptau(SMALL_POWER - 1, &Secrets::from_seed(1), Highest::Missing);
    assert_eq!(powers(&too_small), Err("ceremony.ptau_power"));
    let mut unprepared: Vec<_> =
        sections(small_ptau()).into_iter().map(|(number, range)| (number, small_ptau()[range].to_vec())).collect();
    unprepared.retain(|(number, _)| *number < 12);
    assert_eq!(powers(&container(b"ptau", 1, &unprepared)), Err("ceremony.section"));
}

#[test]
fn degenerate_powers_are_refused() {
    let usual = Secrets::from_seed(1);
    let root = ceremony_testing::root_of_unity(2 << SMALL_POWER);
    for (name, secrets) in [
        ("tau is one", Secrets { tau: Fr::ONE, ..usual }),
        ("tau is a root of unity", Secrets { tau: root, ..usual }),
        ("alpha is one", Secrets { alpha: Fr::ONE, ..usual }),
        ("beta is one", Secrets { beta: Fr::ONE, ..usual }),
        ("beta is zero", Secrets { beta: Fr::from(0_u64), ..usual }),
    ] {
        assert_eq!(powers(&ptau(SMALL_POWER, &secrets, Highest::Power)), Err("ceremony.ptau_degenerate"), "{name}");
    }
}

fn header(bytes: &mut [u8], offset: usize) {
    let at = section(bytes, 1).start + offset;
    bytes[at] = 254;
}

fn flip(bytes: &mut [u8], number: u32, offset: usize) {
    let at = section(bytes, number).start + offset;
    bytes[at] ^= 1;
}

fn seeded() -> Config {
    Config { cases: 300, rng_seed: RngSeed::Fixed(0x00c1_0157), failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(seeded())]

    /// Anything is refused or was not touched; nothing panics.
    #[test]
    fn mutations_never_pass_and_never_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        for (file, is_key) in [(good(), true), (small_ptau(), false)] {
            let mut bad = file.to_vec();
            for (at, byte) in &changes {
                let at = at.index(bad.len());
                bad[at] = *byte;
            }
            if let Some(cut) = cut {
                bad.truncate(cut.index(bad.len()));
            }
            if is_key {
                let verdict = verdict(&bad);
                let only_names = bad.len() == file.len()
                    && bad.iter().zip(file).all(|(new, old)| new == old || old.is_ascii_lowercase());
                prop_assert!(verdict.is_err() || only_names);
            } else {
                // What the circuit does not use of the powers is not looked at.
                let _ = powers(&bad);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_file(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        prop_assert!(verdict(&bytes).is_err());
        prop_assert!(powers(&bytes).is_err());
        for magic in [b"zkey", b"ptau"] {
            let mut bytes = bytes.clone();
            bytes.splice(0..0, magic.iter().copied().chain([1, 0, 0, 0, 10, 0, 0, 0]));
            prop_assert!(verdict(&bytes).is_err());
            prop_assert!(powers(&bytes).is_err());
        }
    }
}
