//! n31 on real processes: duplicates of spends of one note, proved and sent over HTTP, while what answers them is killed. First of all in
//! the moment in which the first of them are on their way: that is when it is decided which one the ledger has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use acceptance::{World, cli};
use credits::{Ledger, LedgerError, NoteTree, ReserveRequest};
use ledger_client::LedgerClient;
use ledger_testing::{Postgres, until_known};

use crate::ledger_process::{Owner, Service};

/// Duplicates in an ordinary run and in a long one.
const DUPLICATES_ON_DISK: usize = 20_000;
const DUPLICATES_IN_POSTGRES: usize = 3_000;
const NIGHTLY_DUPLICATES: usize = 100_000;
/// Notes that are raced for, one after the other.
const ROUNDS_ON_DISK: usize = 8;
const ROUNDS_IN_POSTGRES: usize = 5;
const NIGHTLY_ROUNDS: usize = 25;
/// Clients that send at once.
const CLIENTS: usize = 100;
/// Different spends of one note, each really proved.
const CONTENDERS: u64 = 2;
const NOTES_PER_VOUCHER: u64 = 8;
/// How long an answer that left before a kill may take to be read.
const UNREAD_MAX: Duration = Duration::from_millis(50);

/// One note's race.
#[derive(Default)]
struct Round {
    /// Requests that were sent for the first time.
    sent: AtomicUsize,
    /// Those of them that were answered.
    answered: AtomicUsize,
}

/// When what answers is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    /// So many requests were sent, and nothing is decided.
    Sent(usize),
    /// The store is being written: this is the commit that decides.
    Written,
    /// The first answer was read.
    Answered,
}

const AIMS: [Aim; 8] = [
    Aim::Sent(1),
    Aim::Written,
    Aim::Written,
    Aim::Answered,
    Aim::Written,
    Aim::Sent(CLIENTS),
    Aim::Written,
    Aim::Answered,
];

/// What answers.
struct Ledgers {
    service: Service,
    postgres: Option<Postgres>,
    kills: usize,
}

impl Ledgers {
    /// When the store was written last.
    fn written(&self) -> SystemTime {
        let files = match &self.postgres {
            Some(postgres) => {
                let log = std::fs::read_dir(postgres.directory().join("data/pg_wal")).unwrap();
                log.map(|file| file.unwrap().path()).collect()
            }
            None => vec![self.service.database()],
        };
        files.iter().filter_map(|file| file.metadata().ok()?.modified().ok()).max().unwrap()
    }

