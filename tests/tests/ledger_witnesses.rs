//! Witnesses of the ledger's log: an old copy of a ledger, or a second one that goes on beside it, deceives nobody who names them, not even
//! those who have never seen a newer state.

use std::path::Path;
use std::time::Duration;

use acceptance::processes::{Process, free_port, soon};
use acceptance::proxy::Proxy;
use acceptance::{World, cli};
use ledger_testing::Postgres;

const DEPOSIT: u64 = 100_000;
/// Longer than until witnesses are asked again.
const ROUND: Duration = Duration::from_secs(8);

/// A new wallet that goes by the world's witnesses, at the ledger on a port.
fn new_wallet(world: &World, name: &str, port: &str) -> cli::Run {
    let (wallet, witnesses) = (world.wallet_dir(name).display().to_string(), world.ledger_witness_args());
    let url = format!("http://127.0.0.1:{port}");
    let mut args = vec!["wallet", "new", "--no-passphrase", "--wallet", &wallet, "--ledger", &url];
    args.extend(witnesses.iter().map(String::as_str));
    cli::json(world, &args).unwrap()
}

/// Whether it comes to be true within some rounds.
fn in_time(mut is_true: impl FnMut() -> bool) -> bool {
    (0..3).any(|_| soon(&mut is_true))
}

fn port_of(url: &str) -> String {
    url.rsplit(':').next().unwrap().to_owned()
}

