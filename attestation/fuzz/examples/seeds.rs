//! Seeds that no vector holds: documents, bundles, receipts and the parts of vTPM evidence, each well formed and really
//! signed. `seeds DIRECTORY` writes them by target; `run.sh` calls it.

#![allow(clippy::unwrap_used, reason = "a development tool")]

use std::fs;
use std::path::Path;

use attestation::azure::VtpmEvidence;
use attestation::{
    APPRAISAL_BUNDLE_VERSION, AppraisalBundle, AttestationDocument, Base64, CpuEvidence, CpuEvidenceSet, DEMO_POLICY,
    Endorsements, Event, EvidenceFormat, EvidenceSet, GpuEvidenceSet, GpuSection, Hex32, Product, ReceiptKey,
    Rejection, StoredVerdict, UnixTime, UnsignedReceipt, VerifierKey, sign_ear,
};
use attestation_testing::gpu::{FakeGpu, GpuKeys};
use attestation_testing::tdx::FakeTdx;
use attestation_testing::{AcceptedCase, NAME_PREFIX, TestPki};
use ceremony::{Ptau, contribute, start};
use ceremony_testing::{Highest, Secrets, SmallCircuit, ptau};
use credits::circuit::Relation;
use credits::params::setup;
use credits::spend::{SpendWitness, prove};
use credits::{
    Blind, Bytes32, Checkpoint, Credits, Fe, JournalEntry, LogEntry, LogPage, MintEntry, Note, NoteTree,
    ReserveRequest, SettleEntry, SettledBy, SigningKey, SpendContext, SpendKey, UnsignedCheckpoint, journal_message,
    settle_message,
};
use rand_core::OsRng;

fn main() {
    let directory = std::env::args().nth(1).unwrap();
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = Path::new(&directory).join(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
    };
    let pki = TestPki::generate(Product::Genoa, NAME_PREFIX).unwrap();
    let case = AcceptedCase::new(&pki);
    let snp = case.document();
    write("document", "snp", &snp.to_json());
    let whole = with_td_and_gpu(&snp, case.now);
    write("document", "tdx-gpu", &whole.to_json());

    let cpu = |document: &AttestationDocument| match document.endorsements.clone() {
        Endorsements::SevSnp(endorsements) => {
            CpuEvidenceSet::SevSnp { report: document.evidence.report.clone(), endorsements }
        }
        Endorsements::Tdx(collateral) => CpuEvidenceSet::Tdx { quote: document.evidence.report.clone(), collateral },
    };
    for (name, document) in [("snp", &snp), ("tdx-gpu", &whole)] {
        let gpu = document.gpu.clone().map(|gpu| GpuEvidenceSet {
            evidence: gpu.evidence,
            endorsements: gpu.endorsements,
            nonce: Some(Hex32([7; 32])),
        });
        let evidence = EvidenceSet { cpu: Some(cpu(document)), gpu, report_data: None };
        write("evidence_set", name, &serde_json::to_vec(&evidence).unwrap());
        let bundle = AppraisalBundle {
            version: APPRAISAL_BUNDLE_VERSION.to_owned(),
            evidence,
            roots: vec![Base64(pki.ark_der().to_vec())],
            policy: DEMO_POLICY.to_owned(),
            reference_values: Vec::new(),
            appraised_at: case.now,
            verdict: StoredVerdict { accepted: true, code: None },
        };
        write("bundle", name, &bundle.to_json());
    }
    let key = ReceiptKey::from_seed(&[2; 32]).unwrap();
    write("receipt", "signed", &serde_json::to_vec(&receipt(&snp).sign(&key).unwrap()).unwrap());
    let verifier = VerifierKey::from_seed(&[3; 32]).unwrap();
    write("ear", "refused", sign_ear(Err(&Rejection::DebugAllowed), case.now, case.now, &verifier).as_bytes());
    vtpm_parts(&write);
    paid(&write);
    ceremonies(&write);
}

fn receipt(document: &AttestationDocument) -> UnsignedReceipt {
    UnsignedReceipt {
        receipt_id: "rcpt-1".to_owned(),
        chat_id: Some("chatcmpl-1".to_owned()),
        model: None,
        workload_keyset_digest: document.keyset_digest,
        endpoint: "/v1/chat/completions".to_owned(),
        method: "POST".to_owned(),
        served_at: UnixTime(1_780_272_000),
        event_log: vec![
            Event::RequestReceived { body_hash: document.keyset_digest },
            Event::TokensMetered { prompt_tokens: 7, completion_tokens: 11, outcome: "complete".to_owned() },
        ],
    }
}

