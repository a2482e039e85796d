//! Notes become fewer and larger, by the command that people use.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use acceptance::World;
use acceptance::cli::{Run, balance, chat, funded_wallet, json};

fn wallet(world: &World, dir: &str, args: &[&str]) -> Run {
    json(world, &[&["wallet"], args, &["--wallet", dir]].concat()).unwrap()
}

fn merges_in_the_log(world: &World) -> u64 {
    let audit = json(world, &["ledger", "audit", &world.ledger_url()]).unwrap().success().unwrap();
    assert_eq!(audit.text("/verdict").unwrap(), "PASSED");
    audit.number("/totals/merges").unwrap()
}

#[test]
fn small_notes_are_merged_and_pay_together() {
    let world = World::builder().with_merges().start().unwrap();
    // Four notes of 500: the smallest tier is 1,024.
    let dir = funded_wallet(&world, "w", 2_000).unwrap();
    let refused = chat(&world, &dir, "Hello.", &["--max-tokens", "2", "--reserve", "1"]).unwrap();
    assert_eq!((refused.code, refused.error_code()), (40, "wallet.fragmented"), "{}", refused.json);
    assert!(refused.json.to_string().contains("cloister wallet merge --at-least"), "{}", refused.json);
    let refused = wallet(&world, &dir, &["merge", "--at-least", "2001"]);
    assert_eq!((refused.code, refused.error_code()), (40, "wallet.insufficient_balance"), "{}", refused.json);

    let merged = wallet(&world, &dir, &["merge", "--at-least", "1024"]).success().unwrap();
    assert_eq!((merged.number("/merges").unwrap(), merged.number("/notes").unwrap()), (2, 2));
    assert_eq!(balance(&world, &dir).unwrap(), (2_000, 0, 0));
    let nothing = wallet(&world, &dir, &["merge", "--at-least", "1024"]).success().unwrap();
    assert_eq!(nothing.number("/merges").unwrap(), 0);
    let paid = chat(&world, &dir, "Hello.", &["--max-tokens", "2", "--reserve", "1"]).unwrap().success().unwrap();
    let charge = paid.number("/settlement/charge").unwrap();

    // All into one, and the words alone find it.
    let merged = wallet(&world, &dir, &["merge"]).success().unwrap();
    assert_eq!((merged.number("/merges").unwrap(), merged.number("/notes").unwrap()), (1, 1));
    assert_eq!(balance(&world, &dir).unwrap(), (2_000 - charge, 0, 0));
    assert_eq!(merges_in_the_log(&world), 3);
    let history = wallet(&world, &dir, &["history"]).success().unwrap();
    let kinds =
        history.json["history"].as_array().unwrap().iter().map(|item| item["kind"].as_str().unwrap().to_owned());
    assert_eq!(kinds.filter(|kind| kind == "merge").count(), 3);
    let words = wallet(&world, &dir, &["words"]).success().unwrap();
    let file = world.dir().join("words.txt");
    std::fs::write(&file, words.text("/words").unwrap()).unwrap();
    let restored = world.dir().join("restored");
    let (restored, file) = (restored.to_str().unwrap(), file.to_str().unwrap());
    let args = ["restore", "--ledger", &world.ledger_url(), "--words", file, "--no-passphrase"];
    wallet(&world, restored, &args).success().unwrap();
    assert_eq!(balance(&world, restored).unwrap(), (2_000 - charge, 0, 0));
}

/// Wherever a merge is cut off, its notes are two or one, and the next merge goes on.
#[test]
fn a_merge_that_is_killed_loses_nothing() {
    const STEPS: u32 = 8;
    let world = World::builder().with_merges().start().unwrap();
    let dir = funded_wallet(&world, "w", 10_000).unwrap();
    // The first fetches the proving key, which would take all the time.
    wallet(&world, &dir, &["merge"]).success().unwrap();
    let mut finished = 0;
    for step in 1..=STEPS {
        // Something to merge: another voucher of two notes.
        let voucher = world.voucher(10).unwrap();
        wallet(&world, &dir, &["deposit", &voucher, "--notes", "2"]).success().unwrap();
        let whole = {
            let began = Instant::now();
            wallet(&world, &dir, &["sync"]).success().unwrap();
            began.elapsed()
        };
        let mut command = world.cloister(&["--json", "wallet", "merge", "--wallet", &dir]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // A merge takes several times what reading the ledger takes; the last ones come after its end.
        std::thread::sleep(whole * step * 2);
        child.kill().unwrap();
        finished += u32::from(child.wait().unwrap().success());
        wallet(&world, &dir, &["sync"]).success().unwrap();
        let (spendable, reserved, pending) = balance(&world, &dir).unwrap();
        assert_eq!((spendable + pending, reserved), (10_000 + u64::from(step) * 10, 0), "step {step}");
    }
    assert!(finished < STEPS, "some were cut off");
    let merged = wallet(&world, &dir, &["merge"]).success().unwrap();
    assert_eq!(merged.number("/notes").unwrap(), 1);
    assert_eq!(balance(&world, &dir).unwrap(), (10_000 + u64::from(STEPS) * 10, 0, 0));
    assert!(merges_in_the_log(&world) >= u64::from(STEPS));
}

/// Stands between wallet and ledger and does something to merges. A client asks again when it is not answered, so it does it to all.
struct Gate {
    url: String,
    fate: Arc<AtomicU8>,
}

/// What becomes of a merge at the gate.
const PASSED: u8 = 0;
const NOT_TOLD: u8 = 1;
const ANSWER_LOST: u8 = 2;
const REFUSED: u8 = 3;

impl Gate {
    fn before(ledger_url: &str) -> Self {
        let ledger = ledger_url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fate = Arc::new(AtomicU8::new(PASSED));
        let of_merges = Arc::clone(&fate);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (ledger, fate) = (ledger.clone(), Arc::clone(&of_merges));
                std::thread::spawn(move || pass(client, &ledger, &fate));
            }
        });
        Self { url, fate }
    }

    /// What `wallet merge` ends with while merges meet this fate.
    fn merge(&self, world: &World, dir: &str, fate: u8) -> Run {
        self.fate.store(fate, Ordering::SeqCst);
        let run = wallet(world, dir, &["merge"]);
        self.fate.store(PASSED, Ordering::SeqCst);
        run
    }
}

