//! The store in PostgreSQL where it differs from the others: a server that is killed, several services over one database,
//! and databases that must not be used. Without PostgreSQL every test says SKIP.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use credits::merkle::verify_consistency;
use credits::{Bytes32, Fe, Ledger, LedgerError, Nullifier, SigningKey};
use ledger::{DurableLedger, InitOptions, LedgerIdentity, PostgresOptions, PostgresServer, StoreError, init, open};
use ledger_testing::{Postgres, until_known};
use support::disk::Seeded;
use support::oracle::{Action, Oracle, send};
use support::stakes::Standing;
use support::*;

type Opened = DurableLedger;

/// Kills of the server in an ordinary run and in a long one.
const KILLS: u32 = 12;
const NIGHTLY_KILLS: u32 = 300;
/// Duplicates of one spend, over two services, in an ordinary run and in a long one.
const DUPLICATES: u64 = 1_000;
const NIGHTLY_DUPLICATES: u64 = 20_000;
/// Callers that contend for each nullifier.
const CALLERS: u64 = 25;
/// Spends that are reserved side by side.
const BURST: usize = 4;

fn open_on(url: &str, clock: Arc<TestClock>) -> Result<Opened, StoreError> {
    DurableLedger::open_postgres(PostgresServer::new(url, None)?, identity(), FakeProofs, clock)
}

async fn opened(url: &str, clock: &Arc<TestClock>) -> Opened {
    let (url, clock) = (url.to_owned(), Arc::clone(clock));
    blocking(move || open_on(&url, clock)).await.unwrap()
}

/// Two services over one new database.
async fn two(postgres: &Postgres, clock: &Arc<TestClock>) -> [Opened; 2] {
    let url = postgres.url("ledger").unwrap();
    let first = in_schema(url.clone(), Arc::clone(clock)).await;
    [first, opened(&url, clock).await]
}

/// Kills the server again and again, at moments that a seed decides, until it is told to stop, and counts how often.
fn kill_until(
    stop: Arc<AtomicBool>,
    kills: Arc<AtomicU32>,
    mut postgres: Postgres,
    mut seed: Seeded,
) -> std::thread::JoinHandle<Postgres> {
    std::thread::spawn(move || {
        while !stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(30 + seed.below(200)));
            postgres.kill().unwrap();
            kills.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(seed.below(100)));
            postgres.restart().unwrap();
        }
        postgres
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Schedules against the oracle, call by call through two services in turn, while the server is killed: every call is repeated
/// until its answer is known, and that is the one that was owed. In between, the log extends every checkpoint that was signed.
fn kills(count: u32) {
    let Some(postgres) = Postgres::start().unwrap() else { return };
    let clock = TestClock::new();
    let runtime = runtime();
    let services = runtime.block_on(two(&postgres, &clock));
    let (stop, kills) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let mut seed = Seeded::new(u64::from(count));
    let killer = kill_until(Arc::clone(&stop), Arc::clone(&kills), postgres, seed.clone());
    let mut oracle = Oracle::new(identity().info().clone(), START);
    let (mut seen, mut kills_wanted) = (None, Instant::now());
    let mut calls: usize = 0;
    // A kill takes about half a second with its recovery; on a machine that does other work, several times that.
    let (began, usual) = (Instant::now(), Duration::from_millis(500) * count);
    let enough = || kills.load(Ordering::SeqCst) >= count / 2 || began.elapsed() > 5 * usual;
    while began.elapsed() < usual || !enough() {
        let number = |seed: &mut Seeded| usize::try_from(seed.below(1 << 16)).unwrap();
        let action = match seed.below(14) {
            0 | 1 => Action::Mint { value: seed.below(1 << 16), notes: 2 },
            2..=4 => Action::Reserve { note: number(&mut seed), c_max: seed.below(1 << 16) },
            5 | 6 => Action::Journal { spend: number(&mut seed), total: seed.below(1 << 16) },
            7 => Action::Settle { spend: number(&mut seed), charge: seed.below(1 << 16) },
            8 => Action::Claim { value: seed.below(1 << 16), before: seed.below(4) },
            9 => Action::Repeat { spend: number(&mut seed) },
            10 => Action::Merge { first: number(&mut seed), second: number(&mut seed) },
            11 | 12 => Action::Standing(Standing::any(&mut seed)),
            _ => Action::Conflict { spend: number(&mut seed) },
        };
        // Reservations side by side share transactions, in one service or in two that take turns.
        let count = if matches!(action, Action::Reserve { .. }) { BURST } else { 1 };
        let planned: Vec<_> = (0..count).filter_map(|_| oracle.plan(action)).collect();
        let sent: Vec<_> = planned
            .into_iter()
            .map(|(call, expected)| {
                calls += 1;
                let service = services[calls % 2].clone();
                runtime.spawn(async move { (until_known(|| send(&service, call.clone())).await, expected) })
            })
            .collect();
        for answer in sent {
            let (answer, expected) = runtime.block_on(answer).unwrap();
            assert_eq!(answer, expected, "call {calls}: {action:?}");
        }
        if kills_wanted.elapsed() > Duration::from_millis(100) {
            kills_wanted = Instant::now();
            let (size, root) = *seen.get_or_insert((0, credits::merkle::empty_root()));
            let answer = runtime.block_on(until_known(|| services[(calls + 1) % 2].checkpoint(size))).unwrap();
            let new = &answer.checkpoint;
            verify_consistency(size, new.log_size, &answer.consistency, &root, &new.log_root).unwrap();
            seen = Some((new.log_size, new.log_root));
        }
    }
    stop.store(true, Ordering::SeqCst);
    let postgres = killer.join().unwrap();
    let kills = kills.load(Ordering::SeqCst);
    assert!(kills >= count / 2, "{kills} kills");
    for service in &services {
        runtime.block_on(async {
            oracle.audit(service).await;
            oracle.audit_sums(service).await;
        });
    }
    drop((services, postgres));
}

