//! What the tests of the ledger share: a clock that is set by hand, proofs that are only marked as good or bad, and worlds
//! with each kind of store in them.

#![allow(dead_code, reason = "each test binary uses a part of this module")]

pub(crate) mod disk;
pub(crate) mod oracle;
pub(crate) mod stakes;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use credits::checkpoint::ledger_id;
use credits::ledger::LEDGER_VERSION;
use credits::{
    Bytes32, Credits, Fe, Inner, JournalRequest, Ledger, LedgerError, LedgerInfo, MergeInfo, MergePublic, MintOutput,
    NotePublicKey, Nullifier, RedeemRequest, ReserveRequest, Root, SettleRequest, SigningKey, SpendContext, SpendProof,
    SpendPublic, Voucher, journal_message, settle_message,
};
use ledger::redb_store::create_database;
use ledger::{
    Clock, DurableLedger, LedgerIdentity, PostgresServer, PublishedKeys, PublishedParams, SpendVerifier, VolatileLedger,
};
use ledger_client::{LedgerClient, Pins};
use ledger_testing::Postgres;
use tokio::net::TcpListener;

pub(crate) const START: u64 = 1_000_000;
pub(crate) const TAB_SECS_MAX: u64 = 600;
pub(crate) const GRACE_SECS: u64 = 60;
pub(crate) const ROOT_WINDOW: u64 = 8;
/// Of the key of merges: no proof of a merge is real in these tests.
const MERGE_VK_DIGEST: Bytes32 = Bytes32([10; 32]);

