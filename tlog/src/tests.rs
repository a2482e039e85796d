//! Notes, checkpoints, cosignatures and proofs, with one fault at a time.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use attestation::{ReceiptKey, Sha256Digest, UnixTime};
use credits::merkle::{LogTree, consistency_proof, inclusion_proof, leaf_hash};

use proptest::prelude::{Just, Strategy, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use crate::note::{open_note, secret_text, sign_note};
use crate::{Checkpoint, Cosigner, Growth, LogKey, LogProof, NoteSigner, ReceiptLogEntry, WitnessKey, witnessed};

fn key(seed: u8) -> ReceiptKey {
    ReceiptKey::from_seed(&[seed; 32]).unwrap()
}

const LOG: &str = "example.com/log";

/// A log in memory.
struct Log {
    signer: NoteSigner,
    tree: LogTree,
}

impl Log {
    fn new() -> Self {
        Self { signer: NoteSigner::new(LOG, key(7)).unwrap(), tree: LogTree::new() }
    }

    fn append(&mut self, entry: &[u8]) {
        self.tree.append(leaf_hash(entry));
    }

    fn head(&self) -> Checkpoint {
        Checkpoint { size: self.tree.size(), root: self.tree.root() }
    }
}

/// A key and a note that Go's `golang.org/x/mod/sumdb/note` publishes in its documentation and tests, made by another program.
#[test]
fn a_published_note_opens_and_a_published_secret_signs_the_same() {
    let secret = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    let public = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let text = "If you think cryptography is the answer to your problem,\n\
                then you don't know what your problem is.\n";
    let note = format!(
        "{text}\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    );
    let key: LogKey = public.parse().unwrap();
    assert_eq!(key.to_string(), public);
    assert_eq!(open_note(&note, &key).unwrap(), text);
    let signer = NoteSigner::from_secret_text(secret).unwrap();
    assert_eq!((signer.public().to_string().as_str(), signer.sign(text)), (public, note));
}

#[test]
fn a_key_text_has_one_spelling() {
    let good = Log::new().signer.public().to_string();
    let secret = secret_text("example.com/log", &[7; 32]).unwrap();
    assert_eq!(NoteSigner::from_secret_text(&secret).unwrap().public().to_string(), good);
    let [name, hash, base64]: [&str; 3] = good.splitn(3, '+').collect::<Vec<_>>().try_into().unwrap();
    let short = &base64[..base64.len() - 4];
    let rows = [
        String::new(),
        name.to_owned(),
        format!("{name}+{hash}"),
        format!("other+{hash}+{base64}"),
        format!("{name}+00000000+{base64}"),
        format!("{name}+{}+{base64}", hash.to_uppercase()),
        format!("{name}+{hash}+{short}"),
        format!("{name}+{hash}+{base64}="),
        format!("{name}+{hash}+B{}", &base64[1..]),
        format!("a b+{hash}+{base64}"),
        format!("+{hash}+{base64}"),
        format!("{good}\n"),
    ];
    for row in rows {
        assert_eq!(row.parse::<LogKey>().unwrap_err().code(), "log.key", "{row}");
        let error = NoteSigner::from_secret_text(&format!("PRIVATE+KEY+{row}")).unwrap_err();
        assert!(!error.to_string().contains(base64), "a secret is not repeated");
    }
    assert!(NoteSigner::new("a+b", key(1)).is_err());
}

/// Signatures of witnesses stand beside the log's, in any order, and decide nothing.
#[test]
fn other_signatures_are_ignored_and_a_bad_one_of_ours_is_not() {
    let log = Log::new();
    let head = Checkpoint { size: 0, root: credits::merkle::empty_root() };
    let note = head.sign(&log.signer);
    let witness = NoteSigner::new("witness.example", key(9)).unwrap();
    let (text, ours) = note.split_once("\n\n").unwrap();
    let theirs = head.sign(&witness);
    let theirs = theirs.split_once("\n\n").unwrap().1;
    let open = |note: &str| Checkpoint::open(note, log.signer.public());
    for signatures in [format!("{theirs}{ours}"), format!("{ours}{theirs}"), format!("{ours}{ours}")] {
        assert_eq!(open(&format!("{text}\n\n{signatures}")).unwrap(), head);
    }
    // The same name with another key is another key.
    let namesake = NoteSigner::new(log.signer.public().name(), key(9)).unwrap();
    let alone = head.sign(&namesake);
    assert_eq!(open(&alone).unwrap_err().code(), "log.unsigned");
    let both = format!("{text}\n\n{ours}{}", alone.split_once("\n\n").unwrap().1);
    assert_eq!(open(&both).unwrap(), head);
    // A signature under our name and id that does not verify spoils the note, also beside a good one.
    let other = Checkpoint { size: 1, ..head }.sign(&log.signer);
    let spoiled = format!("{text}\n\n{ours}{}", other.split_once("\n\n").unwrap().1);
    assert_eq!(open(&spoiled).unwrap_err().code(), "log.signature");
    let many = format!("{text}\n\n{}", theirs.repeat(65));
    assert_eq!(open(&many).unwrap_err().code(), "log.malformed");
    // Extension lines are allowed and not understood; they are not empty.
    let name = log.signer.public().name();
    let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let extended = log.signer.sign(&format!("{name}\n0\n{root}\nmore\n"));
    assert_eq!(open(&extended).unwrap(), head);
    for text in [
        format!("{name}\n0\n"),
        format!("{name}\n00\n{root}\n"),
        format!("{name}\n+0\n{root}\n"),
        format!("{name}\n18446744073709551616\n{root}\n"),
        format!("{name}\n0\n{}\n", &root[4..]),
        format!("{name}\n0\n{}\n", root.trim_end_matches('=')),
        format!("{name}\n0\n{root}\n\nmore\n"),
        format!("\n0\n{root}\n"),
    ] {
        assert_eq!(open(&log.signer.sign(&text)).unwrap_err().code(), "log.malformed", "{text:?}");
    }
    let foreign = log.signer.sign(&format!("other.example/log\n0\n{root}\n"));
    assert_eq!(open(&foreign).unwrap_err().code(), "log.origin");
}

/// Every byte of a checkpoint counts.
#[test]
fn no_byte_of_a_note_can_be_changed() {
    let log = Log::new();
    let head = Checkpoint { size: 12, root: credits::Bytes32([5; 32]) };
    let note = head.sign(&log.signer);
    for at in 0..note.len() {
        for bit in [1, 4, 0x20, 0x80] {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= bit;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            let opened = Checkpoint::open(&changed, log.signer.public());
            assert!(opened.is_err(), "byte {at}, bit {bit:#x}: {changed}");
        }
        assert!(Checkpoint::open(&note[..note.floor_char_boundary(at)], log.signer.public()).is_err(), "cut at {at}");
    }
    assert!(Checkpoint::open(&format!("{note}\n"), log.signer.public()).is_err());
}

/// For every size up to 40: every entry is shown to be in, and every earlier size to have grown, through the text forms.
#[test]
fn every_proof_of_a_growing_log_verifies_and_no_other() {
    let mut log = Log::new();
    let mut heads = Vec::new();
    for size in 1..=40_u64 {
        log.append(size.to_string().as_bytes());
        let head = log.head();
        let node = |level, index| log.tree.node(level, index).ok_or(());
        for index in 0..size {
            let hashes = inclusion_proof(index, size, node).unwrap();
            let text = LogProof { index, hashes, checkpoint: head.sign(&log.signer) }.to_text();
            let proof = LogProof::from_text(&text).unwrap();
            assert_eq!((proof.to_text(), proof.checkpoint(log.signer.public()).unwrap()), (text, head));
            assert!(proof.verify((index + 1).to_string().as_bytes(), &head).is_ok());
            assert!(proof.verify(index.to_string().as_bytes(), &head).is_err());
        }
        heads.push(head);
        for old in &heads[..heads.len() - 1] {
            let hashes = consistency_proof(old.size, size, node).unwrap();
            let growth = Growth { from: old.size, hashes };
            assert!(growth.verify(old, &head).is_ok(), "{} to {size}", old.size);
            let other = Checkpoint { root: credits::Bytes32(leaf_hash(b"other")), ..*old };
            assert_eq!(growth.verify(&other, &head).unwrap_err().code(), "log.forked");
            let mut broken = growth.clone();
            broken.hashes[0].0[3] ^= 1;
            assert!(broken.verify(old, &head).is_err());
        }
    }
}

/// The key id in the example of the specification is that of a name and a key nobody published; the form of everything else is held.
#[test]
fn cosignatures_count_once_for_each_named_witness_that_signed_this_checkpoint() {
    let log = Log::new();
    let head = Checkpoint { size: 3, root: credits::Bytes32([3; 32]) };
    let (note, text) = (head.sign(&log.signer), head.text("example.com/log"));
    let witnesses: Vec<_> = (1..=3).map(|n| Cosigner::new(&format!("w{n}.example"), key(20 + n)).unwrap()).collect();
    let names: Vec<WitnessKey> = witnesses.iter().map(|witness| witness.public().clone()).collect();
    let line = |n: usize, time| witnesses[n].cosign(&text, UnixTime(time));
    let count = |lines: &[String]| witnessed(&format!("{note}{}", lines.concat()), &names, 0).unwrap().times.len();
    assert_eq!(count(&[]), 0);
    assert_eq!(count(&[line(0, 5), line(0, 6)]), 1, "one witness twice is one");
    assert_eq!(count(&[line(0, 5), line(2, 6)]), 2);
    let seen = witnessed(&format!("{note}{}{}", line(2, 9), line(0, 7)), &names, 2).unwrap();
    assert_eq!(seen.times, [("w1.example".to_owned(), UnixTime(7)), ("w3.example".to_owned(), UnixTime(9))]);
    assert_eq!(seen.lines, [line(0, 7), line(2, 9)].concat());
    let times: Vec<_> = (0..4).map(|many| seen.time_of(many).map_or(0, |time| time.0)).collect();
    assert_eq!(times, [0, 9, 7, 0], "what one had reached, and what two had");
    let short = witnessed(&format!("{note}{}", line(0, 5)), &names, 2).unwrap_err();
    assert_eq!(short.code(), "log.not_cosigned");
    // Of another checkpoint, at another time, by another key under the same name, or by a stranger: nothing.
    let other = witnesses[0].cosign(&Checkpoint { size: 4, ..head }.text("example.com/log"), UnixTime(5));
    let elsewhere = witnesses[0].cosign(&head.text("example.com/other"), UnixTime(5));
    let namesake = Cosigner::new("w1.example", key(9)).unwrap().cosign(&text, UnixTime(5));
    let stranger = Cosigner::new("w9.example", key(21)).unwrap().cosign(&text, UnixTime(5));
    let plain = sign_note("w1.example", &key(21), &text).unwrap();
    let plain = format!("{}\n", plain.rsplit_once("\n\n").unwrap().1.trim_end());
    assert_eq!(count(&[other, elsewhere, namesake, stranger, plain]), 0);
    // Neither the time nor any byte of the signature can be changed.
    let good = line(0, 5);
    let base64 = good.trim_end().rsplit(' ').next().unwrap();
    for at in 0..base64.len() - 1 {
        let mut bytes = base64.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = good.replace(base64, std::str::from_utf8(&bytes).unwrap());
        assert_eq!(count(&[changed]), 0, "character {at}");
    }
    // One key is one witness, under however many names.
    let twice = Cosigner::new("w1b.example", key(21)).unwrap();
    let named = [names[0].clone(), twice.public().clone(), names[0].clone()];
    let lines = [line(0, 5), twice.cosign(&text, UnixTime(5))].concat();
    assert_eq!(witnessed(&format!("{note}{lines}"), &named, 0).unwrap().times.len(), 1);
    // Beside a note, nonsense between the lines changes nothing.
    for nonsense in ["x\n", "\n", "\u{2014} a AAAA\n", "no end", "\u{1}\n"] {
        let lines = format!("{}{nonsense}\n{}{nonsense}", line(0, 5), line(1, 6));
        assert_eq!(
            crate::cosignature::cosigned_by(&text, &lines, &names, 2).unwrap().lines,
            [line(0, 5), line(1, 6)].concat()
        );
        assert_eq!(crate::cosignature::signatures_of(&lines, LOG, 1), line(0, 5), "{nonsense:?}");
    }
    let longest = Cosigner::new(&"w".repeat(256), key(1)).unwrap().cosign(&text, UnixTime(u64::MAX));
    assert_eq!(crate::cosignature::signatures_of(&longest, LOG, 1), longest);
    for name in ["w".repeat(400), "\u{1}".repeat(9)] {
        let line = format!("\u{2014} {name} AAAAAA==\n");
        assert_eq!(
            crate::cosignature::signatures_of(&format!("{line}{longest}"), LOG, 9),
            longest,
            "no line that is passed on"
        );
    }
    // Under the log's own name there is no cosignature, and one that does not verify makes the note one that nobody opens.
    let own = crate::note::line(LOG, log.signer.public().id(), &[0; 64]);
    assert!(Checkpoint::open(&format!("{note}{own}"), log.signer.public()).is_err());
    assert_eq!(crate::cosignature::signatures_of(&format!("{own}{good}"), LOG, 9), good);
    // The log's own signature is looked at by whoever opens the checkpoint, whatever stands beside it.
    assert_eq!(Checkpoint::open(&format!("{note}{good}"), log.signer.public()).unwrap(), head);
}

#[test]
fn a_witness_key_is_no_log_key() {
    let witness = Cosigner::new("w.example", key(1)).unwrap().public().to_string();
    assert_eq!(witness.parse::<WitnessKey>().unwrap().to_string(), witness);
    assert_eq!(witness.parse::<LogKey>().unwrap_err().code(), "log.key");
    let log = Log::new().signer.public().to_string();
    assert_eq!(log.parse::<WitnessKey>().unwrap_err().code(), "log.key");
    assert!(Cosigner::new("a b", key(1)).is_err());
}

#[test]
fn a_second_signature_is_of_the_same_text() {
    let log = Log::new();
    let text = log.head().text("example.com/log");
    let ours = sign_note("example.com/log", &key(8), &text).unwrap();
    let both = log.signer.add_to(&ours).unwrap();
    for public in [log.signer.public().clone(), LogKey::new("example.com/log", key(8).public()).unwrap()] {
        assert_eq!(Checkpoint::open(&both, &public).unwrap(), log.head());
    }
    assert!(log.signer.add_to(&text).is_err());
}

#[test]
fn entries_have_one_form_each() {
    let digest = Sha256Digest([7; 32]);
    let all = [ReceiptLogEntry::Boot(digest), ReceiptLogEntry::Receipt(digest)];
    assert_ne!(all[0].leaf_hash(), all[1].leaf_hash());
    for entry in all {
        assert_eq!(ReceiptLogEntry::from_record(&entry.to_record()), Some(entry));
        for at in 0..crate::entry::RECORD_BYTES {
            let mut record = entry.to_record();
            record[at] ^= 1;
            assert_eq!(ReceiptLogEntry::from_record(&record), None, "byte {at}");
        }
    }
}

/// Texts that look like notes, proofs and keys, and are none.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\n".to_owned()),
        Just("\n\n".to_owned()),
        Just("\u{2014} ".to_owned()),
        Just("c2sp.org/tlog-proof@v1\nindex ".to_owned()),
        Just("example.com/log".to_owned()),
        Just("+".to_owned()),
        "[0-9]{0,20}",
        "[A-Za-z0-9+/]{0,90}={0,2}",
        "\\PC{0,8}",
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Nothing that anybody sends makes a parser panic, and nothing of it verifies.
    #[test]
    fn whatever_is_sent_is_refused_and_nothing_more(text in texts(), lines in texts()) {
        let log = Log::new();
        let witness = Cosigner::new("w.example", key(1)).unwrap();
        prop_assert!(open_note(&text, log.signer.public()).is_err());
        prop_assert!(Checkpoint::open(&text, log.signer.public()).is_err());
        if let Ok(proof) = LogProof::from_text(&text) {
            prop_assert!(proof.checkpoint(log.signer.public()).is_err());
        }
        let names = [witness.public().clone()];
        prop_assert!(witnessed(&text, &names, 1).is_err());
        prop_assert!(crate::cosignature::cosigned_by(&text, &lines, &names, 1).is_err());
        let kept = crate::cosignature::signatures_of(&lines, LOG, 3);
        prop_assert!(kept.len() <= lines.len() && kept.lines().count() <= 3);
        prop_assert!(log.signer.add_to(&text).is_err() || text.contains("\n\n"));
        if let Ok(key) = text.parse::<LogKey>() {
            prop_assert_eq!(key.to_string(), text.clone());
        }
        if let Ok(key) = text.parse::<WitnessKey>() {
            prop_assert_eq!(key.to_string(), text);
        }
    }
}