/// One request and its answer; then the connection is closed.
fn pass(mut client: TcpStream, ledger: &str, of_merges: &AtomicU8) {
    let mut request = Vec::new();
    let head = loop {
        let mut chunk = [0; 4096];
        let Ok(count @ 1..) = client.read(&mut chunk) else { return };
        request.extend_from_slice(&chunk[..count]);
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break String::from_utf8(request[..end].to_vec()).unwrap().to_ascii_lowercase();
        }
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    while request.len() < head.len() + 4 + length {
        let mut chunk = [0; 4096];
        let Ok(count @ 1..) = client.read(&mut chunk) else { return };
        request.extend_from_slice(&chunk[..count]);
    }
    let is_merge = head.starts_with("post /v1/merges ");
    let fate = if is_merge { of_merges.load(Ordering::SeqCst) } else { PASSED };
    let refusal = |status: &str, code: &str| {
        let body = format!(r#"{{"error":{{"code":"{code}","message":"no"}}}}"#);
        let head = format!("HTTP/1.1 {status} No\r\nconnection: close\r\ncontent-type: application/json\r\n");
        format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    let answer = match fate {
        NOT_TOLD => refusal("503", "ledger.unavailable"),
        REFUSED => refusal("403", "spend.root_unknown"),
        _ => {
            let mut server = TcpStream::connect(ledger).unwrap();
            let line_end = request.windows(2).position(|window| window == b"\r\n").unwrap() + 2;
            let (line, rest) = request.split_at(line_end);
            server.write_all(&[line, b"connection: close\r\n", rest].concat()).unwrap();
            let mut answer = Vec::new();
            server.read_to_end(&mut answer).unwrap();
            answer
        }
    };
    if fate != ANSWER_LOST {
        // Who has gone reads no answer.
        drop(client.write_all(&answer));
    }
}

/// A merge that was not answered, or was refused, is sent again before any other, and can be given up.
#[test]
fn merges_that_are_lost_or_refused_lose_nothing() {
    let world = World::builder().with_merges().start().unwrap();
    let gate = Gate::before(&world.ledger_url());
    let dir = world.dir().join("w");
    let dir = dir.to_str().unwrap();
    wallet(&world, dir, &["new", "--ledger", &gate.url, "--no-passphrase"]).success().unwrap();
    let deposit = |value: u64, notes: &str| {
        let voucher = world.voucher(value).unwrap();
        wallet(&world, dir, &["deposit", &voucher, "--notes", notes]).success().unwrap();
    };
    deposit(400, "4");
    let merge = |args: &[&str]| wallet(&world, dir, &[&["merge"], args].concat());

    let lost = gate.merge(&world, dir, NOT_TOLD);
    assert_eq!(lost.error_code(), "ledger.unavailable", "{}", lost.json);
    assert_eq!(balance(&world, dir).unwrap(), (200, 0, 200), "two notes wait");
    assert_eq!(merges_in_the_log(&world), 0);
    // The same pair first, then the others: never more merges than that takes.
    assert_eq!(merge(&[]).success().unwrap().number("/merges").unwrap(), 3);
    assert_eq!((balance(&world, dir).unwrap(), merges_in_the_log(&world)), ((400, 0, 0), 3));

    deposit(100, "1");
    assert!(gate.merge(&world, dir, ANSWER_LOST).code != 0);
    // It was recorded: the log says so before anything is sent again.
    assert_eq!(merge(&[]).success().unwrap().number("/merges").unwrap(), 0);
    assert_eq!((balance(&world, dir).unwrap(), merges_in_the_log(&world)), ((500, 0, 0), 4));

    deposit(100, "1");
    let refused = gate.merge(&world, dir, REFUSED);
    assert_eq!(refused.error_code(), "spend.root_unknown", "{}", refused.json);
    assert_eq!(balance(&world, dir).unwrap(), (0, 0, 600), "who refused it has seen it");
    assert_eq!(merge(&["--give-up"]).success().unwrap().number("/given_up").unwrap(), 1);
    assert_eq!(balance(&world, dir).unwrap(), (600, 0, 0));
    assert_eq!(merge(&[]).success().unwrap().number("/merges").unwrap(), 1);
    assert_eq!((balance(&world, dir).unwrap(), merges_in_the_log(&world)), ((600, 0, 0), 5));
}

#[test]
fn a_ledger_without_parameters_for_them_makes_no_merges() {
    let world = World::builder().start().unwrap();
    let dir = funded_wallet(&world, "w", 2_000).unwrap();
    let refused = wallet(&world, &dir, &["merge"]);
    assert_eq!((refused.code, refused.error_code()), (40, "wallet.merge_not_offered"), "{}", refused.json);
    assert_eq!(balance(&world, &dir).unwrap(), (2_000, 0, 0));
}