/// A clock that stands still until it is moved.
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(START)))
    }

    pub(crate) fn advance(&self, secs: u64) {
        self.0.fetch_add(secs, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Takes proofs that begin with 1, whatever they are proofs of: these tests are about the ledger around the proof.
pub(crate) struct FakeProofs;

pub(crate) fn good_proof() -> SpendProof {
    SpendProof::from_bytes([1; 128])
}

/// Another good proof of the same, as re-randomising makes one.
pub(crate) fn other_good_proof() -> SpendProof {
    let mut bytes = [1; 128];
    bytes[127] = 2;
    SpendProof::from_bytes(bytes)
}

pub(crate) fn bad_proof() -> SpendProof {
    SpendProof::from_bytes([2; 128])
}

impl SpendVerifier for FakeProofs {
    fn verify_spends(&self, spends: &[(SpendPublic, SpendProof)]) -> Vec<Result<(), LedgerError>> {
        let verdict = |(_, proof): &(SpendPublic, SpendProof)| match proof.as_bytes()[0] {
            1 => Ok(()),
            _ => Err(LedgerError::ProofInvalid),
        };
        spends.iter().map(verdict).collect()
    }

    fn verify_merge(&self, _merge: &MergePublic, proof: &SpendProof) -> Result<(), LedgerError> {
        if proof.as_bytes()[0] == 1 { Ok(()) } else { Err(LedgerError::ProofInvalid) }
    }
}

pub(crate) fn ledger_key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

pub(crate) fn admin_key() -> SigningKey {
    SigningKey::from_seed(&[2; 32])
}

/// The receipt key of the guardian in these tests.
pub(crate) fn settle_key() -> SigningKey {
    SigningKey::from_seed(&[3; 32])
}

/// The key of whoever is paid in these tests.
pub(crate) fn payee_key() -> SigningKey {
    SigningKey::from_seed(&[6; 32])
}

pub(crate) fn info(vk_digest: Bytes32) -> LedgerInfo {
    let ledger_key = ledger_key().public();
    LedgerInfo {
        version: LEDGER_VERSION.to_owned(),
        ledger_id: ledger_id(ledger_key, vk_digest, Some(MERGE_VK_DIGEST)),
        ledger_key,
        admin_key: admin_key().public(),
        vk_digest,
        holds_value: false,
        setup: "single-party".to_owned(),
        grace_secs: GRACE_SECS,
        root_window: ROOT_WINDOW,
        tab_secs_max: TAB_SECS_MAX,
        merge: Some(MergeInfo { vk_digest: MERGE_VK_DIGEST, setup: "single-party".to_owned() }),
    }
}

pub(crate) fn identity() -> LedgerIdentity {
    LedgerIdentity::new(info(Bytes32([9; 32])), ledger_key()).unwrap()
}

pub(crate) fn credits(value: u64) -> Credits {
    Credits::new(value).unwrap()
}

/// A ledger under test and what surrounds it.
pub(crate) struct World<L> {
    pub(crate) ledger: Arc<L>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) info: LedgerInfo,
    _home: Home,
}

/// Where a ledger's files are; gone once it is dropped.
pub(crate) enum Home {
    Memory,
    Disk(tempfile::TempDir),
    Server(Postgres),
}

pub(crate) async fn memory() -> World<VolatileLedger> {
    let clock = TestClock::new();
    let ledger = VolatileLedger::volatile(identity(), FakeProofs, clock.clone()).unwrap();
    World { ledger: Arc::new(ledger), clock, info: identity().info().clone(), _home: Home::Memory }
}

pub(crate) async fn redb() -> World<DurableLedger> {
    let directory = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let path = directory.path().join("ledger.redb");
    create_database(&path, &identity()).unwrap();
    let ledger = DurableLedger::open_file(&path, identity(), FakeProofs, clock.clone()).unwrap();
    World { ledger: Arc::new(ledger), clock, info: identity().info().clone(), _home: Home::Disk(directory) }
}

/// Nothing where PostgreSQL is not installed.
pub(crate) async fn postgres() -> Option<World<DurableLedger>> {
    let home = blocking(Postgres::start).await.unwrap()?;
    let url = home.url("ledger").unwrap();
    let clock = TestClock::new();
    let ledger = in_schema(url, clock.clone()).await;
    Some(World { ledger: Arc::new(ledger), clock, info: identity().info().clone(), _home: Home::Server(home) })
}

/// Makes a ledger on a server and opens it.
pub(crate) async fn in_schema(url: String, clock: Arc<TestClock>) -> DurableLedger {
    blocking(move || {
        let server = PostgresServer::new(&url, None).unwrap();
        server.create_ledger(&identity()).unwrap();
        DurableLedger::open_postgres(server, identity(), FakeProofs, clock).unwrap()
    })
    .await
}

/// On a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// The client, the service and the store on disk behind each other.
pub(crate) async fn http() -> World<LedgerClient> {
    let World { ledger, clock, info, _home } = redb().await;
    let url = serve(DurableLedger::clone(&ledger)).await;
    let client = LedgerClient::connect(&url, Pins::from(&info)).await.unwrap();
    World { ledger: Arc::new(client), clock, info, _home }
}

/// Parameters that are handed out and that nobody looks at.
pub(crate) fn published() -> PublishedParams {
    let spend = PublishedKeys { proving_key: "pk".into(), verifying_key: "vk".into() };
    PublishedParams { spend, merge: None }
}

/// Serves a ledger on the loopback for as long as the test's runtime lives.
pub(crate) async fn serve(ledger: DurableLedger) -> String {
    let params = published();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        axum::serve(listener, ledger::router(ledger, params, ledger::WitnessedHead::default())).await
    });
    url
}

impl<L: Ledger> World<L> {
    /// Around a ledger whose files somebody else keeps.
    pub(crate) fn of(ledger: L, clock: Arc<TestClock>) -> Self {
        Self { ledger: Arc::new(ledger), clock, info: identity().info().clone(), _home: Home::Memory }
    }

    pub(crate) fn home(&self) -> &Home {
        &self._home
    }

    pub(crate) fn voucher(&self, number: u8, value: u64) -> Voucher {
        Voucher::issue(&admin_key(), self.info.ledger_id, Bytes32([number; 32]), credits(value))
    }

    /// Mints one note of some value, so that there is a root to spend under.
    pub(crate) async fn mint(&self, number: u8, value: u64) {
        let request = RedeemRequest { voucher: self.voucher(number, value).to_text(), outputs: vec![output(1, value)] };
        self.ledger.redeem(request).await.unwrap();
    }

