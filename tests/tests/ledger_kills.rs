//! The ledger's real process is killed in the middle of a mixed load, again and again, and started on the file that it left. Whatever it
//! acknowledged is there, once, and is answered as before.
//!
//! A kill takes the process, not the disk: what the system was given is written. Power failures are `ledger/tests/crash.rs`.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use acceptance::cli;
use credits::merkle::verify_consistency;
use credits::{
    Bytes32, Checkpoint, ClaimRequest, Credits, JournalEntry, JournalRequest, Ledger, LedgerError, LogEntry,
    LogFrontier, NoteTree, RedeemRequest, ReserveRequest, SettleEntry, SettleRequest, SettledBy, journal_message,
    settle_message,
};
use ledger_client::{Known, LedgerClient, Pins};
use tokio::sync::watch;

use crate::ledger_process::{Owner, Service, log_from, payee_key, settle_key};

const KILLS: u64 = 30;
const NIGHTLY_KILLS: u64 = 1_000;
/// Most calls that are acknowledged between a start and the kill, and how long they may take.
const ANSWERS_MAX: u64 = 48;
const LOAD_TIME_MAX: Duration = Duration::from_secs(60);
/// Of this many kills one comes while the process starts.
const STARTS_CUT_OFF: u64 = 6;
/// Notes are minted, and spends of them proved, once in so many kills.
const KILLS_PER_BATCH: u64 = 10;
const BATCH_NOTES: u64 = 8;
const REDEEMERS: u64 = 3;
const SPENDERS: u64 = 4;
/// Running totals of a spend before it is settled, and what is charged between two.
const TOTALS: u64 = 8;
const STEP: u64 = 30;
/// Longest pause of a client that has nothing to do.
const IDLE: Duration = Duration::from_millis(2);

#[derive(Clone, Debug)]
enum Call {
    Redeem(RedeemRequest),
    Reserve(Box<ReserveRequest>),
    Journal(JournalRequest),
    Settle(SettleRequest),
    Claim(ClaimRequest),
}

/// What a call was answered.
#[derive(Clone, Debug)]
struct Answer {
    /// All that a repeat must say as well.
    said: String,
    /// What must be in the log, and where, as far as it was told.
    entries: Vec<(Option<u64>, LogEntry)>,
    checkpoint: Option<Checkpoint>,
}

async fn send(client: &LedgerClient, call: &Call) -> Result<Answer, LedgerError> {
    Ok(match call.clone() {
        Call::Redeem(request) => {
            let answer = client.redeem(request).await?;
            let entries = answer.entries.iter().map(|entry| (None, LogEntry::Mint(entry.clone()))).collect();
            Answer { said: format!("{:?}", answer.entries), entries, checkpoint: Some(answer.checkpoint) }
        }
        Call::Reserve(request) => {
            let entry = LogEntry::Reserve(request.entry());
            let answer = client.reserve(*request).await?;
            let said = format!("{} {}", answer.nullifier, answer.entry_index);
            Answer { said, entries: vec![(Some(answer.entry_index), entry)], checkpoint: Some(answer.checkpoint) }
        }
        Call::Journal(request) => {
            let JournalRequest { nullifier, total, signature } = request.clone();
            client.journal(request).await?;
            let entry = LogEntry::Journal(JournalEntry { nullifier, total, signature });
            Answer { said: String::new(), entries: vec![(None, entry)], checkpoint: None }
        }
        Call::Settle(request) => {
            let (by, signature) = (SettledBy::Guardian, Some(request.signature));
            let answer = client.settle(request).await?;
            let (nullifier, charge, refund) = (answer.nullifier, answer.charge, answer.refund);
            let (leaf, leaf_index, at) = (answer.leaf, answer.leaf_index, answer.entry_index);
            let said = format!("{nullifier} {charge} {refund} {leaf} {leaf_index} {at}");
            let entry = SettleEntry { nullifier, charge, refund, leaf_index, leaf, by, signature };
            Answer { said, entries: vec![(Some(at), LogEntry::Settle(entry))], checkpoint: Some(answer.checkpoint) }
        }
        Call::Claim(request) => {
            let answer = client.claim(request).await?;
            let said = format!("{:?} {}", answer.entry, answer.entry_index);
            let entries = vec![(Some(answer.entry_index), LogEntry::Claim(answer.entry))];
            Answer { said, entries, checkpoint: Some(answer.checkpoint) }
        }
    })
}

