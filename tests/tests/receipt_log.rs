//! The log of receipts: what is in it is shown offline; a log that was put back, or goes on elsewhere, takes no work.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use acceptance::processes::{self, Process, soon};
use acceptance::proxy::Proxy;
use acceptance::{World, cli};
use attestation::Sha256Digest;
use credits::merkle::LogTree;
use serde_json::Value;
use tlog::ReceiptLogEntry;
use tlog::service::{LogAnswer, LogQuestion};

const CREDITS: u64 = 200_000;
/// Longer than the guardian goes on without witnesses.
const NOTICED: Duration = Duration::from_secs(40);

fn entries(world: &World) -> u64 {
    std::fs::metadata(world.log_dir().join("entries")).unwrap().len() / 36
}

/// The log as another program sees it, written from specifications in another language.
fn tlog_client(args: &[&str]) -> (bool, String) {
    let mut command = Command::new(processes::peers_python().unwrap());
    let output = command.arg(processes::repo_root().join("tests/clients/tlog_client.py")).args(args).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), said.concat())
}

/// One paid answer; the file of its receipt.
fn served(world: &World, wallet: &str) -> PathBuf {
    let run = cli::chat(world, wallet, "hello", &["--max-tokens", "4"]).unwrap().success().unwrap();
    PathBuf::from(run.text("/receipt/file").unwrap())
}