#[test]
fn n40_a_server_that_is_killed_loses_nothing_that_was_acknowledged() {
    kills(KILLS);
}

#[test]
fn nightly_kills_of_the_server() {
    kills(NIGHTLY_KILLS);
}

/// Rounds of callers, half of them at each of two services, that contend for one nullifier with spends of their own, while
/// the server is killed. Every round has one winner, and the log one entry for it.
fn duplicates(count: u64) {
    let Some(postgres) = Postgres::start().unwrap() else { return };
    let (clock, runtime) = (TestClock::new(), runtime());
    let services = runtime.block_on(two(&postgres, &clock));
    let world = World::of(services[0].clone(), clock);
    let (root, size) = runtime.block_on(async {
        world.mint(1, 100).await;
        (world.root().await, world.log_size().await)
    });
    let (stop, kills) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let killer = kill_until(Arc::clone(&stop), Arc::clone(&kills), postgres, Seeded::new(count));
    let rounds = count / CALLERS;
    let mut refused = 0;
    for round in 0..rounds {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let ledger = services[usize::from(caller % 2 == 1)].clone();
                let mut spend = world.spend_under(root, round * CALLERS + caller, 10);
                spend.nullifier = Nullifier(Fe::from(5 + round));
                runtime.spawn(async move { until_known(|| ledger.reserve(spend.clone())).await })
            })
            .collect();
        let mut winners = BTreeSet::new();
        for caller in callers {
            match runtime.block_on(caller).unwrap() {
                Ok(reservation) => assert!(winners.insert(reservation.entry_index)),
                Err(LedgerError::SpendConflict) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
    }
    stop.store(true, Ordering::SeqCst);
    let postgres = killer.join().unwrap();
    assert_eq!(refused, rounds * (CALLERS - 1));
    assert!(kills.load(Ordering::SeqCst) > 0);
    let log_size = runtime.block_on(until_known(|| services[1].checkpoint(0))).unwrap().checkpoint.log_size;
    assert_eq!(log_size, size + rounds);
    drop((world, services, postgres));
}

#[test]
fn n31_duplicates_over_two_services_have_one_winner() {
    duplicates(DUPLICATES);
}

#[test]
fn nightly_n31_duplicates_over_two_services_have_one_winner() {
    duplicates(NIGHTLY_DUPLICATES);
}

