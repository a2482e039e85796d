//! n31 on real processes: duplicates of one spend, proved and sent over HTTP, while what answers them is killed.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use acceptance::processes::{Process, bin_dir, free_port};
use acceptance::world::run;
use acceptance::{World, cli};
use credits::params::ProvingParams;
use credits::spend::{SpendWitness, prove};
use credits::{
    Blind, Bytes32, Credits, Fe, Ledger, LedgerError, MintOutput, Note, NoteTree, RedeemRequest, ReserveRequest,
    SigningKey, SpendContext, SpendKey,
};
use ledger_client::{LedgerClient, Pins};
use ledger_testing::{Postgres, until_known};

/// Duplicates in an ordinary run and in a long one.
const DUPLICATES_ON_DISK: usize = 20_000;
const DUPLICATES_IN_POSTGRES: usize = 3_000;
const NIGHTLY_DUPLICATES: usize = 100_000;
/// Clients that send at once.
const CLIENTS: usize = 40;
/// Different spends of the one note, each really proved.
const CONTENDERS: u64 = 4;
const READY: Duration = Duration::from_secs(60);

/// A ledger's service as a process.
struct Service {
    home: tempfile::TempDir,
    port: u16,
    process: Option<Process>,
}

impl Service {
    fn make(postgres_url: Option<&str>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let service = Self { home, port: free_port().unwrap(), process: None };
        let mut command = service.command("init");
        if let Some(url) = postgres_url {
            command.args(["--postgres", url]);
        }
        run(&mut command).unwrap();
        service
    }

    fn command(&self, action: &str) -> Command {
        let mut command = Command::new(bin_dir().unwrap().join("cloister-host"));
        command.args(["ledger", action, "--dir"]).arg(self.directory());
        command
    }

    fn directory(&self) -> PathBuf {
        self.home.path().join("ledger")
    }

    fn start(&mut self) {
        let address = format!("127.0.0.1:{}", self.port);
        let mut process = Process::start("ledger", self.command("serve").args(["--listen", &address])).unwrap();
        process.wait_until(READY, |_| TcpStream::connect(&address).is_ok()).unwrap();
        self.process = Some(process);
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// Redeems a voucher and proves spends of its note that differ in their tab key.
async fn contenders(service: &Service) -> Vec<ReserveRequest> {
    let info = LedgerClient::discover(&service.url()).await.unwrap();
    let client = LedgerClient::connect(&service.url(), Pins::from(&info)).await.unwrap();
    let proving = ProvingParams::from_bytes(&client.proving_key().await.unwrap(), info.vk_digest).unwrap();
    let key = SpendKey::from_secret(Fe::from(1));
    let value = Credits::new(1000).unwrap();
    let outputs = vec![MintOutput { pk: key.public_key(0), value, b: Fe::from(2) }];
    let voucher = run(service.command("voucher").args(["--value", "1000"])).unwrap().trim().to_owned();
    let entry = client.redeem(RedeemRequest { voucher, outputs }).await.unwrap().entries.remove(0);
    let note = Note { lane: 0, value, rho: entry.rho, blind: Blind(entry.b), refund: Credits::ZERO };
    let mut tree = NoteTree::new();
    tree.append(entry.leaf).unwrap();
    let now = attestation::Clock::now(&acceptance::clock::WallClock).0;
    let prove = |number: u64| {
        let context = SpendContext {
            ledger_id: info.ledger_id,
            vk_digest: info.vk_digest,
            keyset_digest: Bytes32([5; 32]),
            settle_key: SigningKey::from_seed(&[3; 32]).public(),
            payee: Bytes32([6; 32]),
            price_sheet_digest: Bytes32([7; 32]),
            not_after: now + 3000,
            tab_key: Bytes32([u8::try_from(number).unwrap(); 32]),
        };
        let (spend_key, note, path) = (key.clone(), note.clone(), tree.path(0).unwrap());
        let witness = SpendWitness { spend_key, note, path, blind_next: Blind(Fe::from(10 + number)) };
        let c_max = Credits::new(256).unwrap();
        let public = witness.public(c_max, context.digest(c_max)).unwrap();
        let proof = prove(&proving, &public, &witness, &mut rand_core::OsRng).unwrap();
        let (root, nullifier, inner_next) = (public.root, public.nullifier, public.inner_next);
        ReserveRequest { root, nullifier, inner_next, c_max, context, proof }
    };
    (0..CONTENDERS).map(prove).collect()
}

/// Kills the service again and again, and with it the database server when there is one; at least once.
fn kill_until(
    stop: &AtomicBool,
    mut service: Service,
    mut postgres: Option<Postgres>,
) -> (Service, Option<Postgres>, u32) {
    let mut kills = 0;
    while kills == 0 || !stop.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(100 + u64::from(kills * 37 % 200)));
        service.process.take().unwrap().kill().unwrap();
        if let Some(postgres) = &mut postgres {
            postgres.restart().unwrap();
        }
        service.start();
        kills += 1;
    }
    (service, postgres, kills)
}