fn refused_as_unwitnessed(run: &cli::Run) {
    assert_eq!((run.code, run.error_code()), (10, "ledger.unwitnessed"), "{} {}", run.json, run.stderr);
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // With its mode: keys are refused if others can read them.
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// C2. Before there were witnesses, a client that had seen nothing newer took the copy for the ledger.
#[test]
fn an_old_copy_of_a_ledger_deceives_nobody_who_names_witnesses() {
    let mut world = World::builder().ledger_watched(3, 2).start().unwrap();
    let wallet = cli::funded_wallet(&world, "first", DEPOSIT).unwrap();
    cli::chat(&world, &wallet, "before", &[]).unwrap().success().unwrap();
    let proxy = Proxy::start(&world, &cli::funded_wallet(&world, "proxy", DEPOSIT).unwrap()).unwrap();

    // Its disk is put back to what it was before the second call.
    world.kill_ledger().unwrap();
    let (kept, database) = (world.dir().join("kept.redb"), world.ledger_dir().join("ledger.redb"));
    std::fs::copy(&database, &kept).unwrap();
    world.start_ledger().unwrap();
    let balance = ["wallet", "balance", "--wallet", &wallet];
    assert!(in_time(|| cli::json(&world, &balance).unwrap().code == 0), "{}", world.ledger_log());
    cli::chat(&world, &wallet, "after", &[]).unwrap().success().unwrap();
    assert_eq!(proxy.chat("a tab is open", 2).unwrap(), 200);
    let saw = || world.program("cloister-host").args(["witness", "info", "--dir"]).arg(world.witness_dir(0)).output();
    let entries = String::from_utf8(saw().unwrap().stdout).unwrap();
    assert!(entries.contains("cloister-ledger/"), "{entries}");
    // Witnesses are told within a second or so.
    assert!(in_time(|| String::from_utf8(saw().unwrap().stdout).unwrap() != entries), "{entries}");
    world.kill_ledger().unwrap();
    std::fs::copy(&kept, &database).unwrap();
    world.start_ledger().unwrap();

    // Who names no witnesses and has seen nothing is deceived; who names them is not.
    let deceived = world.wallet_dir("deceived").display().to_string();
    let url = world.ledger_url();
    let made = cli::json(&world, &["wallet", "new", "--no-passphrase", "--wallet", &deceived, "--ledger", &url]);
    made.unwrap().success().unwrap();
    refused_as_unwitnessed(&new_wallet(&world, "second", &port_of(&url)));
    let mut audit = vec!["ledger", "audit", &url];
    let witnesses = world.ledger_witness_args();
    audit.extend(witnesses.iter().map(String::as_str));
    refused_as_unwitnessed(&cli::json(&world, &audit).unwrap());
    assert!(in_time(|| world.ledger_log().contains("was put back to an older state")), "{}", world.ledger_log());

    // The first wallet has seen more, and a guardian that begins anew has seen nothing.
    refused_as_unwitnessed(&cli::json(&world, &balance).unwrap());
    // Nor does a guardian go on that has tabs open: what it served under them would be paid on the copy.
    let refused = (0..60).any(|_| {
        std::thread::sleep(Duration::from_secs(1));
        let answer =
            proxy.post(r#"{"model":"smollm2-135m","max_tokens":2,"messages":[{"role":"user","content":"x"}]}"#);
        answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 503") && answer.contains("ledger.unwitnessed"))
    });
    assert!(refused, "{} {}", world.guardian_log(), proxy.log());
    proxy.kill().unwrap();
    world.kill_guardian().unwrap();
    let refused = world.start_guardian().unwrap_err().to_string();
    assert!(refused.contains("too few witnesses said lately"), "{refused}");
}

#[test]
fn of_two_copies_of_a_ledger_one_is_the_ledger() {
    let mut world = World::builder().ledger_watched(1, 1).start().unwrap();
    let copy = world.dir().join("copy");
    let wallet = cli::funded_wallet(&world, "first", DEPOSIT).unwrap();
    world.kill_ledger().unwrap();
    copy_dir(&world.ledger_dir(), &copy);
    world.start_ledger().unwrap();
    let balance = ["wallet", "balance", "--wallet", &wallet];
    assert!(in_time(|| cli::json(&world, &balance).unwrap().code == 0), "{}", world.ledger_log());
    let port = free_port().unwrap();
    let beside: Process = world.ledger_service(&copy, port).unwrap();

    // As long as nothing happened they are the same. Then the ledger goes on …
    let voucher = world.voucher(500).unwrap();
    cli::json(&world, &["wallet", "deposit", "--wallet", &wallet, &voucher]).unwrap().success().unwrap();
    // … and the copy with something else. What it had cosigned before is gone by a little longer, so it begins anew.
    let deceived = world.wallet_dir("deceived").display().to_string();
    let beside_url = format!("http://127.0.0.1:{port}");
    let made = cli::json(&world, &["wallet", "new", "--no-passphrase", "--wallet", &deceived, "--ledger", &beside_url]);
    made.unwrap().success().unwrap();
    let voucher = world.voucher(700).unwrap();
    cli::json(&world, &["wallet", "deposit", "--wallet", &deceived, &voucher]).unwrap().success().unwrap();
    std::thread::sleep(ROUND);
    drop(beside);
    let beside = world.ledger_service(&copy, port).unwrap();
    refused_as_unwitnessed(&new_wallet(&world, "second", &port.to_string()));
    assert!(in_time(|| beside.stderr().contains("does not cosign")), "{}", beside.stderr());
    cli::chat(&world, &wallet, "the ledger goes on", &[]).unwrap().success().unwrap();
    assert_eq!(new_wallet(&world, "third", &port_of(&world.ledger_url())).code, 0);
    assert!(!world.ledger_log().contains("does not cosign"), "{}", world.ledger_log());
}

#[test]
fn witnesses_that_are_away_are_forgiven_as_far_as_is_configured() {
    let mut world = World::builder().ledger_watched(3, 2).start().unwrap();
    let wallet = cli::funded_wallet(&world, "first", DEPOSIT).unwrap();
    world.kill_witness(0).unwrap();
    world.kill_ledger().unwrap();
    world.start_ledger().unwrap();
    let balance = ["wallet", "balance", "--wallet", &wallet];
    assert!(in_time(|| cli::json(&world, &balance).unwrap().code == 0));
    cli::chat(&world, &wallet, "two of three", &[]).unwrap().success().unwrap();

    // Of a ledger that begins anew nothing is left that two had cosigned.
    world.kill_witness(1).unwrap();
    world.kill_ledger().unwrap();
    world.start_ledger().unwrap();
    refused_as_unwitnessed(&cli::json(&world, &balance).unwrap());
    world.start_witness(0).unwrap();
    assert!(in_time(|| cli::json(&world, &balance).unwrap().code == 0), "{}", world.ledger_log());
}

/// Several services of one database do not take each other for thieves.
#[test]
fn services_of_one_database_are_witnessed_as_one_ledger() {
    let Some(postgres) = Postgres::start().unwrap() else { return };
    let world = World::builder().ledger_in(postgres.url("ledger").unwrap()).ledger_watched(3, 2).start().unwrap();
    let port = free_port().unwrap();
    let beside = world.ledger_service(&world.ledger_dir(), port).unwrap();
    let there = format!("http://127.0.0.1:{port}");
    let wallet = cli::funded_wallet(&world, "first", DEPOSIT).unwrap();
    for round in 0..8_u64 {
        // In turn, and over more than one of the rounds in which witnesses are asked.
        let voucher = world.voucher(1000 + round).unwrap();
        let mut deposit = vec!["wallet", "deposit", "--wallet", &wallet, &voucher];
        if round % 2 == 0 {
            deposit.extend(["--ledger", &there]);
        }
        cli::json(&world, &deposit).unwrap().success().unwrap();
        std::thread::sleep(Duration::from_secs(1));
    }
    cli::chat(&world, &wallet, "one ledger", &[]).unwrap().success().unwrap();
    for log in [world.ledger_log(), beside.stderr()] {
        assert!(!log.contains("does not cosign") && !log.contains("is not cosigned"), "{log}");
    }
}

#[test]
fn a_wallets_witnesses_are_kept_only_if_they_watch_its_ledger() {
    let world = World::builder().ledger_watched(3, 2).start().unwrap();
    let url = world.ledger_url();
    let wallet = world.wallet_dir("plain").display().to_string();
    let made = cli::json(&world, &["wallet", "new", "--no-passphrase", "--wallet", &wallet, "--ledger", &url]);
    made.unwrap().success().unwrap();
    let witnesses =
        |args: &[&str]| cli::json(&world, &[&["wallet", "witnesses", "--wallet", &wallet], args].concat()).unwrap();
    assert!(witnesses(&[]).success().unwrap().json["witnesses"].is_null());

    let (one, other) = (world.witness_key(0), world.witness_key(1));
    // One that watches nothing here.
    let mut stranger = world.program("cloister-host");
    stranger.args(["witness", "init", "--name", "stranger.example", "--dir"]).arg(world.dir().join("stranger"));
    let stranger = acceptance::world::run(&mut stranger).unwrap();
    refused_as_unwitnessed(&witnesses(&["--witness", stranger.trim()]));
    for (args, code) in [
        (vec!["--witness", one, "--witness", one], "choice.witnesses"),
        (vec!["--witness", one, "--witness", other, "--witnesses-needed", "1"], "choice.witnesses"),
        (vec!["--witness", one, "--witnesses-needed", "2"], "choice.witnesses"),
    ] {
        let refused = witnesses(&args);
        assert_eq!((refused.code, refused.error_code()), (2, code), "{}", refused.json);
    }
    assert!(witnesses(&[]).success().unwrap().json["witnesses"].is_null(), "nothing was kept");

    let kept = witnesses(&["--witness", one, "--witness", other]).success().unwrap();
    assert_eq!(kept.json["witnesses"]["needed"], 2);
    assert_eq!(witnesses(&[]).success().unwrap().json["witnesses"]["witnesses"][1], other);
    cli::json(&world, &["wallet", "deposit", "--wallet", &wallet, &world.voucher(DEPOSIT).unwrap()])
        .unwrap()
        .success()
        .unwrap();
    cli::chat(&world, &wallet, "watched", &[]).unwrap().success().unwrap();
    assert!(witnesses(&["--none"]).success().unwrap().json["witnesses"].is_null());
}
