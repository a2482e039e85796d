//! A ledger made, opened and served as an operator does it, with real parameters and real proofs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use credits::params::ProvingParams;
use credits::spend::{SpendWitness, prove};
use credits::{
    Blind, Bytes32, Fe, Ledger, LedgerError, LedgerInfo, Note, NoteTree, PayeeAccount, RedeemRequest, ReserveRequest,
    SpendContext, SpendKey, SpendProof, Voucher,
};
use ledger::redb_store::create_database;
use ledger::{DirectoryError, DurableLedger, InitOptions, OpenLedger, init, issue_voucher, open};
use ledger_client::{LedgerClient, Pins};
use support::*;
use tokio::net::TcpListener;

/// Databases of before there were claims, or stakes, have no tables for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_before_there_were_claims_and_stakes_takes_them_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    create_database(&path, &identity()).unwrap();
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    for table in ["claims", "bonds"] {
        let table: redb::TableDefinition<'_, &[u8; 32], &[u8]> = redb::TableDefinition::new(table);
        assert!(transaction.delete_table(table).unwrap());
    }
    transaction.commit().unwrap();
    drop(database);
    let ledger = DurableLedger::open_file(&path, identity(), FakeProofs, TestClock::new()).unwrap();
    assert_eq!(ledger.payee(payee_key().public()).await, Ok(PayeeAccount::default()));
    assert_eq!(ledger.bond(payee_key().public()).await, Ok(credits::Bond::default()));
    claims_and_stakes_work([&ledger, &ledger]).await;
}

/// One ledger directory for all tests; making parameters is the slow part. Tests copy it.
static MADE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    init(&scratch(&directory), InitOptions::default()).unwrap();
    directory
});

fn copy_of_made() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(scratch(&copy)).unwrap();
    for entry in fs::read_dir(scratch(&MADE)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), scratch(&copy).join(entry.file_name())).unwrap();
    }
    copy
}