    /// Waits until it is time to kill.
    fn wait(&self, round: &Round, aim: Aim, before: SystemTime) {
        let answered = || round.answered.load(Ordering::SeqCst) > 0;
        let is_time = || match aim {
            Aim::Sent(least) => round.sent.load(Ordering::SeqCst) >= least,
            Aim::Written => answered() || self.written() > before,
            Aim::Answered => answered(),
        };
        while !is_time() {
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    /// Kills what answers and starts it again. Returns how many requests nobody had answered, and whether that was all.
    fn kill(&mut self, round: &Round) -> (usize, bool) {
        self.service.kill();
        if let Some(postgres) = &mut self.postgres {
            postgres.kill().unwrap();
        }
        std::thread::sleep(UNREAD_MAX);
        let (answered, sent) = (round.answered.load(Ordering::SeqCst), round.sent.load(Ordering::SeqCst));
        if let Some(postgres) = &mut self.postgres {
            postgres.restart().unwrap();
        }
        self.service.start();
        self.kills += 1;
        (sent - answered, answered == 0)
    }
}

/// Mints a note for every round and proves spends of it that differ in their successor and tab key.
async fn contenders(service: &Service, owner: &Owner, rounds: usize) -> Vec<Arc<Vec<ReserveRequest>>> {
    let client = LedgerClient::connect(&service.url(), owner.pins()).await.unwrap();
    let (mut notes, mut tree) = (Vec::new(), NoteTree::new());
    while notes.len() < rounds {
        let voucher = tree.len();
        let response = client.redeem(owner.redemption(voucher, NOTES_PER_VOUCHER, 1000)).await.unwrap();
        for entry in &response.entries {
            tree.append(entry.leaf).unwrap();
        }
        notes.extend(response.entries);
    }
    let spends = notes.iter().take(rounds).zip(0..).map(|(note, round)| {
        let contenders = (0..CONTENDERS).map(|number| owner.spend(note, &tree, 100 + round * CONTENDERS + number, 256));
        Arc::new(contenders.collect())
    });
    spends.collect()
}

fn duplicates(count: usize, rounds: usize, postgres: Option<Postgres>) -> String {
    let url = postgres.as_ref().map(|postgres| postgres.url("ledger").unwrap());
    let mut service = Service::make(url.as_deref());
    service.start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let owner = runtime.block_on(Owner::of(&service));
    let races = runtime.block_on(contenders(&service, &owner, rounds));
    let connect = || runtime.block_on(LedgerClient::connect(&service.url(), owner.pins())).unwrap();
    let clients: Vec<_> = (0..CLIENTS).map(|_| Arc::new(connect())).collect();
    let minted = runtime.block_on(clients[0].checkpoint(0)).unwrap().checkpoint.log_size;
    let mut ledgers = Ledgers { service, postgres, kills: 0 };
    let (mut kills_in_flight, mut kills_before_any_answer, mut kills_in_the_commit) = (0, 0, 0);
    for (number, spends) in races.iter().enumerate() {
        let round = Arc::new(Round::default());
        let (aim, before) = (AIMS[number % AIMS.len()], ledgers.written());
        let callers: Vec<_> = clients
            .iter()
            .enumerate()
            .map(|(first, client)| {
                let (client, spends, round) = (Arc::clone(client), Arc::clone(spends), Arc::clone(&round));
                runtime.spawn(async move {
                    let (mut won, mut lost) = (BTreeSet::new(), 0_usize);
                    for duplicate in (first..count / rounds).step_by(CLIENTS) {
                        let spend = &spends[duplicate % spends.len()];
                        round.sent.fetch_add(1, Ordering::SeqCst);
                        match until_known(|| client.reserve(spend.clone())).await {
                            Ok(reservation) => drop(won.insert((spend.context.tab_key, reservation.entry_index))),
                            Err(LedgerError::SpendConflict) => lost += 1,
                            Err(error) => panic!("{error}"),
                        }
                        round.answered.fetch_add(1, Ordering::SeqCst);
                    }
                    (won, lost)
                })
            })
            .collect();
        ledgers.wait(&round, aim, before);
        let (unanswered, is_first) = ledgers.kill(&round);
        kills_in_flight += usize::from(unanswered > 0);
        kills_before_any_answer += usize::from(is_first);
        kills_in_the_commit += usize::from(is_first && aim == Aim::Written);
        // Again while duplicates of what is decided are sent.
        std::thread::sleep(Duration::from_millis(100 + u64::try_from(number).unwrap() * 37 % 200));
        if number.is_multiple_of(4) && callers.iter().any(|caller| !caller.is_finished()) {
            ledgers.kill(&round);
        }
        let (mut winners, mut refused) = (BTreeSet::new(), 0);
        for caller in callers {
            let (won, lost) = runtime.block_on(caller).unwrap();
            winners.extend(won);
            refused += lost;
        }
        assert_eq!(winners.len(), 1, "round {number}: {winners:?}");
        assert!(refused > 0, "round {number}");
        assert_eq!(round.answered.load(Ordering::SeqCst), count / rounds, "round {number}");
        // The mints, and one reservation for each note so far.
        let size = runtime.block_on(until_known(|| clients[0].checkpoint(0))).unwrap().checkpoint.log_size;
        assert_eq!(size, minted + u64::try_from(number).unwrap() + 1, "round {number}");
    }
    assert!(2 * kills_in_flight > rounds, "{kills_in_flight} rounds were under way when they were killed");
    assert!(kills_before_any_answer > 0 && kills_in_the_commit > 0, "no kill met the decision");
    format!(
        "{rounds} rounds, {} kills: {kills_in_flight} with requests under way, {kills_before_any_answer} before any answer, \
         {kills_in_the_commit} in the commit",
        ledgers.kills
    )
}

#[test]
fn n31_duplicates_of_a_proved_spend_have_one_winner_on_disk() {
    println!("{}", duplicates(DUPLICATES_ON_DISK, ROUNDS_ON_DISK, None));
}

#[test]
fn n31_duplicates_of_a_proved_spend_have_one_winner_in_postgres() {
    let Some(postgres) = Postgres::start().unwrap() else { return };
    println!("{}", duplicates(DUPLICATES_IN_POSTGRES, ROUNDS_IN_POSTGRES, Some(postgres)));
}

#[test]
fn nightly_n31_duplicates_of_a_proved_spend_on_disk() {
    println!("{}", duplicates(NIGHTLY_DUPLICATES, NIGHTLY_ROUNDS, None));
}

#[test]
fn nightly_n31_duplicates_of_a_proved_spend_in_postgres() {
    let Some(postgres) = Postgres::start().unwrap() else { return };
    println!("{}", duplicates(NIGHTLY_DUPLICATES, NIGHTLY_ROUNDS, Some(postgres)));
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
