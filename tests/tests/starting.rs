//! A node whose engine starts late: it is reachable and appraisable, and takes no money for what it cannot do yet.

use acceptance::payer::Payer;
use acceptance::{World, cli, raw};

/// A world whose guardian waits for an engine that is not there.
fn engineless() -> World {
    let mut world = World::builder().start().unwrap();
    world.kill_guardian().unwrap();
    world.kill_engine().unwrap();
    world.start_guardian_until("\"listening\"").unwrap();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_attests_before_its_engine_is_ready_and_charges_nothing() {
    let mut world = tokio::task::spawn_blocking(engineless).await.unwrap();
    let port = world.guardian_port();
    let verified = tokio::task::block_in_place(|| cli::verify(&world, &world.guardian_url())).unwrap();
    assert_eq!(verified.success().unwrap().text("/verdict").unwrap(), "VERIFIED");
    let health = raw::get(port, "/health").await.unwrap();
    assert_eq!((health.status.as_u16(), health.json()["status"].as_str()), (503, Some("starting")));

    // A tab may be opened; nothing is taken from it.
    let mut payer = Payer::new(&world, 64 * 1024).await.unwrap();
    let spend = payer.opened(1024, 600).await.unwrap();
    let answer = payer.chat(&spend, "early", "hello", 4).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "engine.starting"));
    assert_eq!(answer.json()["error"]["type"], "server_error", "OpenAI's shape");
    assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    assert!(!answer.headers.contains_key("x-should-retry"), "official clients try again by themselves");
    let settled = payer.close(&spend).await.unwrap().json();
    assert_eq!(
        (settled["statement"]["charge"].as_u64(), settled["statement"]["requests"].as_u64()),
        (Some(0), Some(0))
    );
    payer.sync().await.unwrap();
    assert_eq!(payer.balance(), (64 * 1024, 0, 0), "everything came back");

    // The same call under the same idempotency key is served once the engine is there.
    let spend = payer.opened(1024, 600).await.unwrap();
    assert_eq!(payer.chat(&spend, "again", "hello", 4).await.unwrap().code(), "engine.starting");
    tokio::task::block_in_place(|| {
        world.start_engine().unwrap();
        world.wait_for_guardian("\"ready\"").unwrap();
    });
    let answer = payer.chat(&spend, "again", "hello", 4).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.json());
    assert_eq!(raw::get(port, "/health").await.unwrap().status.as_u16(), 200);
    let charge = payer.close(&spend).await.unwrap().json()["statement"]["charge"].as_u64().unwrap();
    assert!(charge > 0);
    payer.sync().await.unwrap();
    assert_eq!(payer.balance(), (64 * 1024 - charge, 0, 0));
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

/// `cloister chat` at such a node: a clear error, and the tab it opened is closed at no charge.
#[test]
fn a_chat_at_a_node_that_still_starts_costs_nothing() {
    let world = engineless();
    let wallet = cli::funded_wallet(&world, "w", 100_000).unwrap();
    let run = cli::chat(&world, &wallet, "hello", &[]).unwrap();
    assert_eq!((run.code, run.error_code()), (50, "engine.starting"), "{}", run.json);
    assert_eq!(cli::balance(&world, &wallet).unwrap(), (100_000, 0, 0));
}

#[test]
fn a_node_that_still_starts_stops_at_once_when_told() {
    let mut world = engineless();
    assert!(world.stop_guardian().unwrap(), "SIGTERM ends it with success");
}