/// What all clients share.
struct Shared {
    owner: Owner,
    vouchers: AtomicU64,
    /// Proved and not sent yet.
    spends: Mutex<VecDeque<ReserveRequest>>,
    answers: AtomicU64,
    charged: AtomicU64,
    claimed: AtomicU64,
}

/// What a client does.
enum Role {
    Redeems,
    /// A spend that is recorded, and its last running total.
    Spends(Option<(Box<ReserveRequest>, u64)>),
    Claims {
        made: u64,
    },
}

/// A client. It lives through the kills, as an operator's or a payer's program would.
struct Client {
    role: Role,
    shared: Arc<Shared>,
    /// Sent, and nothing is known of it.
    pending: Option<Call>,
    /// What was acknowledged since the last start.
    heard: Vec<(Call, Answer)>,
    /// The newest checkpoint it accepted.
    seen: Option<Checkpoint>,
}

impl Client {
    fn new(role: Role, shared: &Arc<Shared>) -> Self {
        Self { role, shared: Arc::clone(shared), pending: None, heard: Vec::new(), seen: None }
    }

    /// The next call, when there is something to do.
    fn next(&mut self) -> Option<Call> {
        let Shared { owner, vouchers, spends, charged, claimed, .. } = &*self.shared;
        let id = &owner.info.ledger_id;
        match &mut self.role {
            Role::Redeems => Some(Call::Redeem(owner.redemption(vouchers.fetch_add(1, Ordering::SeqCst), 1, 5))),
            Role::Spends(None) => Some(Call::Reserve(Box::new(spends.lock().unwrap().pop_front()?))),
            Role::Spends(Some((spend, total))) if *total < TOTALS * STEP => {
                let (nullifier, total) = (spend.nullifier, Credits::new(*total + STEP).unwrap());
                let signature = settle_key().sign(&journal_message(id, &nullifier, total));
                Some(Call::Journal(JournalRequest { nullifier, total, signature }))
            }
            Role::Spends(Some((spend, total))) => {
                let (nullifier, charge) = (spend.nullifier, Credits::new(*total).unwrap());
                let signature = settle_key().sign(&settle_message(id, &nullifier, charge));
                Some(Call::Settle(SettleRequest { nullifier, charge, signature }))
            }
            Role::Claims { made } => {
                let is_owed = claimed.load(Ordering::SeqCst) < charged.load(Ordering::SeqCst);
                let output = owner.output(1_000_000_000 + *made, 1);
                is_owed.then(|| Call::Claim(ClaimRequest::sign(&payee_key(), id, *made, output)))
            }
        }
    }

    fn hear(&mut self, call: Call, answer: Answer) {
        match (&call, &mut self.role) {
            (Call::Reserve(spend), Role::Spends(current)) => *current = Some((spend.clone(), 0)),
            (Call::Journal(request), Role::Spends(Some((_, total)))) => *total = request.total.get(),
            (Call::Settle(request), Role::Spends(current)) => {
                self.shared.charged.fetch_add(request.charge.get(), Ordering::SeqCst);
                *current = None;
            }
            (Call::Claim(_), Role::Claims { made }) => {
                self.shared.claimed.fetch_add(1, Ordering::SeqCst);
                *made += 1;
            }
            _ => {}
        }
        self.shared.answers.fetch_add(1, Ordering::SeqCst);
        self.heard.push((call, answer));
    }

    /// Calls until it is told to stop. What it waits for then is pending.
    async fn work(mut self, url: String, pins: Pins, mut stop: watch::Receiver<bool>) -> Self {
        let connected = LedgerClient::connect_known(&url, pins, Known { seen: self.seen.clone(), ..Known::default() });
        // Killed before this client came to anything.
        let Some(Ok(connection)) = until(&mut stop, connected).await else { return self };
        while !*stop.borrow() {
            let Some(call) = self.pending.take().or_else(|| self.next()) else {
                until(&mut stop, tokio::time::sleep(IDLE)).await;
                continue;
            };
            match until(&mut stop, send(&connection, &call)).await {
                Some(Ok(answer)) => self.hear(call, answer),
                Some(Err(LedgerError::Unavailable)) | None => self.pending = Some(call),
                Some(Err(error)) => panic!("{error}: {call:?}"),
            }
        }
        self.seen = connection.newest().or(self.seen);
        self
    }
}