/// Whoever of two services writes next continues what the other wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_over_one_database_are_one_ledger() {
    let Some(postgres) = blocking(Postgres::start).await.unwrap() else { return };
    let clock = TestClock::new();
    let services = two(&postgres, &clock).await;
    let mut oracle = Oracle::new(identity().info().clone(), START);
    for step in 0..60_usize {
        let actions = [
            Action::Mint { value: 1000, notes: 2 },
            Action::Reserve { note: step, c_max: 100 },
            Action::Journal { spend: step, total: 40 },
            Action::Settle { spend: step, charge: 50 },
        ];
        if let Some((call, expected)) = oracle.plan(actions[step % 4]) {
            assert_eq!(send(&services[(step / 3) % 2], call).await, expected, "step {step}");
        }
    }
    for service in &services {
        oracle.audit(service).await;
        oracle.audit_sums(service).await;
    }
}

/// Tables of before there were claims, or stakes, have none for them; a database that lost one after there were is not used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_of_before_there_were_claims_and_stakes_takes_them_in_postgres() {
    let Some(postgres) = blocking(Postgres::start).await.unwrap() else { return };
    let (url, clock) = (postgres.url("ledger").unwrap(), TestClock::new());
    drop(in_schema(url.clone(), Arc::clone(&clock)).await);
    let postgres = blocking(move || {
        postgres.sql("DROP TABLE ledger.claims, ledger.bonds").unwrap();
        postgres
    })
    .await;
    let [first, second] = [opened(&url, &clock).await, opened(&url, &clock).await];
    claims_and_stakes_work([&first, &second]).await;
    drop([first, second]);
    let refused = blocking(move || {
        ["bonds", "claims"].map(|table| {
            postgres.sql(&format!("DROP TABLE ledger.{table}")).unwrap();
            refusal(open_on(&url, clock.clone()))
        })
    });
    let [stakes, claims] = refused.await;
    assert!(matches!(stakes, StoreError::Missing { record: "table of stakes" }), "{stakes}");
    assert!(matches!(claims, StoreError::Missing { record: "table of claims" }), "{claims}");
}

fn refusal(result: Result<Opened, StoreError>) -> StoreError {
    result.map(|_| ()).unwrap_err()
}

#[test]
fn databases_that_are_not_this_ledgers_are_not_used() {
    let Some(postgres) = Postgres::start().unwrap() else { return };
    let (url, clock) = (postgres.url("ledger").unwrap(), TestClock::new());
    assert!(matches!(refusal(open_on(&url, clock.clone())), StoreError::NoLedger));
    let server = PostgresServer::new(&url, None).unwrap();
    server.create_ledger(&identity()).unwrap();
    assert!(matches!(server.create_ledger(&identity()).unwrap_err(), StoreError::Occupied));
    let other_key = SigningKey::from_seed(&[77; 32]);
    let mut info = info(Bytes32([9; 32]));
    info.ledger_key = other_key.public();
    info.ledger_id = credits::checkpoint::ledger_id(info.ledger_key, info.vk_digest, info.merge_vk_digest());
    let other = LedgerIdentity::new(info, other_key).unwrap();
    let foreign = DurableLedger::open_postgres(server, other, FakeProofs, clock.clone());
    assert!(matches!(refusal(foreign), StoreError::ForeignDatabase));
    let mut other_rules = identity().info().clone();
    other_rules.grace_secs += 1;
    let other_rules = LedgerIdentity::new(other_rules, ledger_key()).unwrap();
    let server = PostgresServer::new(&url, None).unwrap();
    let disagreeing = DurableLedger::open_postgres(server, other_rules, FakeProofs, clock.clone());
    assert!(matches!(refusal(disagreeing), StoreError::OtherRules));
    // A table that is gone is never made anew: every spent note would be good again.
    postgres.sql("DELETE FROM ledger.ledger_state").unwrap();
    assert!(matches!(refusal(open_on(&url, clock.clone())), StoreError::NoLedger));
    let nowhere = format!("{url}&dbname=absent");
    assert!(matches!(refusal(open_on(&nowhere, clock)), StoreError::Database { .. }));
}

#[test]
fn a_server_that_could_lose_what_it_acknowledged_is_refused() {
    for name in ["fsync", "full_page_writes"] {
        let Some(postgres) = Postgres::start_with(&["-c", &format!("{name}=off")]).unwrap() else { return };
        let url = postgres.url("ledger").unwrap();
        PostgresServer::new(&url, None).unwrap().create_ledger(&identity()).unwrap();
        let refused = refusal(open_on(&url, TestClock::new()));
        assert!(matches!(refused, StoreError::Undurable { setting } if setting == name), "{refused}");
    }
}

