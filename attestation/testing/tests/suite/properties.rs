//! Properties: parsers are total, encodings are injective, nothing that was signed can be changed.

use std::sync::OnceLock;

use attestation::snp::{REPORT_LEN, SIGNED_LEN, SnpReport};
use attestation::{
    AppraisalPolicy, AttestationDocument, BatchPosition, DEMO_POLICY, Hex32, Receipt, Rejection, ReportDataInputs,
    Role, Sha256Digest, Transcript, TrustRoots,
};
use attestation_testing::AcceptedCase;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::{appraise_document, code, demo_policy, pki, snp_of};

fn accepted() -> &'static AttestationDocument {
    static DOCUMENT: OnceLock<AttestationDocument> = OnceLock::new();
    DOCUMENT.get_or_init(|| AcceptedCase::new(pki()).document())
}

fn appraise(document: &AttestationDocument) -> Result<(), Rejection> {
    let case = AcceptedCase::new(pki());
    let appraisal = appraise_document(&case, document, &demo_policy())?;
    appraisal.bind_channel(&case.view, &mut Transcript::new()).map(|_| ())
}

fn arb_role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Tls), Just(Role::Ohttp), Just(Role::Keyset)]
}

/// Few enough values that equal inputs occur.
fn arb_bytes() -> impl Strategy<Value = [u8; 32]> {
    (0_u8..2).prop_map(|byte| [byte; 32])
}

fn arb_inputs() -> impl Strategy<Value = ReportDataInputs> {
    let gpu = proptest::option::of((arb_bytes(), 0_u64..2));
    (arb_role(), arb_bytes(), arb_bytes(), arb_bytes(), gpu).prop_map(
        |(role, batch_root, leaf_spki_sha256, keyset_digest, gpu)| ReportDataInputs {
            role,
            batch_root,
            leaf_spki_sha256,
            keyset_digest: Sha256Digest(keyset_digest),
            gpu: gpu.map(|(digest, epoch)| attestation::GpuBinding { evidence_digest: Hex32(digest), epoch }),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn parsers_are_total(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        let _ = SnpReport::parse(&bytes);
        let _ = AttestationDocument::from_json(&bytes);
        let _ = Receipt::from_json(&bytes);
        let _ = TrustRoots::named(&bytes);
        let _ = AppraisalPolicy::from_toml(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_length_but_one_is_refused(length in 0_usize..4096) {
        let report = vec![0; length];
        let expected = if length == REPORT_LEN { "snp.version" } else { "snp.length" };
        prop_assert_eq!(code(&SnpReport::parse(&report)), expected);
    }

    /// Any byte of the report, changed in any way: never accepted, never a panic.
    #[test]
    fn no_byte_of_a_report_can_change(at in any::<Index>(), delta in 1_u8..) {
        let mut document = accepted().clone();
        let bytes = &mut document.evidence.report.0;
        let at = at.index(bytes.len());
        bytes[at] ^= delta;
        let result = appraise(&document);
        prop_assert_ne!(code(&result), "ok", "offset {:#x}", at);
        if at >= SIGNED_LEN {
            let code = code(&result);
            prop_assert!(code == "snp.signature" || code == "snp.signature_encoding", "offset {:#x}: {}", at, code);
        }
    }

    /// Any byte of any certificate or list, changed in any way.
    #[test]
    fn no_byte_of_an_endorsement_can_change(which in 0_usize..4, at in any::<Index>(), delta in 1_u8..) {
        let mut document = accepted().clone();
        let endorsements = snp_of(&mut document);
        let bytes = match which {
            0 => &mut endorsements.vek.0,
            1 => &mut endorsements.intermediate.0,
            2 => &mut endorsements.root.0,
            _ => &mut endorsements.crl.as_mut().unwrap().0,
        };
        let at = at.index(bytes.len());
        bytes[at] ^= delta;
        prop_assert_ne!(code(&appraise(&document)), "ok", "part {} offset {}", which, at);
    }

    #[test]
    fn endorsements_of_arbitrary_bytes_are_refused(
        vek in prop::collection::vec(any::<u8>(), 0..256),
        crl in prop::collection::vec(any::<u8>(), 0..256),
    ) {
        let mut document = accepted().clone();
        snp_of(&mut document).crl.as_mut().unwrap().0 = crl;
        prop_assert_eq!(code(&appraise(&document)), "chain.malformed");
        snp_of(&mut document).vek.0 = vek;
        prop_assert_eq!(code(&appraise(&document)), "chain.malformed");
    }

    #[test]
    fn documents_with_a_changed_byte_are_refused_or_equal(at in any::<Index>(), byte in any::<u8>()) {
        let mut text = accepted().to_json();
        let at = at.index(text.len());
        text[at] = byte;
        let result = AttestationDocument::from_json(&text).and_then(|document| {
            appraise(&document)?;
            Ok(document)
        });
        // An accepted document with other bytes says the same thing (a space, an escape).
        if let Ok(document) = result {
            prop_assert_eq!(&document, accepted());
        }
    }

    #[test]
    fn report_data_is_injective(one in arb_inputs(), two in arb_inputs()) {
        prop_assert_eq!(one == two, one.report_data() == two.report_data());
    }

    #[test]
    fn batch_paths_are_total(
        leaf_index in any::<u64>(),
        tree_size in any::<u64>(),
        path in prop::collection::vec(any::<[u8; 32]>(), 0..70),
        leaf in any::<[u8; 32]>(),
    ) {
        let position = BatchPosition { leaf_index, tree_size, path: path.into_iter().map(Hex32).collect() };
        if let Err(rejection) = position.root(leaf) {
            prop_assert_eq!(rejection.code(), "channel.batch_path");
        }
    }

    #[test]
    fn policies_with_a_changed_byte_never_panic(at in any::<Index>(), byte in any::<u8>()) {
        let mut text = DEMO_POLICY.as_bytes().to_vec();
        let at = at.index(text.len());
        text[at] = byte;
        let _ = AppraisalPolicy::from_toml(&String::from_utf8_lossy(&text));
    }
}