/// What comes first: something, or the word to stop.
async fn until<T>(stop: &mut watch::Receiver<bool>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        _ = stop.wait_for(|is_told| *is_told) => None,
    }
}

/// The log as it was read, page after page.
#[derive(Default)]
struct Replay {
    entries: Vec<LogEntry>,
    log: LogFrontier,
    /// The root at every size, from the first entry on.
    roots: Vec<Bytes32>,
    leaves: BTreeSet<[u8; 32]>,
    notes: NoteTree,
}

impl Replay {
    /// Reads on. Nothing is recorded twice.
    async fn read(&mut self, client: &LedgerClient) {
        let checkpoint = client.checkpoint(self.log.size()).await.unwrap().checkpoint;
        for entry in log_from(client, self.log.size()).await {
            let leaf = entry.leaf_hash();
            assert!(self.leaves.insert(leaf), "recorded twice: {entry:?}");
            self.log.append(leaf);
            self.roots.push(self.log.root());
            if let Some((index, leaf)) = entry.appended_note() {
                assert_eq!(self.notes.append(leaf), Ok(index));
            }
            self.entries.push(entry);
        }
        assert_eq!((self.log.size(), self.log.root()), (checkpoint.log_size, checkpoint.log_root));
        assert_eq!((self.notes.len(), self.notes.root()), (checkpoint.note_count, checkpoint.note_root));
    }

    fn root_at(&self, size: u64) -> Option<&Bytes32> {
        self.roots.get(usize::try_from(size).unwrap().checked_sub(1)?)
    }

    /// Whether nothing follows that takes a call's place: a payee's last claim is repeated, and the last running total of a spend that
    /// has not ended.
    fn is_repeatable(&self, call: &Call, answer: &Answer) -> bool {
        let follows = |entry: &&LogEntry| match (call, entry) {
            (Call::Journal(call), LogEntry::Journal(entry)) => entry.nullifier == call.nullifier,
            (Call::Journal(call), LogEntry::Settle(entry)) => entry.nullifier == call.nullifier,
            (Call::Claim(_), LogEntry::Claim(_)) => true,
            _ => false,
        };
        let last = self.entries.iter().rev().find(follows);
        last.is_none_or(|last| answer.entries.iter().any(|(_, entry)| entry == last))
    }

    fn holds(&self, answer: &Answer) -> bool {
        answer.entries.iter().all(|(at, entry)| match at {
            Some(at) => self.entries.get(usize::try_from(*at).unwrap()) == Some(entry),
            None => self.leaves.contains(&entry.leaf_hash()),
        })
    }
}

/// Whether an entry records a call, whatever was answered.
fn is_about(entry: &LogEntry, call: &Call) -> bool {
    match (entry, call) {
        (LogEntry::Mint(entry), Call::Redeem(call)) => entry.b == call.outputs[0].b,
        (LogEntry::Reserve(entry), Call::Reserve(call)) => entry.nullifier == call.nullifier,
        (LogEntry::Journal(entry), Call::Journal(call)) => {
            (entry.nullifier, entry.total) == (call.nullifier, call.total)
        }
        (LogEntry::Settle(entry), Call::Settle(call)) => entry.nullifier == call.nullifier,
        (LogEntry::Claim(entry), Call::Claim(call)) => entry.claim_seq == call.claim_seq,
        _ => false,
    }
}

/// What happened over all kills.
#[derive(Debug, Default)]
struct Tally {
    heard: usize,
    repeated: usize,
    /// Calls that nobody had answered when the process was killed, and those of them that it had recorded.
    unanswered: usize,
    recorded: usize,
}