/// A commit whose wait for its standby was cut off is on the server's disk and nowhere else. It is not acknowledged, neither at
/// once nor when the call is repeated, nor is anything read that rests on it, until a standby has it.
#[test]
fn what_no_standby_has_is_not_acknowledged() {
    let Some(postgres) = Postgres::start().unwrap() else { return };
    let (clock, runtime) = (TestClock::new(), runtime());
    let services = runtime.block_on(two(&postgres, &clock));
    let world = World::of(services[0].clone(), clock);
    runtime.block_on(world.mint(1, 100));
    let size = runtime.block_on(world.log_size());
    let standbys = |names: &str| {
        postgres.sql(&format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'")).unwrap();
        postgres.sql("SELECT pg_reload_conf()").unwrap();
        std::thread::sleep(Duration::from_millis(200));
    };
    // What an administrator may have set, and what every transaction overrides.
    postgres.sql("ALTER SYSTEM SET synchronous_commit = 'local'").unwrap();
    postgres.sql("ALTER SYSTEM SET client_min_messages = 'error'").unwrap();
    standbys("absent");
    let spend = runtime.block_on(async { world.spend_under(world.root().await, 1, 10) });
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    for (what, service) in [("first", 0), ("repeated", 0), ("repeated elsewhere", 1)] {
        let (ledger, request) = (services[service].clone(), spend.clone());
        let reserved = runtime.spawn(async move { ledger.reserve(request).await.map(|_| ()) });
        let began = Instant::now();
        while postgres.sql(waiting).unwrap().trim() == "0" {
            assert!(began.elapsed() < Duration::from_secs(10) && !reserved.is_finished(), "{what}: nothing waits");
            std::thread::sleep(Duration::from_millis(20));
        }
        postgres.sql(cancel).unwrap();
        assert_eq!(runtime.block_on(reserved).unwrap(), Err(LedgerError::Unavailable), "{what}");
    }
    let local = postgres.sql("SELECT count(*) FROM ledger.spends").unwrap();
    assert_eq!(local.trim(), "1", "it is on the server's own disk");
    standbys("");
    for service in &services {
        runtime.block_on(until_known(|| service.reserve(spend.clone()))).unwrap();
        assert_eq!(runtime.block_on(service.checkpoint(0)).unwrap().checkpoint.log_size, size + 1);
    }
}

/// A database that was put back to an older state, or that grew in another way since, ends the services that saw more of it.
#[test]
fn a_database_that_went_back_stops_the_services_that_saw_more() {
    let Some(mut postgres) = Postgres::start().unwrap() else { return };
    let (clock, runtime) = (TestClock::new(), runtime());
    let services = runtime.block_on(two(&postgres, &clock));
    let worlds = services.clone().map(|ledger| World::of(ledger, Arc::clone(&clock)));
    runtime.block_on(worlds[0].mint(1, 100));
    postgres.keep_aside().unwrap();
    let mint = |at: usize, number: u8| {
        let voucher = worlds[at].voucher(number, 5).to_text();
        let request = credits::RedeemRequest { voucher, outputs: vec![output(u64::from(number), 5)] };
        runtime.block_on(until_known(|| services[at].redeem(request.clone()))).map(|_| ())
    };
    mint(0, 2).unwrap();
    mint(1, 3).unwrap();
    postgres.put_back().unwrap();
    // A third service, which saw nothing of it, makes the log grow in another way, past what the others saw.
    let url = postgres.url("ledger").unwrap();
    let third = World::of(runtime.block_on(opened(&url, &clock)), Arc::clone(&clock));
    for number in 4..8 {
        runtime.block_on(third.mint(number, 1));
    }
    // Whether they first write or first read.
    let voucher = worlds[0].voucher(9, 5).to_text();
    let request = credits::RedeemRequest { voucher, outputs: vec![output(9, 5)] };
    let refused = runtime.block_on(services[0].redeem(request)).map(|_| ());
    assert_eq!(refused, Err(LedgerError::Unavailable));
    assert_eq!(runtime.block_on(services[1].checkpoint(0)).map(|_| ()), Err(LedgerError::Unavailable));
    for service in &services {
        let failed = runtime.block_on(service.failed());
        assert!(matches!(*failed, StoreError::Behind), "{}", failed.chain());
    }
}

/// A database that was changed behind the ledger's back ends the service; it does not go on with what it finds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_tampered_with_stops_the_ledger() {
    for tampering in [
        "UPDATE ledger.ledger_state SET state = 'x'",
        "DELETE FROM ledger.ledger_state",
        "INSERT INTO ledger.log_entries VALUES (1, '{}')",
        "DROP TABLE ledger.spends",
    ] {
        let Some(world) = postgres().await else { return };
        world.mint(1, 100).await;
        let Home::Server(server) = &world.home else { panic!("a server") };
        server.sql(tampering).unwrap();
        let spend = world.spend_under(credits::Root(Fe::from(1)), 1, 10);
        let redeem = credits::RedeemRequest { voucher: world.voucher(2, 5).to_text(), outputs: vec![output(1, 5)] };
        let answers = [
            world.ledger.redeem(redeem.clone()).await.map(|_| ()),
            world.ledger.redeem(redeem).await.map(|_| ()),
            world.ledger.reserve(spend).await.map(|_| ()),
        ];
        assert!(answers.contains(&Err(LedgerError::Unavailable)), "{tampering}: {answers:?}");
        let failed = tokio::time::timeout(Duration::from_secs(10), world.ledger.failed()).await;
        let failed = failed.unwrap_or_else(|_| panic!("{tampering}: {answers:?}"));
        assert!(!failed.is_passing(), "{tampering}: {}", failed.chain());
    }
}