/// The same document for a TD, with a GPU.
fn with_td_and_gpu(document: &AttestationDocument, now: UnixTime) -> AttestationDocument {
    let (tdx, keys) = (FakeTdx::accepted().dated(now), GpuKeys::generate().unwrap());
    let gpu = FakeGpu::accepted(&keys, now);
    let nonce = GpuSection::nonce(&document.keyset_digest, &Hex32([1; 32]), 0);
    AttestationDocument {
        evidence: CpuEvidence { format: EvidenceFormat::TdxQuoteV1, report: Base64(tdx.quote()) },
        endorsements: Endorsements::Tdx(Box::new(tdx.collateral())),
        gpu: Some(GpuSection {
            random: Hex32([1; 32]),
            epoch: 0,
            evidence: vec![gpu.evidence(nonce)],
            endorsements: gpu.endorsements(),
        }),
        ..document.clone()
    }
}

fn vtpm_parts(write: &impl Fn(&str, &str, &[u8])) {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/azure-vtpm");
    for capture in fs::read_dir(captures).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let name = capture.file_name().unwrap().to_string_lossy().into_owned();
        let evidence = VtpmEvidence::from_json(&fs::read(capture.join("evidence.json")).unwrap()).unwrap();
        write("azure_hcl", &name, &evidence.hcl_report);
        write("azure_tpm", &name, &evidence.tpm_quote.message);
    }
}

/// A spend that is really proved, and a page of a log with it.
fn paid(write: &impl Fn(&str, &str, &[u8])) {
    let (proving, verifying) = setup(&mut OsRng).unwrap();
    let (key, settle_key, ledger_id) =
        (SpendKey::from_secret(Fe::from(1)), SigningKey::from_seed(&[3; 32]), numbered(1));
    let (value, c_max, charge) = (Credits::new(1000).unwrap(), Credits::new(256).unwrap(), Credits::new(56).unwrap());
    let note = Note {
        lane: 0,
        value,
        rho: credits::note::mint_rho(ledger_id, 0),
        blind: Blind(Fe::from(2)),
        refund: Credits::ZERO,
    };
    let mut tree = NoteTree::new();
    let leaf_index = tree.append(note.leaf(&key)).unwrap();
    let context = SpendContext {
        ledger_id,
        vk_digest: verifying.digest(),
        keyset_digest: numbered(5),
        settle_key: settle_key.public(),
        payee: numbered(6),
        price_sheet_digest: numbered(7),
        not_after: 1_782_864_000,
        tab_key: numbered(8),
    };
    let path = tree.path(leaf_index).unwrap();
    let witness = SpendWitness { spend_key: key.clone(), note: note.clone(), path, blind_next: Blind(Fe::from(3)) };
    let public = witness.public(c_max, context.digest(c_max)).unwrap();
    let proof = prove(&proving, &public, &witness, &mut OsRng).unwrap();
    let (root, nullifier, inner_next) = (public.root, public.nullifier, public.inner_next);
    let request = ReserveRequest { root, nullifier, inner_next, c_max, context, proof };
    write("verifying_params", "made", &verifying.to_bytes());
    write("spend_proof", "made", proof.as_bytes());
    write("spend_proof", "text", proof.to_string().as_bytes());
    write("reserve_request", "made", &serde_json::to_vec(&request).unwrap());

    let mint = MintEntry {
        mint_seq: 0,
        value,
        pk: note.public_key(&key),
        rho: note.rho,
        b: note.blind.0,
        leaf_index,
        leaf: note.leaf(&key),
        voucher_id: numbered(9),
    };
    let signature = settle_key.sign(&journal_message(&ledger_id, &nullifier, charge));
    let journal = JournalEntry { nullifier, total: charge, signature };
    let refund = Credits::new(200).unwrap();
    let settle = SettleEntry {
        nullifier,
        charge,
        refund,
        leaf_index: 1,
        leaf: credits::note::leaf(inner_next, refund),
        by: SettledBy::Guardian,
        signature: Some(settle_key.sign(&settle_message(&ledger_id, &nullifier, charge))),
    };
    let entries = vec![
        LogEntry::Mint(mint),
        LogEntry::Reserve(request.entry()),
        LogEntry::Journal(journal),
        LogEntry::Settle(settle),
    ];
    let (log_root, note_root) = (numbered(10), tree.root());
    let unsigned =
        UnsignedCheckpoint { ledger_id, log_size: 4, log_root, note_count: 2, note_root, time: 1_782_864_000 };
    let page = LogPage { entries, checkpoint: Checkpoint::sign(unsigned, &SigningKey::from_seed(&[4; 32])) };
    write("log_page", "made", &serde_json::to_vec(&page).unwrap());
}

fn numbered(number: u8) -> Bytes32 {
    Bytes32([number; 32])
}

/// Keys of a small circuit, before and after a contribution.
fn ceremonies(write: &impl Fn(&str, &str, &[u8])) {
    let circuit = Relation::of(SmallCircuit::example()).unwrap();
    let phase1 = ptau(3, &Secrets::from_seed(1), Highest::Missing);
    let mut zkey = start(&circuit, &Ptau::read(&phase1, &circuit, &mut OsRng).unwrap()).unwrap();
    write("zkey", "start", &zkey.to_bytes());
    contribute(&mut zkey, "one", b"", &mut OsRng).unwrap();
    write("zkey", "contributed", &zkey.to_bytes());
}