/// After a restart: what was acknowledged is there, under checkpoints that go on, and is answered as before.
async fn check(connection: &LedgerClient, clients: &mut [Client], replay: &mut Replay, tally: &mut Tally) {
    let before = replay.entries.len();
    replay.read(connection).await;
    let size = replay.log.size();
    for client in &mut *clients {
        if let Some(old) = &client.seen {
            let answer = connection.checkpoint(old.log_size).await.unwrap();
            let (new, proof) = (&answer.checkpoint, &answer.consistency);
            verify_consistency(old.log_size, new.log_size, proof, &old.log_root, &new.log_root).unwrap();
        }
        for (call, answer) in &client.heard {
            assert!(replay.holds(answer), "an acknowledged call is lost: {call:?}");
            if let Some(signed) = &answer.checkpoint {
                assert_eq!(replay.root_at(signed.log_size), Some(&signed.log_root), "{call:?}");
            }
        }
        tally.heard += client.heard.len();
        tally.unanswered += usize::from(client.pending.is_some());
        let is_recorded = |call: &Call| replay.entries.iter().skip(before).any(|entry| is_about(entry, call));
        tally.recorded += usize::from(client.pending.as_ref().is_some_and(is_recorded));
    }
    // All of them again, some at a time.
    for client in &mut *clients {
        let heard = std::mem::take(&mut client.heard);
        let again: Vec<_> = heard.iter().filter(|(call, answer)| replay.is_repeatable(call, answer)).collect();
        for some in again.chunks(16) {
            let answers = some.iter().map(|(call, _)| send(connection, call));
            for ((call, before), now) in some.iter().zip(futures::future::join_all(answers).await) {
                assert_eq!(now.map(|answer| answer.said).as_ref(), Ok(&before.said), "{call:?}");
                tally.repeated += 1;
            }
        }
    }
    assert_eq!(connection.checkpoint(0).await.unwrap().checkpoint.log_size, size, "a repeat records nothing");
}

/// More notes, and proved spends of them.
async fn prove_more(connection: &LedgerClient, shared: &Shared, replay: &mut Replay) {
    let voucher = shared.vouchers.fetch_add(1, Ordering::SeqCst);
    let request = shared.owner.redemption(voucher, BATCH_NOTES, TOTALS * STEP + 7);
    let minted = connection.redeem(request).await.unwrap().entries;
    replay.read(connection).await;
    let spends = minted.iter().map(|note| {
        let number = 2_000_000_000 + note.mint_seq;
        shared.owner.spend(note, &replay.notes, number, TOTALS * STEP + 3)
    });
    shared.spends.lock().unwrap().extend(spends);
}

fn kills_lose_nothing(kills: u64) -> String {
    let mut service = Service::make(None);
    service.start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let owner = runtime.block_on(Owner::of(&service));
    let (url, pins) = (service.url(), owner.pins());
    let (vouchers, spends, answers, charged, claimed) = Default::default();
    let shared = Arc::new(Shared { owner, vouchers, spends, answers, charged, claimed });
    let spenders = (0..SPENDERS).map(|_| Role::Spends(None));
    let roles = (0..REDEEMERS).map(|_| Role::Redeems).chain(spenders).chain([Role::Claims { made: 0 }]);
    let mut clients: Vec<_> = roles.map(|role| Client::new(role, &shared)).collect();
    let (mut replay, mut tally) = (Replay::default(), Tally::default());
    let connect = |seen: Option<&Checkpoint>| {
        let known = Known { seen: seen.cloned(), ..Known::default() };
        runtime.block_on(LedgerClient::connect_known(&url, pins, known)).unwrap()
    };
    for kill in 0..kills {
        if kill % KILLS_PER_BATCH == 0 {
            runtime.block_on(prove_more(&connect(None), &shared, &mut replay));
        }
        let (stops, stop) = watch::channel(false);
        let working: Vec<_> =
            clients.drain(..).map(|client| runtime.spawn(client.work(url.clone(), pins, stop.clone()))).collect();
        wait_for_load(&shared, kill);
        service.kill();
        stops.send(true).unwrap();
        clients.extend(working.into_iter().map(|client| runtime.block_on(client).unwrap()));
        if kill % STARTS_CUT_OFF == 0 {
            service.launch();
            std::thread::sleep(Duration::from_millis(kill * 13 % 80));
            service.kill();
        }
        service.start();
        let seen = clients.iter().filter_map(|client| client.seen.as_ref()).max_by_key(|seen| seen.log_size);
        let connection = connect(seen);
        runtime.block_on(check(&connection, &mut clients, &mut replay, &mut tally));
    }
    // What is pending is done now, or was done then; and nothing else is in the log.
    let connection = connect(None);
    for client in &mut clients {
        if let Some(call) = client.pending.take() {
            let answer = runtime.block_on(send(&connection, &call)).unwrap();
            client.hear(call, answer);
        }
    }
    let was = (tally.unanswered, tally.recorded);
    runtime.block_on(check(&connection, &mut clients, &mut replay, &mut tally));
    assert_eq!((tally.unanswered, tally.recorded), was);
    check_sums(&service, &shared, &clients, &replay, &tally);
    let kills = usize::try_from(kills).unwrap();
    assert!(tally.heard > 10 * kills && tally.unanswered > 3 * kills, "the moments are well chosen: {tally:?}");
    assert!(tally.recorded > 0, "no kill came between a commit and its answer: {tally:?}");
    format!("{kills} kills, {} entries: {tally:?}", replay.entries.len())
}