/// What `init` writes is enough to open the ledger again, and is only for its owner's eyes.
#[test]
fn a_directory_remembers_its_server() {
    let Some(postgres) = Postgres::start().unwrap() else { return };
    let (home, url) = (tempfile::tempdir().unwrap(), postgres.url("ledger").unwrap());
    let postgres_options = PostgresOptions { url, authority: None };
    let options = InitOptions { postgres: Some(postgres_options.clone()), ..InitOptions::default() };
    let info = init(&scratch(&home), options).unwrap();
    let file = scratch(&home).join("postgres.url");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!scratch(&home).join("ledger.redb").exists());
    let opened = open(&scratch(&home), TestClock::new()).unwrap();
    assert_eq!(runtime().block_on(opened.ledger.info()).unwrap(), info);
    drop(opened);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = open(&scratch(&home), TestClock::new()).map(|_| ()).unwrap_err();
    assert!(matches!(refused, ledger::DirectoryError::KeyMode { .. }), "{refused}");
    // A second ledger in the same schema is refused, and so is nonsense, before a directory is made.
    let second = tempfile::tempdir().unwrap();
    let bad = PostgresOptions { url: "postgresql://db.example/x".to_owned(), ..postgres_options };
    let refused = init(&scratch(&second), InitOptions { postgres: Some(bad), ..InitOptions::default() }).unwrap_err();
    assert!(refused.to_string().contains("unusable"), "{refused}");
    assert!(!scratch(&second).exists());
}

/// A server's certificate is checked against the authority that was given, and its name with it.
#[test]
fn a_server_on_the_network_is_who_it_should_be() {
    let authority = || {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap()
    };
    let (ours, other) = (authority(), authority());
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &ours).unwrap();
    let Some(mut postgres) = Postgres::start().unwrap() else { return };
    postgres.listen_with_tls(&certificate.pem(), &key.serialize_pem()).unwrap();
    let port = postgres.tcp_port().unwrap();
    let at = |host: &str| format!("postgresql://ledger@{host}:{port}/postgres?options=-csearch_path%3Dledger");
    postgres.url("ledger").unwrap();
    let reach = |host: &str, authority: &str| {
        PostgresServer::new(&at(host), Some(authority.as_bytes())).unwrap().create_ledger(&identity())
    };
    for (host, authority) in [("localhost", other.pem()), ("127.0.0.1", ours.pem())] {
        let refused = reach(host, &authority).unwrap_err();
        assert!(matches!(refused, StoreError::Server { .. }), "{}", refused.chain());
        assert!(refused.chain().contains("certificate"), "{}", refused.chain());
    }
    reach("localhost", &ours.pem()).unwrap();
    let server = PostgresServer::new(&at("localhost"), Some(ours.pem().as_bytes())).unwrap();
    let opened = DurableLedger::open_postgres(server, identity(), FakeProofs, TestClock::new()).unwrap();
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'cloister-ledger'";
    assert_eq!(postgres.sql(encrypted).unwrap().trim(), "t");
    drop(opened);
}
