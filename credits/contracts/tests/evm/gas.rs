//! What a whole call costs its sender, as a transaction.

use crate::chain::{START, account};
use crate::world::{GRACE_SECS, Guardian, PAYEE, Purse, STRANGER, Terms, World, address_word};

/// Rounds of each call: enough to see appends that complete nodes.
const ROUNDS: usize = 4;

/// What the decision says that a call costs, in thousands.
fn written(method: &str) -> u64 {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/decisions/0031-settlement-on-an-evm.md");
    let text = std::fs::read_to_string(page).unwrap();
    let row = text.lines().find_map(|line| line.strip_prefix(&format!("| `{method}` | ")));
    row.and_then(|row| row.strip_suffix(" |"))
        .and_then(|row| row.parse().ok())
        .unwrap_or_else(|| panic!("no row {method}"))
}

/// The decision's table is true to a hundredth.
pub(crate) fn is_written(method: &str, measured: u64) {
    let written = written(method) * 1_000;
    assert!(measured.abs_diff(written) <= written / 100 + 500, "{method}: {measured} measured, {written} written");
}

#[test]
fn gas_of_every_call() {
    let mut world = World::new();
    let mut purse = Purse::new(40);
    let guardian = Guardian::new(7);
    let deadline = START + 1_000;
    for _ in 0..ROUNDS {
        purse.deposit(&mut world, &[300]);
        let spend = purse.spend(&mut world, 256, Terms::new(deadline));
        world.send(STRANGER, "reserve", &spend.words()).unwrap();
        let done = world.settle(&spend, 56, &guardian).unwrap();
        purse.scan(&done);
        purse.record(&mut world);
        let spend = purse.spend(&mut world, 100, Terms::exit(deadline, account(9)));
        let done = world.send(STRANGER, "exit", &spend.words()).unwrap();
        purse.scan(&done);
        world.send(PAYEE, "claim", &[address_word(account(PAYEE))]).unwrap();
    }
    purse.record(&mut world);
    let mut spends = Vec::new();
    for _ in 0..ROUNDS {
        let spend = purse.spend(&mut world, 32, Terms::new(deadline));
        world.send(STRANGER, "reserve", &spend.words()).unwrap();
        spends.push(spend);
    }
    world.chain.now = deadline + GRACE_SECS + 1;
    for spend in &spends {
        let done = world.void(spend).unwrap();
        purse.scan(&done);
    }
    let methods = [
        "HiddenPart: creation",
        "SpendVerifier: creation",
        "Cloister: creation",
        "Cloister: deposit",
        "NoteTree: recordRoot",
        "Cloister: reserve",
        "Cloister: settle",
        "Cloister: voidOverdue",
        "Cloister: exit",
        "Cloister: claim",
    ];
    println!("{}", world.chain.gas_table("settlement, a transaction each", &methods));
    for method in methods {
        is_written(method, world.chain.gas_median(method));
    }
    assert_eq!(usize::try_from(purse.tree.len()), Ok(4 * ROUNDS));
}

/// What is rarer: a note that leaves whole, an anchor.
#[test]
fn gas_of_whole_exits_and_anchors() {
    let mut world = World::new();
    let mut purse = Purse::new(41);
    let mut out = Vec::new();
    for value in [100, 200, 300] {
        purse.deposit(&mut world, &[value]);
        let spend = purse.spend(&mut world, value, Terms::exit_whole(START + 1_000, account(9)));
        out.push(world.send(STRANGER, "exit", &spend.words()).unwrap().gas);
    }
    out.sort_unstable();
    for _ in 0..8 {
        let outputs: Vec<_> = (0..8).map(|_| purse.output(1)).collect();
        world.deposit(&outputs).unwrap();
    }
    let [first, again] = [(); 2].map(|()| world.chain.call(account(9), world.tree, "recordAnchor", &[]).unwrap().gas);
    println!("exit of a whole note: {} gas\nrecordAnchor: {first} gas, once it is recorded {again}", out[1]);
    is_written("Cloister: exit, whole", out[1]);
    is_written("NoteTree: recordAnchor", first);
}
