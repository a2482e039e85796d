//! One report for many clients: each finds its own leaf, nobody else's.

use attestation::{
    ALGO_OHTTP, AttestationDocument, Batch, BatchPosition, ChannelView, Exporter, Hex32, KeyEntry, Nonce,
    ReportDataInputs, Role, Sha256Digest, Transcript, batch_leaf,
};
use attestation_testing::AcceptedCase;

use crate::support::{appraise_document, code, demo_policy, pki};

fn node(left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
    Sha256Digest::of(&[&[0x01][..], &left, &right].concat()).0
}

/// RFC 9162 §2.1.1, straight from its recursive definition; the library walks paths instead.
fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [only] => *only,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            node(root(&leaves[..split]), root(&leaves[split..]))
        }
    }
}

/// RFC 9162 §2.1.3.1.
fn path(index: usize, leaves: &[[u8; 32]]) -> Vec<Hex32> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let split = leaves.len().next_power_of_two() / 2;
    let (mut rest, sibling) = if index < split {
        (path(index, &leaves[..split]), root(&leaves[split..]))
    } else {
        (path(index - split, &leaves[split..]), root(&leaves[..split]))
    };
    rest.push(Hex32(sibling));
    rest
}

fn client(number: u8) -> ChannelView {
    ChannelView { nonce: Nonce([number; 32]), exporter: Exporter([!number; 32]), leaf_spki_sha256: [0x33; 32] }
}

fn leaf(view: &ChannelView) -> [u8; 32] {
    batch_leaf(Role::Tls, &view.nonce, Some(&view.exporter))
}

fn position(index: usize, leaves: &[[u8; 32]]) -> BatchPosition {
    BatchPosition {
        leaf_index: u64::try_from(index).unwrap(),
        tree_size: u64::try_from(leaves.len()).unwrap(),
        path: path(index, leaves),
    }
}

#[test]
fn every_leaf_of_every_small_tree_leads_to_its_root() {
    for size in 1..=17_u8 {
        let leaves: Vec<[u8; 32]> = (0..size).map(|number| leaf(&client(number))).collect();
        for (index, leaf) in leaves.iter().enumerate() {
            let right = position(index, &leaves);
            assert_eq!(right.root(*leaf).unwrap(), root(&leaves), "{index} of {size}");
            let mut longer = right.clone();
            longer.path.push(Hex32([0; 32]));
            assert_eq!(longer.root(*leaf).unwrap_err().code(), "channel.batch_path");
            let mut shorter = right;
            if shorter.path.pop().is_some() {
                assert_eq!(shorter.root(*leaf).unwrap_err().code(), "channel.batch_path");
            }
        }
    }
}

#[test]
fn what_a_prover_makes_is_the_tree_of_the_rfc() {
    assert!(Batch::new(Vec::new()).is_none());
    for size in (1..=33).chain([63, 64, 65, 1023, 1024]) {
        let leaves: Vec<[u8; 32]> = (0..size).map(|number: u32| Sha256Digest::of(&number.to_be_bytes()).0).collect();
        let batch = Batch::new(leaves.clone()).unwrap();
        assert_eq!(batch.root(), root(&leaves), "{size}");
        let positions: Vec<BatchPosition> = batch.positions().collect();
        assert_eq!(positions.len(), leaves.len());
        for (index, (made, leaf)) in positions.into_iter().zip(&leaves).enumerate() {
            if size <= 65 {
                assert_eq!(made, position(index, &leaves), "{index} of {size}");
            }
            assert_eq!(made.root(*leaf), Ok(batch.root()), "{index} of {size}");
        }
    }
}

#[test]
fn a_batched_report_binds_each_client_to_its_own_channel() {
    let clients: Vec<ChannelView> = (0..5).map(client).collect();
    let leaves: Vec<[u8; 32]> = clients.iter().map(leaf).collect();
    let mut case = AcceptedCase::new(pki());
    case.keep_report_data = true;
    case.report.report_data = ReportDataInputs {
        role: Role::Tls,
        batch_root: root(&leaves),
        leaf_spki_sha256: [0x33; 32],
        keyset_digest: case.keyset.digest(),
        gpu: None,
    }
    .report_data();
    let mut document = case.document();
    for (index, view) in clients.iter().enumerate() {
        document.nonce = view.nonce;
        document.batch = position(index, &leaves);
        let appraisal = appraise_document(&case, &document, &demo_policy()).unwrap();
        appraisal.clone().bind_channel(view, &mut Transcript::new()).unwrap();

        // The same position with another client's exporter: a relay of that client's answer.
        let other = ChannelView { exporter: client(9).exporter, ..*view };
        let relayed = appraisal.bind_channel(&other, &mut Transcript::new());
        assert_eq!(code(&relayed), "channel.report_data_mismatch");
    }
}

#[test]
fn report_data_is_as_specified() {
    // docs/protocol.md §2.2, written out byte by byte for one set of inputs.
    let inputs = ReportDataInputs {
        role: Role::Tls,
        batch_root: [1; 32],
        leaf_spki_sha256: [2; 32],
        keyset_digest: Sha256Digest([3; 32]),
        gpu: None,
    };
    let mut bytes = Vec::new();
    let fields: [&[u8]; 7] =
        [b"cloister/report-data/v1", b"tls", &[1; 32], &[2; 32], &[3; 32], &[], &0_u64.to_be_bytes()];
    for field in fields {
        bytes.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
        bytes.extend(field);
    }
    let expected = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, &bytes);
    assert_eq!(inputs.report_data(), expected.as_ref());
}

