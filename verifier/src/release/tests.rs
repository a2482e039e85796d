//! Releases made here, one fault at a time: each fault has its code, and each code has a fault.

mod draft;
mod faults;
mod history;

use attestation::Transcript;
use credits::merkle::{consistency_proof, inclusion_proof, leaf_hash};

use super::checkpoint::Checkpoint;
use super::note::{LogKey, NoteSigner, open_note, secret_text};
use super::proof::{Growth, LogProof};
use super::{dsse, verify};
use draft::{Draft, Log, key, trust};

#[test]
fn a_release_is_accepted_and_says_what_was_checked() {
    let mut log = Log::new();
    for version in ["0.9.0", "1.0.0", "1.0.1"] {
        let bundle = Draft::new(version).log(&mut log);
        let mut transcript = Transcript::new();
        let release = verify(&bundle, &trust(), &mut transcript).unwrap();
        assert_eq!((release.entry().version.to_string().as_str(), release.head().size), (version, log.size()));
        let ids: Vec<_> = transcript.checks.iter().map(|check| check.id).collect();
        assert_eq!(ids[..3], ["release.checkpoint", "release.inclusion", "release.entry"]);
        assert_eq!(ids.len(), 11);
        assert!(transcript.checks.iter().all(|check| check.outcome == attestation::Outcome::Pass));
        let text = bundle.to_json();
        assert_eq!(super::ReleaseBundle::from_json(&text).unwrap(), bundle);
    }
}

/// The example of the DSSE specification (protocol.md, "PAE definition").
#[test]
fn the_preauthentication_encoding_is_that_of_the_specification() {
    let encoded = dsse::pae("http://example.com/HelloWorld", b"hello world");
    assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    assert_eq!(dsse::pae("", b""), b"DSSEv1 0  0 ");
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
        assert_eq!(row.parse::<LogKey>().unwrap_err().code(), "release.log_key", "{row}");
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
    assert_eq!(open(&alone).unwrap_err().code(), "release.checkpoint_unsigned");
    let both = format!("{text}\n\n{ours}{}", alone.split_once("\n\n").unwrap().1);
    assert_eq!(open(&both).unwrap(), head);
    // A signature under our name and id that does not verify spoils the note, also beside a good one.
    let other = Checkpoint { size: 1, ..head }.sign(&log.signer);
    let spoiled = format!("{text}\n\n{ours}{}", other.split_once("\n\n").unwrap().1);
    assert_eq!(open(&spoiled).unwrap_err().code(), "release.checkpoint_signature");
    let many = format!("{text}\n\n{}", theirs.repeat(65));
    assert_eq!(open(&many).unwrap_err().code(), "release.malformed");
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
        assert_eq!(open(&log.signer.sign(&text)).unwrap_err().code(), "release.malformed", "{text:?}");
    }
    let foreign = log.signer.sign(&format!("other.example/log\n0\n{root}\n"));
    assert_eq!(open(&foreign).unwrap_err().code(), "release.checkpoint_origin");
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
            assert_eq!(growth.verify(&other, &head).unwrap_err().code(), "release.log_forked");
            let mut broken = growth.clone();
            broken.hashes[0].0[3] ^= 1;
            assert!(broken.verify(old, &head).is_err());
        }
    }
}