/// Waits until a chat is refused because nobody witnesses the log.
fn refused_unwitnessed(world: &World, wallet: &str) {
    let until = std::time::Instant::now() + NOTICED;
    loop {
        let run = cli::chat(world, wallet, "hello", &["--max-tokens", "4"]).unwrap();
        if run.error_code() == "log.unwitnessed" {
            return;
        }
        assert!(run.code == 0 && std::time::Instant::now() < until, "{} {}", run.json, world.guardian_log());
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn serves_again(world: &World, wallet: &str) {
    let again = soon(|| cli::chat(world, wallet, "hello", &["--max-tokens", "4"]).is_ok_and(|run| run.code == 0));
    assert!(again, "{}", world.guardian_log());
}

fn verify(world: &World, file: &Path, extra: &[&str]) -> cli::Run {
    let (file, trust) = (file.display().to_string(), cli::trust(world));
    let mut args = vec!["receipt", "verify", &file];
    args.extend(trust.iter().map(String::as_str));
    args.extend(extra);
    cli::json(world, &args).unwrap()
}

fn audit(world: &World, files: &[PathBuf]) -> cli::Run {
    let (url, trust) = (world.guardian_url(), cli::trust(world));
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let mut args = vec!["receipt", "audit", "--url", &url];
    args.extend(trust.iter().chain(&files).map(String::as_str));
    cli::json(world, &args).unwrap()
}

/// Writes a changed receipt bundle beside the first.
fn changed(file: &Path, change: impl FnOnce(&mut Value)) -> PathBuf {
    let mut bundle = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    change(&mut bundle);
    let other = file.with_extension("changed.json");
    std::fs::write(&other, bundle.to_string()).unwrap();
    other
}

#[test]
fn a_receipt_is_shown_to_be_in_a_witnessed_log_offline_and_years_later() {
    let mut world = World::builder().logged(3, 2).start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", CREDITS).unwrap();
    let (first, second) = (served(&world, &wallet), served(&world, &wallet));
    assert_eq!(entries(&world), 3, "a boot and two receipts");
    let keys: Vec<String> = (0..3).map(|number| world.witness_key(number).to_owned()).collect();
    let two = ["--witness", &keys[0], "--witness", &keys[1], "--witness", &keys[2], "--witnesses-needed", "2"];
    for (file, index) in [(&first, 1), (&second, 2)] {
        let run = verify(&world, file, &two).success().unwrap();
        assert_eq!(run.number("/log/index").unwrap(), index);
        assert_eq!(run.text("/log/origin").unwrap(), "node.example/receipts");
        assert!(run.json["log"]["witnesses"].as_array().unwrap().len() >= 2, "{}", run.json);
    }
    let (file, mut args) = (second.display().to_string(), vec!["receipt"]);
    args.extend([file.as_str(), "--witness", &keys[0], "--witness", &keys[1], "--witness", &keys[2], "--needed", "2"]);
    let (content, said) = tlog_client(&args);
    assert!(content && said.contains("PASS inclusion") && said.contains("PASS witnesses"), "{said}");
    // Without the reader's witnesses the log is the node's word only, and the verdict says so.
    let run = verify(&world, &first, &[]).success().unwrap();
    assert!(run.json.to_string().contains("no witness named"), "{}", run.json);
    // Witnesses that the node does not have, a receipt of another place, another receipt, no proof.
    let stranger = tempfile::tempdir().unwrap();
    let mut command = world.program("cloister-host");
    command.args(["witness", "init", "--name", "w9.example", "--dir"]).arg(stranger.path().join("w"));
    let other = acceptance::world::run(&mut command).unwrap().trim().to_owned();
    let refusals = [
        (first.clone(), "log.not_cosigned", vec!["--witness", &other]),
        (
            changed(&first, |bundle| drop(bundle.as_object_mut().unwrap().remove("log_proof"))),
            "log.not_cosigned",
            two.to_vec(),
        ),
        (
            changed(&second, |bundle| {
                let text = bundle["log_proof"].as_str().unwrap().replace("index 2", "index 1");
                bundle["log_proof"] = text.into();
            }),
            "log.not_included",
            vec![],
        ),
    ];
    for (file, code, args) in refusals {
        let run = verify(&world, &file, &args);
        assert_eq!((run.code, run.error_code()), (10, code), "{}", run.json);
    }
    let swapped = {
        let proof: Value = serde_json::from_slice(&std::fs::read(&second).unwrap()).unwrap();
        changed(&first, |bundle| bundle["log_proof"] = proof["log_proof"].clone())
    };
    assert_eq!(verify(&world, &swapped, &[]).error_code(), "log.not_included");
    let (content, said) = tlog_client(&["receipt", &swapped.display().to_string()]);
    assert!(!content && said.contains("FAIL inclusion"), "{said}");
    // It goes on with the next boot, whose keys are others.
    assert!(audit(&world, &[first.clone(), second.clone()]).success().is_ok());
    assert!(world.stop_guardian().unwrap());
    world.start_guardian().unwrap();
    let third = served(&world, &wallet);
    assert_eq!(entries(&world), 5, "two boots and three receipts");
    let run = audit(&world, &[first, second, third]).success().unwrap();
    assert_eq!((run.number("/checked").unwrap(), run.number("/entries").unwrap()), (3, 5));
}

/// A proxy that is told to stop while it still asks where its last receipts are does not lose the answer.
#[test]
fn a_proxy_that_stops_stores_the_proofs_of_its_last_receipts() {
    let world = World::builder().logged(1, 1).start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", CREDITS).unwrap();
    let proxy = Proxy::start(&world, &wallet).unwrap();
    let address = proxy.base_url().trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    let body = serde_json::json!({"model": "smollm2-135m", "max_tokens": 4, "messages": [{"role": "user", "content": "hello"}]});
    for _ in 0..3 {
        let mut stream = TcpStream::connect(&address).unwrap();
        let body = body.to_string();
        write!(
            stream,
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert!(proxy.stop().unwrap());
    let receipts = std::fs::read_dir(Path::new(&wallet).join("receipts")).unwrap();
    let receipts: Vec<PathBuf> = receipts.map(|file| file.unwrap().path()).collect();
    assert_eq!(receipts.len(), 3);
    for file in receipts {
        verify(&world, &file, &["--witness", world.witness_key(0)]).success().unwrap();
    }
}

/// One question to a keeper, as a guardian asks it. Nothing, if it is gone.
fn ask(socket: &Path, question: &LogQuestion) -> Option<LogAnswer> {
    let mut stream = UnixStream::connect(socket).ok()?;
    writeln!(stream, "{}", serde_json::to_string(question).unwrap()).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// The real process is killed while entries come, again and again. What it acknowledged is there, in its order; what it did not is said
/// again, as a guardian does, and is there once.
fn kills_lose_nothing(kills: u64) {
    let folder = tempfile::tempdir().unwrap();
    let (dir, socket) = (folder.path().join("log"), folder.path().join("socket"));
    let host = || Command::new(processes::bin_dir().unwrap().join("cloister-host"));
    let mut init = host();
    acceptance::world::run(init.args(["receipt-log", "init", "--origin", "kills.example/log", "--dir"]).arg(&dir))
        .unwrap();
    let (mut tree, mut next) = (LogTree::new(), Vec::new());
    for kill in 0..=kills {
        let mut serve = host();
        serve.args(["receipt-log", "serve", "--dir"]).arg(&dir).arg("--socket").arg(&socket);
        let mut process = Process::start("cloister-host receipt-log serve", &mut serve).unwrap();
        process.wait_until(NOTICED, |process| process.stderr().contains("receipt log ready on")).unwrap();
        let (pid, after) = (process.id(), Duration::from_millis(1 + kill * 7919 % 40));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(after);
            processes::signal(pid, "KILL").unwrap();
        });
        loop {
            let from = tree.size();
            if next.is_empty() {
                let count = 1 + from % 23;
                let digest = |number: u64| Sha256Digest::of(&(from + number).to_be_bytes());
                next = (0..count).map(|number| ReceiptLogEntry::Receipt(digest(number))).collect();
            }
            match ask(&socket, &LogQuestion::Append { from, entries: next.clone() }) {
                Some(LogAnswer::Appended { size }) => {
                    next.drain(..).for_each(|entry| tree.append(entry.leaf_hash()));
                    assert_eq!(size, tree.size(), "kill {kill}");
                }
                Some(other) => panic!("kill {kill}: {other:?}"),
                None => break,
            }
        }
        killer.join().unwrap();
        drop(process);
        let bytes = std::fs::read(dir.join("entries")).unwrap();
        let held = bytes.chunks(36).take(usize::try_from(tree.size()).unwrap());
        let held = held.map(|record| ReceiptLogEntry::from_record(record.try_into().unwrap()).unwrap());
        let mut on_disk = LogTree::new();
        held.for_each(|entry| on_disk.append(entry.leaf_hash()));
        assert_eq!((on_disk.size(), on_disk.root()), (tree.size(), tree.root()), "kill {kill}");
    }
    assert!(tree.size() > kills, "entries came: {}", tree.size());
}

#[test]
fn kills_of_the_keeper_lose_no_acknowledged_entry() {
    kills_lose_nothing(30);
}

#[test]
fn nightly_a_thousand_kills_of_the_keeper_lose_no_acknowledged_entry() {
    kills_lose_nothing(1000);
}

/// Requests of a log that another program made, right and wrong, one after the other and at once.
#[test]
fn a_witness_keeps_to_its_specification() {
    let (dir, seed, origin) = (tempfile::tempdir().unwrap(), "07".repeat(32), "other.example/log");
    let dir = dir.path().join("witness");
    let host = || Command::new(processes::bin_dir().unwrap().join("cloister-host"));
    let mut init = host();
    init.args(["witness", "init", "--name", "w.example", "--dir"]).arg(&dir);
    let witness = acceptance::world::run(&mut init).unwrap();
    let (_, key) = tlog_client(&["key", "--origin", origin, "--seed", &seed]);
    let address = format!("127.0.0.1:{}", processes::free_port().unwrap());
    let mut serve = host();
    serve.args(["witness", "serve", "--listen", &address, "--log", key.trim(), "--dir"]).arg(&dir);
    let mut process = Process::start("cloister-host witness serve", &mut serve).unwrap();
    process.wait_until(NOTICED, |_| TcpStream::connect(&address).is_ok()).unwrap();
    let url = format!("http://{address}");
    let args = ["witness", "--url", &url, "--witness", witness.trim(), "--origin", origin, "--seed", &seed];
    let (content, said) = tlog_client(&args);
    assert!(content && said.lines().count() > 35, "{said}");
    let mut info = host();
    info.args(["witness", "info", "--json", "--dir"]).arg(&dir);
    let info = cli::collect(info).unwrap();
    assert_eq!(info.json["logs"], serde_json::json!([{"origin": origin, "size": 22}]));
    assert!(process.terminate(NOTICED).unwrap(), "and ends when it is told to");
}

#[test]
fn a_log_that_was_put_back_stops_the_node_at_boot() {
    let mut world = World::builder().logged(3, 2).start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", CREDITS).unwrap();
    served(&world, &wallet);
    let file = world.log_dir().join("entries");
    let old = std::fs::read(&file).unwrap();
    served(&world, &wallet);
    assert!(world.stop_guardian().unwrap());
    world.kill_keeper().unwrap();
    let new = std::fs::read(&file).unwrap();
    std::fs::write(&file, &old).unwrap();
    world.start_keeper().unwrap();
    let refused = world.start_guardian().unwrap_err().to_string();
    assert!(refused.contains("put back to an older state"), "{refused}");
    assert!(refused.contains("0 of the named witnesses cosigned"), "{refused}");
    // A longer log with other entries is none either.
    world.kill_keeper().unwrap();
    let mut other = new.clone();
    other.extend(&old[36..72]);
    other.drain(36..72);
    std::fs::write(&file, &other).unwrap();
    world.start_keeper().unwrap();
    let refused = world.start_guardian().unwrap_err().to_string();
    assert!(refused.contains("0 of the named witnesses cosigned"), "{refused}");
    // What was there, and one witness that is not: two of three are enough.
    world.kill_keeper().unwrap();
    std::fs::write(&file, &new).unwrap();
    world.kill_witness(1).unwrap();
    world.start_keeper().unwrap();
    world.start_guardian().unwrap();
    served(&world, &wallet);
}

/// Somebody starts a second guardian on a copy of the log. Each is right alone; only one is cosigned.
#[test]
fn of_two_copies_of_a_log_one_takes_work() {
    let world = World::builder().logged(3, 2).start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", CREDITS).unwrap();
    served(&world, &wallet);
    let copy = world.dir().join("copy");
    std::fs::create_dir(&copy).unwrap();
    for file in ["entries", "log.key"] {
        std::fs::copy(world.log_dir().join(file), copy.join(file)).unwrap();
    }
    let socket = world.dir().join("sockets/copy.sock");
    let _keeper = world.keeper_of(copy, socket.clone()).unwrap();
    let port = acceptance::processes::free_port().unwrap();
    let config = std::fs::read_to_string(world.config_file()).unwrap();
    let config = config.replace("sockets/receipt-log.sock", "sockets/copy.sock");
    let config = config.replace(&world.guardian_port().to_string(), &port.to_string());
    let file = world.dir().join("copy.toml");
    std::fs::write(&file, config).unwrap();
    let mut command = world.program("cloister-guardian");
    command.args(["serve", "--config"]).arg(&file);
    let mut second = acceptance::processes::Process::start("second guardian", &mut command).unwrap();
    second.wait_until(NOTICED, |process| process.stderr().contains("\"ready\"")).unwrap();
    refused_unwitnessed(&world, &wallet);
    assert!(world.guardian_log().contains("another copy of it goes on"), "{}", world.guardian_log());
    let (spendable, reserved, pending) = cli::balance(&world, &wallet).unwrap();
    assert!(spendable > CREDITS - 500 && reserved + pending == 0, "{spendable} {reserved} {pending}");
    second.kill().unwrap();
}

/// Witnesses, and the log's keeper, may be away: then no work is taken, what was served is logged later, and nothing is charged twice.
#[test]
fn a_log_that_is_not_witnessed_stops_new_work_and_loses_nothing() {
    let mut world = World::builder().logged(3, 2).start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", CREDITS).unwrap();
    served(&world, &wallet);
    world.kill_witness(0).unwrap();
    served(&world, &wallet);
    world.kill_witness(2).unwrap();
    refused_unwitnessed(&world, &wallet);
    world.start_witness(0).unwrap();
    serves_again(&world, &wallet);
    // The same with its keeper, killed while receipts come.
    let before = entries(&world);
    world.kill_keeper().unwrap();
    let run = cli::chat(&world, &wallet, "hello", &["--max-tokens", "4"]).unwrap();
    assert_eq!(run.code, 0, "an answer does not wait for the log: {}", run.json);
    assert!(run.json["log"].is_null(), "and what is not shown is not claimed: {}", run.json);
    refused_unwitnessed(&world, &wallet);
    world.start_keeper().unwrap();
    serves_again(&world, &wallet);
    assert!(soon(|| entries(&world) > before + 1), "what waited was logged");
    // Boot and receipts are all there is, each once.
    assert!(world.stop_guardian().unwrap());
    let bytes = std::fs::read(world.log_dir().join("entries")).unwrap();
    let mut records: Vec<&[u8]> = bytes.chunks(36).collect();
    let receipts = std::fs::read_dir(Path::new(&wallet).join("receipts")).unwrap().count();
    assert_eq!(records.len(), receipts + 1, "every receipt that was given is in the log");
    records.sort_unstable();
    records.dedup();
    assert_eq!(records.len(), receipts + 1);
}

/// Without witnesses a boot cannot know. Whoever has a receipt can.
#[test]
fn a_holder_of_receipts_finds_that_a_log_without_witnesses_was_put_back() {
    let mut world = World::builder().logged(0, 0).start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", CREDITS).unwrap();
    let file = world.log_dir().join("entries");
    let old = std::fs::read(&file).unwrap();
    let receipts = [served(&world, &wallet), served(&world, &wallet), served(&world, &wallet)];
    assert!(audit(&world, &receipts).success().is_ok());
    assert!(world.stop_guardian().unwrap());
    world.kill_keeper().unwrap();
    std::fs::write(&file, &old).unwrap();
    world.start_keeper().unwrap();
    world.start_guardian().unwrap();
    let run = audit(&world, &receipts[2..]);
    assert_eq!((run.code, run.error_code()), (10, "log.rolled_back"), "{}", run.json);
    // As long as what was seen, it is another log; grown beyond that, it is not shown to be the same.
    served(&world, &wallet);
    served(&world, &wallet);
    let run = audit(&world, &receipts[2..]);
    assert_eq!((run.code, run.error_code()), (10, "log.forked"), "{}", run.json);
    for _ in 0..2 {
        served(&world, &wallet);
    }
    let run = audit(&world, &receipts);
    assert_eq!((run.code, run.error_code()), (10, "log.growth_unproved"), "{}", run.json);
}