#[test]
fn every_input_changes_report_data() {
    let base = ReportDataInputs {
        role: Role::Tls,
        batch_root: [1; 32],
        leaf_spki_sha256: [2; 32],
        keyset_digest: Sha256Digest([3; 32]),
        gpu: None,
    };
    let gpu = |epoch| Some(attestation::GpuBinding { evidence_digest: Hex32([4; 32]), epoch });
    let variants = [
        base.clone(),
        ReportDataInputs { role: Role::Ohttp, ..base.clone() },
        ReportDataInputs { role: Role::Keyset, ..base.clone() },
        ReportDataInputs { batch_root: [9; 32], ..base.clone() },
        ReportDataInputs { leaf_spki_sha256: [9; 32], ..base.clone() },
        ReportDataInputs { keyset_digest: Sha256Digest([9; 32]), ..base.clone() },
        ReportDataInputs { gpu: gpu(0), ..base.clone() },
        ReportDataInputs { gpu: gpu(1), ..base },
    ];
    let distinct: std::collections::BTreeSet<[u8; 64]> = variants.iter().map(ReportDataInputs::report_data).collect();
    assert_eq!(distinct.len(), variants.len());
}

#[test]
fn a_leaf_without_exporter_is_not_one_with_an_empty_looking_exporter() {
    let nonce = Nonce([1; 32]);
    assert_ne!(batch_leaf(Role::Tls, &nonce, None), batch_leaf(Role::Tls, &nonce, Some(&Exporter([0; 32]))));
    assert_ne!(batch_leaf(Role::Tls, &nonce, None), batch_leaf(Role::Ohttp, &nonce, None));
}

#[test]
fn a_boot_report_ties_the_keyset_and_no_channel() {
    let mut case = AcceptedCase::new(pki());
    case.role = Role::Keyset;
    case.view.nonce = Nonce::ABSENT;
    let appraisal = appraise_document(&case, &case.document(), &demo_policy()).unwrap();
    appraisal.verify_keyset_report(&mut Transcript::new()).unwrap();
    assert_eq!(code(&appraisal.bind_channel(&case.view, &mut Transcript::new())), "channel.role");

    // Made for a client's nonce, it is not a boot report; nor is a channel's report.
    case.view.nonce = Nonce([1; 32]);
    let appraisal = appraise_document(&case, &case.document(), &demo_policy()).unwrap();
    assert_eq!(code(&appraisal.verify_keyset_report(&mut Transcript::new())), "channel.report_data_mismatch");
    let case = AcceptedCase::new(pki());
    let appraisal = appraise_document(&case, &case.document(), &demo_policy()).unwrap();
    assert_eq!(code(&appraisal.verify_keyset_report(&mut Transcript::new())), "channel.role");
}

/// What binds an envelope's report: role, nonce, keyset, and that the keyset has one key for envelopes.
#[test]
fn envelopes_are_bound_to_one_key_of_the_keyset() {
    let key = |id: &str, algo: &str, public_key: &str| KeyEntry {
        key_id: id.to_owned(),
        algo: algo.to_owned(),
        public_key: public_key.to_owned(),
    };
    let one = key("ohttp", ALGO_OHTTP, &"0a".repeat(32));
    let bound = |keys: Vec<KeyEntry>, spoil: &dyn Fn(&mut AcceptedCase<'_>, &mut AttestationDocument)| {
        let mut case = AcceptedCase::new(pki());
        case.role = Role::Ohttp;
        case.keyset.e2ee_public_keys = keys;
        let (nonce, mut document) = (case.view.nonce, case.document());
        spoil(&mut case, &mut document);
        let appraisal = appraise_document(&case, &document, &demo_policy()).unwrap();
        appraisal.bind_envelopes(&nonce, &mut Transcript::new()).map(|bound| *bound.key())
    };
    let unspoiled = |keys| bound(keys, &|_, _| {});
    assert_eq!(unspoiled(vec![one.clone()]), Ok([0x0a; 32]));
    // Keys for something else are no keys for envelopes, and two are not one.
    let other = key("other", "x25519-of-another-protocol", &"0b".repeat(32));
    assert_eq!(unspoiled(vec![other.clone(), one.clone()]), Ok([0x0a; 32]));
    let second = key("ohttp-2", ALGO_OHTTP, &"0c".repeat(32));
    let short = key("ohttp", ALGO_OHTTP, "0a");
    for keys in [vec![], vec![other], vec![one.clone(), second], vec![short]] {
        assert_eq!(code(&unspoiled(keys)), "channel.no_envelope_key");
    }
    let spoilt = |spoil: &dyn Fn(&mut AcceptedCase<'_>, &mut AttestationDocument)| {
        let bound = bound(vec![one.clone()], spoil);
        code(&bound)
    };
    assert_eq!(spoilt(&|_, document| document.role = Role::Tls), "channel.role");
    assert_eq!(spoilt(&|_, document| document.nonce = Nonce([0x12; 32])), "channel.nonce_mismatch");
    assert_eq!(spoilt(&|_, document| document.batch.tree_size = 2), "channel.batch_path");
    let swapped = spoilt(&|_, document| {
        document.keyset.e2ee_public_keys[0].public_key = "0d".repeat(32);
        document.keyset_digest = document.keyset.digest();
    });
    assert_eq!(swapped, "channel.report_data_mismatch");
    // A report for a channel, whose role in the document was changed.
    let channels = spoilt(&|case, document| {
        case.role = Role::Tls;
        *document = AttestationDocument { role: Role::Ohttp, ..case.document() };
    });
    assert_eq!(channels, "channel.report_data_mismatch");
}
