//! What the tests of the ledger share: what they ask, and worlds with each kind of store in them.

#![allow(dead_code, reason = "each test binary uses a part of this module")]

pub(crate) mod disk;
pub(crate) mod oracle;
pub(crate) mod stakes;
mod world;

use std::path::PathBuf;
use std::sync::Arc;

use credits::{Bytes32, Ledger, LedgerError, MergePublic, SpendProof, SpendPublic};
use ledger::redb_store::create_database;
use ledger::{
    Clock, DurableLedger, LedgerIdentity, PostgresServer, PublishedKeys, PublishedParams, SpendVerifier, VolatileLedger,
};
use ledger_client::{LedgerClient, Pins};
use ledger_testing::Postgres;
use tokio::net::TcpListener;

pub(crate) use world::*;

impl Clock for TestClock {
    fn now(&self) -> u64 {
        self.read()
    }
}

/// Takes proofs that begin with 1, whatever they are proofs of: these tests are about the ledger around the proof.
pub(crate) struct FakeProofs;

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

pub(crate) fn identity() -> LedgerIdentity {
    LedgerIdentity::new(info(Bytes32([9; 32])), ledger_key()).unwrap()
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
    World { ledger: Arc::new(ledger), clock, info: identity().info().clone(), home: Home::Memory }
}

pub(crate) async fn redb() -> World<DurableLedger> {
    let directory = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let path = directory.path().join("ledger.redb");
    create_database(&path, &identity()).unwrap();
    let ledger = DurableLedger::open_file(&path, identity(), FakeProofs, clock.clone()).unwrap();
    World { ledger: Arc::new(ledger), clock, info: identity().info().clone(), home: Home::Disk(directory) }
}

/// Nothing where PostgreSQL is not installed.
pub(crate) async fn postgres() -> Option<World<DurableLedger>> {
    let home = blocking(Postgres::start).await.unwrap()?;
    let url = home.url("ledger").unwrap();
    let clock = TestClock::new();
    let ledger = in_schema(url, clock.clone()).await;
    Some(World { ledger: Arc::new(ledger), clock, info: identity().info().clone(), home: Home::Server(home) })
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
    let World { ledger, clock, info, home } = redb().await;
    let url = serve(DurableLedger::clone(&ledger)).await;
    let client = LedgerClient::connect(&url, Pins::from(&info)).await.unwrap();
    World { ledger: Arc::new(client), clock, info, home }
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
        Self { ledger: Arc::new(ledger), clock, info: identity().info().clone(), home: Home::Memory }
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

pub(crate) fn scratch(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("ledger")
}