fn code(result: Result<OpenLedger, DirectoryError>) -> String {
    result.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn init_writes_private_keys_and_refuses_to_overwrite() {
    let directory = copy_of_made();
    let path = scratch(&directory);
    for (file, mode) in [("ledger.key", 0o600), ("admin.key", 0o600), ("ledger.json", 0o644), ("proving.key", 0o644)] {
        assert_eq!(fs::metadata(path.join(file)).unwrap().permissions().mode() & 0o777, mode, "{file}");
    }
    let refused = init(&path, InitOptions::default()).unwrap_err();
    assert!(matches!(refused, DirectoryError::NotEmpty { .. }), "{refused}");
    // Not even over one that was never finished.
    fs::remove_file(path.join("ledger.json")).unwrap();
    let refused = init(&path, InitOptions::default()).unwrap_err();
    assert!(matches!(refused, DirectoryError::NotEmpty { .. }), "{refused}");
}

#[test]
fn a_directory_that_does_not_hold_together_is_not_opened() {
    let key_file = |path: &Path, name: &str, bytes: &[u8]| fs::write(path.join(name), bytes).unwrap();
    type Fault<'a> = &'a dyn Fn(&Path);
    let table: [(Fault<'_>, &str); 9] = [
        (&|p| fs::remove_file(p.join("ledger.redb")).unwrap(), "database is unusable"),
        (&|p| fs::remove_file(p.join("ledger.json")).unwrap(), "ledger.json is missing"),
        (&|p| fs::write(p.join("ledger.json"), "{}").unwrap(), "ledger.json is malformed"),
        (&|p| key_file(p, "ledger.key", &[b'x'; 64]), "ledger.key is malformed"),
        (&|p| key_file(p, "ledger.key", "11".repeat(32).as_bytes()), "do not belong together"),
        (&|p| fs::set_permissions(p.join("ledger.key"), fs::Permissions::from_mode(0o640)).unwrap(), "mode 640"),
        (&|p| fs::write(p.join("verifying.key"), "short").unwrap(), "parameters of the proof system are unusable"),
        (&|p| fs::remove_file(p.join("proving.key")).unwrap(), "read "),
        (&|p| fs::write(p.join("ledger.redb"), vec![7; 8192]).unwrap(), "database is unusable"),
    ];
    for (row, (fault, message)) in table.iter().enumerate() {
        let directory = copy_of_made();
        fault(&scratch(&directory));
        let refused = code(open(&scratch(&directory), TestClock::new()));
        assert!(refused.contains(message), "row {row}: {refused}");
    }
}

#[test]
fn a_ledger_is_opened_by_one_at_a_time_and_keeps_its_own_database() {
    let (directory, other) = (copy_of_made(), tempfile::tempdir().unwrap());
    let opened = open(&scratch(&directory), TestClock::new()).unwrap();
    assert!(code(open(&scratch(&directory), TestClock::new())).contains("database is unusable"));
    drop(opened);
    // A database of another ledger, put in place of its own.
    create_database(&other.path().join("ledger.redb"), &identity()).unwrap();
    fs::copy(other.path().join("ledger.redb"), scratch(&directory).join("ledger.redb")).unwrap();
    match open(&scratch(&directory), TestClock::new()).map(|_| ()) {
        Err(DirectoryError::Store(error)) => assert!(matches!(error, ledger::StoreError::ForeignDatabase), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn vouchers_are_the_administrators_and_worth_something() {
    let directory = copy_of_made();
    let info = ledger::directory::read_info(&scratch(&directory)).unwrap();
    let voucher = issue_voucher(&scratch(&directory), credits(5)).unwrap();
    assert_eq!((voucher.ledger_id, voucher.value), (info.ledger_id, credits(5)));
    voucher.verify(&info.admin_key).unwrap();
    let next = issue_voucher(&scratch(&directory), credits(5)).unwrap();
    assert_ne!(next.voucher_id, voucher.voucher_id);
    assert!(matches!(issue_voucher(&scratch(&directory), credits(0)), Err(DirectoryError::VoucherZero)));
}

struct Guardianless {
    info: LedgerInfo,
    client: LedgerClient,
    proving: ProvingParams,
    clock: Arc<TestClock>,
}

impl Guardianless {
    async fn tree(&self) -> NoteTree {
        let mut tree = NoteTree::new();
        for entry in self.client.log(0, 1000).await.unwrap().entries {
            if let Some((index, leaf)) = entry.appended_note() {
                assert_eq!(tree.append(leaf), Ok(index));
            }
        }
        tree
    }

    /// A spend of a note, really proved.
    async fn spend(&self, key: &SpendKey, note: &Note, index: u64, c_max: u64) -> ReserveRequest {
        let tree = self.tree().await;
        let context = SpendContext {
            ledger_id: self.info.ledger_id,
            vk_digest: self.info.vk_digest,
            keyset_digest: Bytes32([5; 32]),
            settle_key: settle_key().public(),
            payee: Bytes32([6; 32]),
            price_sheet_digest: Bytes32([7; 32]),
            not_after: ledger::Clock::now(&*self.clock) + 600,
            tab_key: Bytes32([8; 32]),
        };
        let witness = SpendWitness {
            spend_key: key.clone(),
            note: note.clone(),
            path: tree.path(index).unwrap(),
            blind_next: Blind(Fe::from(index + 900)),
        };
        let c_max = credits(c_max);
        let public = witness.public(c_max, context.digest(c_max)).unwrap();
        let proof = prove(&self.proving, &public, &witness, &mut rand_core::OsRng).unwrap();
        let (root, nullifier, inner_next) = (public.root, public.nullifier, public.inner_next);
        ReserveRequest { root, nullifier, inner_next, c_max, context, proof }
    }
}

/// The whole of a ledger's work over HTTP with real proofs: deposit, two spends in a row, the refund spendable, and what a
/// false statement meets.
#[tokio::test(flavor = "multi_thread")]
async fn real_spends_through_the_service() {
    let directory = copy_of_made();
    let clock = TestClock::new();
    let opened = open(&scratch(&directory), clock.clone()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let service = tokio::spawn(ledger::serve(listener, opened, async move { drop(stopped.await) }));

    let info = LedgerClient::discover(&url).await.unwrap();
    let client = LedgerClient::connect(&url, Pins::from(&info)).await.unwrap();
    let proving = ProvingParams::from_bytes(&client.proving_key().await.unwrap(), info.vk_digest).unwrap();
    assert_eq!(client.verifying_key().await.unwrap().digest(), info.vk_digest);
    let world = Guardianless { info, client, proving, clock };

    let key = SpendKey::from_secret(Fe::from(123_456));
    let voucher: Voucher = issue_voucher(&scratch(&directory), credits(1000)).unwrap();
    let minted = credits::MintOutput { pk: key.public_key(0), value: credits(1000), b: Fe::from(1) };
    let request = RedeemRequest { voucher: voucher.to_text(), outputs: vec![minted] };
    let entry = world.client.redeem(request).await.unwrap().entries.remove(0);
    let note = Note { lane: 0, value: entry.value, rho: entry.rho, blind: Blind(entry.b), refund: credits(0) };

    let spend = world.spend(&key, &note, entry.leaf_index, 256).await;
    let false_statements: [fn(&mut ReserveRequest); 5] = [
        |r| r.c_max = credits(255),
        |r| r.inner_next = credits::Inner(Fe::from(1)),
        |r| r.context.payee.0[0] ^= 1,
        |r| r.context.settle_key.0[0] ^= 1,
        |r| r.nullifier = credits::Nullifier(Fe::from(1)),
    ];
    for (row, change) in false_statements.iter().enumerate() {
        let mut bad = spend.clone();
        change(&mut bad);
        assert_eq!(world.client.reserve(bad).await.map(|_| ()), Err(LedgerError::ProofInvalid), "row {row}");
    }
    let mut garbage = spend.clone();
    garbage.proof = SpendProof::from_bytes([0xff; 128]);
    assert_eq!(world.client.reserve(garbage).await.map(|_| ()), Err(LedgerError::ProofMalformed));

    world.client.reserve(spend.clone()).await.unwrap();
    world.client.journal(journal(&world.info, &spend.nullifier, 40)).await.unwrap();
    let settled = world.client.settle(settle(&world.info, &spend.nullifier, 56)).await.unwrap();
    // The successor holds what was not reserved in secret and the refund in the open, and spends like any other.
    let successor = Note {
        lane: 0,
        value: credits(744),
        rho: spend.nullifier.0,
        blind: Blind(Fe::from(900)),
        refund: credits(200),
    };
    assert_eq!(settled.leaf, successor.leaf(&key));
    let again = world.spend(&key, &successor, settled.leaf_index, 944).await;
    world.client.reserve(again.clone()).await.unwrap();
    let last = world.client.settle(settle(&world.info, &again.nullifier, 944)).await.unwrap();
    assert_eq!(last.refund, credits(0));

    // The first note a second time: the proof is good, the nullifier is not.
    let twice = world.spend(&key, &note, entry.leaf_index, 128).await;
    assert_eq!(world.client.reserve(twice).await.map(|_| ()), Err(LedgerError::SpendConflict));

    stop.send(()).unwrap();
    service.await.unwrap().unwrap();
    let reopened = open(&scratch(&directory), TestClock::new()).unwrap();
    let sums = PayeeAccount { owed: credits(1000), claims: 0 };
    assert_eq!(reopened.ledger.payee(Bytes32([6; 32])).await, Ok(sums));
    assert_eq!(reopened.ledger.heads().await.unwrap().log_root, last.checkpoint.log_root);
}