fn duplicates(count: usize, postgres: Option<Postgres>) {
    let url = postgres.as_ref().map(|postgres| postgres.url("ledger").unwrap());
    let mut service = Service::make(url.as_deref());
    service.start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let spends = Arc::new(runtime.block_on(contenders(&service)));
    let url = service.url();
    let pins = Pins::from(&runtime.block_on(LedgerClient::discover(&url)).unwrap());
    let clients: Vec<_> = (0..CLIENTS).map(|_| runtime.block_on(LedgerClient::connect(&url, pins)).unwrap()).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let killer = std::thread::spawn(move || kill_until(&stopped, service, postgres));
    let callers: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(first, client)| {
            let spends = Arc::clone(&spends);
            runtime.spawn(async move {
                let (mut won, mut lost) = (BTreeSet::new(), 0_u64);
                for number in (first..count).step_by(CLIENTS) {
                    let spend = &spends[number % spends.len()];
                    match until_known(|| client.reserve(spend.clone())).await {
                        Ok(reservation) => drop(won.insert((spend.context.tab_key, reservation.entry_index))),
                        Err(LedgerError::SpendConflict) => lost += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
                (won, lost)
            })
        })
        .collect();
    let (mut winners, mut refused) = (BTreeSet::new(), 0);
    for caller in callers {
        let (won, lost) = runtime.block_on(caller).unwrap();
        winners.extend(won);
        refused += lost;
    }
    stop.store(true, Ordering::SeqCst);
    let (service, postgres, kills) = killer.join().unwrap();
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert!(refused > 0 && kills > 0, "{refused} refused, {kills} kills");
    // A mint and one reservation.
    let client = runtime.block_on(LedgerClient::connect(&url, pins)).unwrap();
    assert_eq!(runtime.block_on(client.checkpoint(0)).unwrap().checkpoint.log_size, 2);
    drop((service, postgres));
}

#[test]
fn n31_duplicates_of_a_proved_spend_have_one_winner_on_disk() {
    duplicates(DUPLICATES_ON_DISK, None);
}

#[test]
fn n31_duplicates_of_a_proved_spend_have_one_winner_in_postgres() {
    let Some(postgres) = Postgres::start().unwrap() else { return };
    duplicates(DUPLICATES_IN_POSTGRES, Some(postgres));
}

#[test]
fn nightly_n31_duplicates_of_a_proved_spend_on_disk() {
    duplicates(NIGHTLY_DUPLICATES, None);
}

#[test]
fn nightly_n31_duplicates_of_a_proved_spend_in_postgres() {
    let Some(postgres) = Postgres::start().unwrap() else { return };
    duplicates(NIGHTLY_DUPLICATES, Some(postgres));
}

/// The whole appliance paid from PostgreSQL: the database's server dies between requests and in the middle of one, and every
/// credit is where it should be.
#[test]
fn a_node_is_paid_over_a_database_that_dies() {
    let Some(mut postgres) = Postgres::start().unwrap() else { return };
    let world = World::builder().ledger_in(postgres.url("ledger").unwrap()).start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", 100_000).unwrap();
    let chat = |world: &World| cli::chat(world, &wallet, "hello", &["--max-tokens", "4"]).unwrap();
    let first = chat(&world).success().unwrap().number("/settlement/charge").unwrap();
    postgres.kill().unwrap();
    let refused = chat(&world);
    assert_eq!(refused.code, 50, "unavailable, and said so: {}", refused.json);
    postgres.restart().unwrap();
    let second = chat(&world).success().unwrap().number("/settlement/charge").unwrap();
    let answer = std::thread::scope(|scope| {
        let asked =
            scope.spawn(|| cli::chat(&world, &wallet, "Tell me a long story.", &["--max-tokens", "100"]).unwrap());
        std::thread::sleep(Duration::from_millis(1500));
        postgres.restart().unwrap();
        asked.join().unwrap()
    });
    let third = if answer.code == 0 { answer.number("/settlement/charge").unwrap() } else { 0 };
    let (spendable, reserved, pending) = cli::balance(&world, &wallet).unwrap();
    assert_eq!(spendable + reserved + pending + first + second + third, 100_000, "{}", answer.json);
}
