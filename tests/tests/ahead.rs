//! Spends that the proxy proves before a request needs them.

use acceptance::processes::free_port;
use acceptance::proxy::Proxy;
use acceptance::{World, cli};

const READY: &str = "proved ahead: a tab of 4096 credits";
const OPEN: &str = "open, 4096 credits reserved";
const PROVING_NOW: &str = "proving a spend for a new tab";

fn wallet_of(world: &World, notes: &str) -> String {
    let wallet = cli::empty_wallet(world, "w").unwrap();
    let voucher = world.voucher(64_000).unwrap();
    let deposit = ["wallet", "deposit", "--notes", notes, "--wallet", &wallet, &voucher];
    cli::json(world, &deposit).unwrap().success().unwrap();
    wallet
}

fn start(world: &World, wallet: &str) -> Proxy {
    Proxy::start_as(world, wallet, free_port().unwrap(), &["--reserve", "4096"]).unwrap()
}

/// A request that takes most of a tab of 4,096 credits at its worst, so that each needs a tab of its own.
fn long_prompt() -> String {
    "word ".repeat(680)
}

#[test]
fn no_request_waits_for_a_proof_while_notes_are_free() {
    let world = World::builder().start().unwrap();
    let wallet = wallet_of(&world, "4");
    let mut proxy = start(&world, &wallet);
    for tab in 1..=4 {
        proxy.wait_for(READY, tab).unwrap();
        assert_eq!(proxy.chat(&long_prompt(), 4).unwrap(), 200);
        proxy.wait_for(OPEN, tab).unwrap();
    }
    // The tab before was closed while nobody waited, not before the next was opened.
    proxy.wait_for("settled: ", 3).unwrap();
    let log = proxy.log();
    // One more, if the moment at which tabs end was another when a request came.
    assert!(log.matches(PROVING_NOW).count() <= 1, "{log}");
    let [second_open, first_settled] =
        [(OPEN, 1), ("settled: ", 0)].map(|(words, nth)| log.match_indices(words).nth(nth).unwrap().0);
    assert!(second_open < first_settled, "{log}");
    assert!(proxy.stop().unwrap());
    let (spendable, reserved, pending) = cli::balance(&world, &wallet).unwrap();
    assert_eq!((reserved, pending), (0, 0), "what was proved and not used holds no note");
    assert!((58_000..64_000).contains(&spendable), "{spendable}");
}

/// Nothing of a proof that was made and not used is left: not after the process was killed, and not in the wallet's history.
#[test]
fn a_proof_that_is_never_used_costs_nothing() {
    let world = World::builder().start().unwrap();
    let wallet = wallet_of(&world, "2");
    let mut proxy = start(&world, &wallet);
    proxy.wait_for(READY, 1).unwrap();
    proxy.kill().unwrap();
    assert_eq!(cli::balance(&world, &wallet).unwrap(), (64_000, 0, 0));
    let history = cli::json(&world, &["wallet", "history", "--wallet", &wallet]).unwrap().success().unwrap();
    let kinds: Vec<_> = history.json["history"].as_array().unwrap().iter().map(|item| item["kind"].clone()).collect();
    assert_eq!(kinds, ["deposit", "deposit"], "{}", history.json);
}

/// With one note there is nothing to prove ahead while a tab is open; the next is opened with its refund, as soon as that is back.
#[test]
fn with_one_note_the_refund_is_waited_for() {
    let world = World::builder().start().unwrap();
    let wallet = wallet_of(&world, "1");
    let mut proxy = start(&world, &wallet);
    proxy.wait_for(READY, 1).unwrap();
    assert_eq!(proxy.chat(&long_prompt(), 4).unwrap(), 200);
    proxy.wait_for("no free note is large enough", 1).unwrap();
    assert_eq!(proxy.chat(&long_prompt(), 4).unwrap(), 200);
    let log = proxy.log();
    assert_eq!(log.matches(OPEN).count(), 2, "{log}");
    assert!((1..=2).contains(&log.matches(PROVING_NOW).count()), "{log}");
    assert!(proxy.stop().unwrap());
    let (spendable, reserved, pending) = cli::balance(&world, &wallet).unwrap();
    assert_eq!((reserved, pending), (0, 0));
    assert!((60_000..64_000).contains(&spendable), "{spendable}");
}