/// Moments spread over connecting, recording and answering, in an order that repeats with the kill's number.
fn wait_for_load(shared: &Shared, kill: u64) {
    let answers = || shared.answers.load(Ordering::SeqCst);
    let (began, enough) = (Instant::now(), answers() + kill * 37 % ANSWERS_MAX);
    while answers() < enough {
        assert!(began.elapsed() < LOAD_TIME_MAX, "the ledger answers too little");
        std::thread::sleep(Duration::from_micros(100));
    }
    std::thread::sleep(Duration::from_micros(kill * 13 % 8 * 300));
}

/// The clients' own sums are those that an auditor finds in the log.
fn check_sums(service: &Service, shared: &Shared, clients: &[Client], replay: &Replay, tally: &Tally) {
    let audit = cli::collect(service.audit()).unwrap().success().unwrap();
    assert_eq!(audit.text("/verdict").unwrap(), "PASSED");
    let total = |name: &str| audit.number(&format!("/totals/{name}")).unwrap();
    let kinds = |kind: fn(&LogEntry) -> bool| u64::try_from(replay.entries.iter().filter(|entry| kind(entry)).count());
    let (charged, claimed) = (shared.charged.load(Ordering::SeqCst), shared.claimed.load(Ordering::SeqCst));
    let open = clients.iter().filter(|client| matches!(client.role, Role::Spends(Some(_)))).count();
    let settled = charged / (TOTALS * STEP);
    assert!(settled > 0 && claimed > 0, "{tally:?}");
    assert_eq!((total("charged"), total("claimed"), total("owed")), (charged, claimed, charged - claimed));
    assert_eq!((total("settled"), total("open")), (settled, u64::try_from(open).unwrap()));
    assert_eq!(kinds(|entry| matches!(entry, LogEntry::Claim(_))), Ok(claimed));
    assert_eq!(total("spends"), settled + total("open"));
    assert_eq!(total("reserved"), total("open") * (TOTALS * STEP + 3));
    let vouchers = shared.vouchers.load(Ordering::SeqCst);
    assert_eq!(total("vouchers"), vouchers, "every voucher that was sent, once");
    assert_eq!(total("entries"), u64::try_from(replay.entries.len()).unwrap());
    assert_eq!((total("settled_by_ledger"), total("voided")), (0, 0));
    let batches = kinds(|entry| matches!(entry, LogEntry::Mint(mint) if mint.value.get() != 5)).unwrap() / BATCH_NOTES;
    let minted = batches * BATCH_NOTES * (TOTALS * STEP + 7) + (vouchers - batches) * 5;
    assert_eq!(total("minted"), minted);
}

#[test]
fn kills_of_the_ledger_lose_nothing_that_was_acknowledged() {
    println!("{}", kills_lose_nothing(KILLS));
}

#[test]
fn nightly_a_thousand_kills_of_the_ledger_lose_nothing_that_was_acknowledged() {
    println!("{}", kills_lose_nothing(NIGHTLY_KILLS));
}