    pub(crate) async fn root(&self) -> Root {
        self.ledger.checkpoint(0).await.unwrap().checkpoint.note_root
    }

    pub(crate) async fn log_size(&self) -> u64 {
        self.ledger.checkpoint(0).await.unwrap().checkpoint.log_size
    }

    /// A spend of its own for every number, under the current root.
    pub(crate) async fn spend(&self, number: u64, c_max: u64) -> ReserveRequest {
        self.spend_under(self.root().await, number, c_max)
    }

    pub(crate) fn spend_under(&self, root: Root, number: u64, c_max: u64) -> ReserveRequest {
        let mut tab_key = Bytes32([4; 32]);
        tab_key.0[..8].copy_from_slice(&number.to_be_bytes());
        ReserveRequest {
            root,
            nullifier: Nullifier(Fe::from(1_000 + number)),
            inner_next: Inner(Fe::from(2_000_000 + number)),
            c_max: credits(c_max),
            context: SpendContext {
                ledger_id: self.info.ledger_id,
                vk_digest: self.info.vk_digest,
                keyset_digest: Bytes32([5; 32]),
                settle_key: settle_key().public(),
                payee: payee_key().public(),
                price_sheet_digest: Bytes32([7; 32]),
                not_after: self.clock.now() + TAB_SECS_MAX,
                tab_key,
            },
            proof: good_proof(),
        }
    }

    pub(crate) fn journal(&self, spend: &ReserveRequest, total: u64) -> JournalRequest {
        journal(&self.info, &spend.nullifier, total)
    }

    pub(crate) fn settle(&self, spend: &ReserveRequest, charge: u64) -> SettleRequest {
        settle(&self.info, &spend.nullifier, charge)
    }
}

/// Something is charged, claimed, staked, lost and rated over two services of one ledger.
pub(crate) async fn claims_and_stakes_work<L: Ledger>(services: [&L; 2]) {
    let mut oracle = oracle::Oracle::new(identity().info().clone(), START);
    let actions = [
        oracle::Action::Mint { value: 999, notes: 2 },
        oracle::Action::Reserve { note: 0, c_max: 100 },
        oracle::Action::Settle { spend: 0, charge: 50 },
        oracle::Action::Claim { value: 20, before: 0 },
        oracle::Action::RepeatClaim,
        oracle::Action::Claim { value: 10, before: 0 },
        oracle::Action::Standing(stakes::Standing::Put { amount: 5 }),
        oracle::Action::Standing(stakes::Standing::Back { secs: 600 }),
        oracle::Action::Standing(stakes::Standing::RepeatAct),
        oracle::Action::Standing(stakes::Standing::Accuse { honest: false }),
        oracle::Action::Standing(stakes::Standing::RepeatAccuse),
        oracle::Action::Standing(stakes::Standing::Rate { spend: 0, score: 4 }),
    ];
    for (service, action) in services.into_iter().cycle().zip(actions) {
        let (call, expected) = oracle.plan(action).unwrap();
        assert_eq!(oracle::send_plain(service, call).await, expected, "{action:?}");
    }
    oracle.audit(services[0]).await;
    assert_eq!(services[1].payee(payee_key().public()).await.unwrap().claims, 2);
}

pub(crate) fn journal(info: &LedgerInfo, nullifier: &Nullifier, total: u64) -> JournalRequest {
    let signature = settle_key().sign(&journal_message(&info.ledger_id, nullifier, credits(total)));
    JournalRequest { nullifier: *nullifier, total: credits(total), signature }
}

pub(crate) fn settle(info: &LedgerInfo, nullifier: &Nullifier, charge: u64) -> SettleRequest {
    let signature = settle_key().sign(&settle_message(&info.ledger_id, nullifier, credits(charge)));
    SettleRequest { nullifier: *nullifier, charge: credits(charge), signature }
}

pub(crate) fn output(number: u64, value: u64) -> MintOutput {
    MintOutput { pk: NotePublicKey(Fe::from(100 + number)), value: credits(value), b: Fe::from(200 + number) }
}

pub(crate) fn scratch(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("ledger")
}
