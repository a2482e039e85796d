//! Several nodes and wallets on one ledger in PostgreSQL, whose server dies while they pay.

use std::time::Duration;

use acceptance::{World, cli};
use ledger_testing::Postgres;

const WALLETS: [&str; 3] = ["first", "second", "third"];
const VALUE: u64 = 100_000;
/// Calls of each wallet while the server dies, and how often it does.
const CALLS: usize = 3;
const DEATHS: usize = 4;

/// Calls of one wallet, at both nodes in turn. Who is not served is told that the ledger or the node is not there.
fn pays(world: &World, wallet: &str, nodes: &[String; 2], first: usize) {
    for call in 0..CALLS {
        let node = &nodes[(first + call) % nodes.len()];
        let run = cli::chat_at(world, node, wallet, "hello", &["--max-tokens", "4"]).unwrap();
        assert!([0, 50].contains(&run.code), "served, or unavailable: {} {}", run.json, run.stderr);
    }
}

#[test]
fn nodes_are_paid_by_wallets_over_a_database_that_dies_again_and_again() {
    let Some(mut postgres) = Postgres::start().unwrap() else { return };
    let mut world = World::builder().ledger_in(postgres.url("ledger").unwrap()).start().unwrap();
    let (second, url) = world.another_guardian().unwrap();
    let nodes = [world.guardian_url(), url];
    let wallets: Vec<String> = WALLETS.iter().map(|name| cli::funded_wallet(&world, name, VALUE).unwrap()).collect();
    std::thread::scope(|scope| {
        let (world, nodes) = (&world, &nodes);
        let paying: Vec<_> = wallets
            .iter()
            .enumerate()
            .map(|(number, wallet)| scope.spawn(move || pays(world, wallet, nodes, number)))
            .collect();
        for _ in 0..DEATHS {
            std::thread::sleep(Duration::from_millis(1200));
            postgres.restart().unwrap();
        }
        paying.into_iter().for_each(|wallet| wallet.join().unwrap());
    });
    // It goes on where it was, for every wallet at every node.
    for (wallet, node) in wallets.iter().flat_map(|wallet| nodes.iter().map(move |node| (wallet, node))) {
        cli::chat_at(&world, node, wallet, "hello", &["--max-tokens", "4"]).unwrap().success().unwrap();
    }
    // Nodes that stop settle what is open. Then every credit is a wallet's or was charged.
    assert!(second.terminate(Duration::from_secs(40)).unwrap() && world.stop_guardian().unwrap());
    let audit = cli::json(&world, &["ledger", "audit", &world.ledger_url()]).unwrap().success().unwrap();
    let total = |name: &str| audit.number(&format!("/totals/{name}")).unwrap();
    assert_eq!((total("minted"), total("open")), (WALLETS.map(|_| VALUE).iter().sum::<u64>(), 0));
    let held = wallets.iter().map(|wallet| {
        let (spendable, reserved, pending) = cli::balance(&world, wallet).unwrap();
        assert_eq!(reserved, 0, "nothing is reserved any more");
        spendable + pending
    });
    assert_eq!(held.sum::<u64>() + total("charged"), total("minted"));
    assert!(total("charged") > 0);
}
