use super::*;
use crate::field::Fe;
use crate::keys::SigningKey;
use crate::note::Leaf;
use crate::settlement::SETTLEMENT_VERSION;

const LEDGER: Bytes32 = Bytes32([1; 32]);

fn credits(value: u64) -> Credits {
    Credits::new(value).unwrap()
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn settlement(charge: u64) -> Settlement {
    Settlement {
        version: SETTLEMENT_VERSION.to_owned(),
        ledger_id: LEDGER,
        nullifier: Nullifier(Fe::from(2)),
        reserve: credits(10),
        charge: credits(charge),
        refund: credits(10 - charge),
        leaf: Leaf(Fe::from(4)),
        leaf_index: 5,
        entry_index: 6,
        requests: 7,
        keyset_digest: Bytes32([8; 32]),
    }
}

fn bill(settlement: Settlement) -> Said {
    let signature = key().sign(&settlement.signed_bytes());
    Said::Bill { settlement: Box::new(settlement), signature }
}

/// Computed apart, with Python's `json` and PyPI `cryptography`, from `docs/protocol.md` alone.
#[test]
fn bill_signature_vector() {
    let expected = "1467c11dc8519f2503b7e0ac1275406dc842cf4202679d35175039f36c8f88e7\
                    3192b5a7729ac8ed7f18a22c85e96ada367ee894973e26465e654d55668d990b";
    assert_eq!(key().sign(&settlement(3).signed_bytes()).to_string(), expected);
}

/// Another statement than a settlement of this version has another purpose, whatever its members are.
#[test]
fn a_bill_of_another_version_is_none() {
    let other = Settlement { version: "cloister/settlement/v2".to_owned(), ..settlement(3) };
    let evidence = Evidence { first: bill(other), second: bill(settlement(4)) };
    assert_eq!(evidence.fault(), Some(Fault::TwoBills));
    assert_eq!(evidence.verify(&LEDGER, &key().public()), Err(LedgerError::SlashNoFault));
}

/// What a guardian signs of a log begins with the log's name; nothing that is hashed or signed as `lp(tag) ‖ …` reads as a head.
#[test]
fn only_heads_read_as_heads() {
    let root = "A".repeat(43) + "=";
    let round = "0f".repeat(32);
    let good = format!("node.example/1\n7\n{root}\nround {round}\n");
    let head = Head::read(&good).unwrap();
    assert_eq!((head.origin, head.size, head.root), ("node.example/1", 7, Bytes32([0; 32])));
    let bad = [
        good.replace('7', "+7"),
        good.replace('7', "07"),
        good.replace('7', "-7"),
        good.replace('7', "18446744073709551616"),
        good.replace("node", "a node"),
        good.replace("node", "\u{0}\u{0}\u{0}\u{13}cloister"),
        good.replace("node.example/1", ""),
        good.replace("A=", "AA"),
        good.replace("AA=", "AB="),
        good.trim_end().to_owned(),
        good.replace(&root, &"A".repeat(40)),
        good.replace("round ", "Round "),
        good.replace(&round, &"0F".repeat(32)),
        good.replace(&round, &"0f".repeat(31)),
        good.replace("node", &"n".repeat(ORIGIN_BYTES_MAX)),
        format!("node.example/1\n7\n{root}\n"),
        format!("{good}more\n"),
        format!("{good}\n"),
        "node.example/1\n7\n".to_owned(),
        String::new(),
    ];
    for text in bad {
        assert!(Head::read(&text).is_none(), "{text:?}");
    }
}

#[test]
fn a_twentieth_is_the_reward() {
    for (amount, expected) in [(0, 0), (1, 0), (19, 0), (20, 1), (59, 2), (Credits::MAX.get(), Credits::MAX.get() / 20)]
    {
        assert_eq!(reward(credits(amount)), credits(expected));
    }
}
