//! Paying: one answer end to end, what is refused, and that nothing is lost.

use std::process::Stdio;
use std::time::{Duration, Instant};

use acceptance::proxy::Proxy;
use acceptance::{World, cli, processes, raw};
use serde_json::json;

#[test]
fn one_paid_answer_is_receipted_settled_and_refunded() {
    let world = World::builder().start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", 100_000).unwrap();
    let run = cli::chat(&world, &wallet, "Write one short sentence about the sea.", &["--max-tokens", "24"])
        .unwrap()
        .success()
        .unwrap();
    assert_eq!(run.text("/verdict").unwrap(), "VERIFIED");
    assert_eq!(run.text("/assurance").unwrap(), "simulated");
    assert!(!run.text("/answer").unwrap().is_empty());
    let (reserve, cost, refund) = (
        run.number("/settlement/reserve").unwrap(),
        run.number("/settlement/charge").unwrap(),
        run.number("/settlement/refund").unwrap(),
    );
    assert_eq!(cost + refund, reserve, "cost and refund sum to the reserve");
    assert!(cost > 0);
    let usage = (run.number("/usage/prompt_tokens").unwrap(), run.number("/usage/completion_tokens").unwrap());
    assert_eq!(cost, 10 + usage.0 + 4 * usage.1, "the price sheet's sum");
    assert_eq!(cli::balance(&world, &wallet).unwrap(), (100_000 - cost, 0, 0));
    let receipt = run.text("/receipt/file").unwrap().to_owned();
    let trust = cli::trust(&world);
    let mut args = vec!["receipt", "verify", &receipt];
    args.extend(trust.iter().map(String::as_str));
    cli::json(&world, &args).unwrap().success().unwrap();
    tampered_receipts_are_refused(&world, &receipt);
}

/// Every digit of the signed part matters: change one hex digit or number and the receipt is refused.
fn tampered_receipts_are_refused(world: &World, receipt: &str) {
    let original: serde_json::Value = serde_json::from_slice(&std::fs::read(receipt).unwrap()).unwrap();
    let faults: [(&str, serde_json::Value); 4] = [
        ("/receipt/model", json!("another-model")),
        ("/receipt/served_at", json!(original["receipt"]["served_at"].as_u64().unwrap() + 1)),
        ("/receipt/event_log/0/body_hash", json!(format!("sha256:{}", "0".repeat(64)))),
        ("/receipt/signature", json!("0".repeat(128))),
    ];
    for (pointer, value) in faults {
        let mut tampered = original.clone();
        *tampered.pointer_mut(pointer).unwrap() = value;
        let file = world.dir().join("tampered.json");
        std::fs::write(&file, tampered.to_string()).unwrap();
        let (file, trust) = (file.display().to_string(), cli::trust(world));
        let args: Vec<&str> =
            ["receipt", "verify", &file].into_iter().chain(trust.iter().map(String::as_str)).collect();
        let run = cli::json(world, &args).unwrap();
        assert_eq!((run.code, run.error_code()), (10, "receipt.signature"), "{pointer}");
    }
}

#[test]
fn a_seed_alone_recovers_the_money() {
    let world = World::builder().start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", 50_000).unwrap();
    cli::chat(&world, &wallet, "Hello.", &["--max-tokens", "8"]).unwrap().success().unwrap();
    let before = cli::balance(&world, &wallet).unwrap();
    let seed = std::fs::read_to_string(world.wallet_dir("w").join("seed.txt")).unwrap();
    let restored = world.wallet_dir("restored").display().to_string();
    let words = world.dir().join("words.txt");
    std::fs::write(&words, seed).unwrap();
    let url = world.ledger_url();
    let words = words.display().to_string();
    let args = ["wallet", "restore", "--no-passphrase", "--wallet", &restored, "--ledger", &url, "--words", &words];
    cli::json(&world, &args).unwrap().success().unwrap();
    assert_eq!(cli::balance(&world, &restored).unwrap(), before);
}

/// A wallet under a passphrase, as a person or a service uses it: every command takes the passphrase from a file, none works
/// without it, and the words restore it when it is forgotten.
#[test]
fn a_sealed_wallet_pays_and_stays_sealed() {
    let world = World::builder().start().unwrap();
    let file = |name: &str, text: &str| {
        let path = world.dir().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (secret, other) = (file("secret", "a long passphrase\n"), file("other", "another passphrase"));
    let (wallet, url) = (world.wallet_dir("sealed").display().to_string(), world.ledger_url());
    // Nothing is made in the open because a passphrase was forgotten on the command line.
    let made = ["wallet", "new", "--wallet", &wallet, "--ledger", &url];
    let refused = cli::json(&world, &made).unwrap();
    assert_eq!((refused.code, refused.text("/error/code").unwrap()), (2, "wallet.passphrase_needed"));
    assert!(!world.wallet_dir("sealed").join("seed.txt").exists());
    let short = file("short", "1234567");
    let refused = cli::json(&world, &[&made[..], &["--passphrase-file", &short]].concat()).unwrap();
    assert_eq!((refused.code, refused.text("/error/code").unwrap()), (2, "vault.passphrase_length"));

    let new = cli::json(&world, &[&made[..], &["--passphrase-file", &secret]].concat()).unwrap().success().unwrap();
    let words = new.text("/words").unwrap().to_owned();
    let with = |args: &[&str], passphrase: Option<&str>| {
        let mut all = [args, &["--wallet", &wallet]].concat();
        all.extend(passphrase.iter().flat_map(|file| ["--passphrase-file", file]));
        cli::json(&world, &all).unwrap()
    };
    let voucher = world.voucher(50_000).unwrap();
    with(&["wallet", "deposit", &voucher], Some(&secret)).success().unwrap();
    let (node, trust) = (world.guardian_url(), cli::trust(&world));
    let mut chat = vec!["chat", &node, "Hello.", "--max-tokens", "4"];
    chat.extend(trust.iter().map(String::as_str));
    let charge = with(&chat, Some(&secret)).success().unwrap().number("/settlement/charge").unwrap();
    for (passphrase, code) in [(None, "wallet.passphrase_needed"), (Some(&*other), "vault.passphrase_wrong")] {
        for args in [&chat[..], &["wallet", "balance"], &["wallet", "words"], &["wallet", "history", "--offline"]] {
            let refused = with(args, passphrase);
            assert_eq!((refused.code, refused.text("/error/code").unwrap()), (2, code), "{args:?}");
        }
    }
    assert_eq!(with(&["wallet", "words"], Some(&secret)).text("/words").unwrap(), words);
    with(&["wallet", "passphrase", "--new-passphrase-file", &other], Some(&secret)).success().unwrap();
    assert_eq!(with(&["wallet", "balance"], Some(&secret)).code, 2);
    let balance = with(&["wallet", "balance"], Some(&other)).success().unwrap();
    assert_eq!(balance.number("/spendable").unwrap(), 50_000 - charge);

    let (restored, words) = (world.wallet_dir("restored").display().to_string(), file("words", &words));
    let args = ["wallet", "restore", "--wallet", &restored, "--ledger", &url, "--words", &words];
    let again = cli::json(&world, &[&args[..], &["--passphrase-file", &secret]].concat()).unwrap().success().unwrap();
    assert_eq!(again.number("/spendable").unwrap(), 50_000 - charge);
    assert!(!world.wallet_dir("restored").join("seed.txt").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_get_their_own_code() {
    let world = tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap();
    let port = world.guardian_port();
    let chat = "/v1/chat/completions";
    let body = json!({"model": "smollm2-135m", "messages": [{"role": "user", "content": "hi"}]}).to_string();
    let answer = raw::post(port, chat, &[], body.clone()).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (402, "payment.required"));
    assert_eq!(answer.json()["accepts"][0]["scheme"], "cloister-tab");
    assert!(
        answer.json()["accepts"][0]["maxAmountRequired"].as_str().unwrap().parse::<u64>().unwrap() > 0,
        "the price of this request"
    );
    assert_eq!(answer.headers["x-should-retry"], "false");
    let unknown_tab = "00".repeat(32);
    let answer = raw::post(port, chat, &[("cloister-tab", &unknown_tab)], body.clone()).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (402, "tab.unknown"));
    let answer = raw::post(port, chat, &[("cloister-tab", "zz")], body).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "tab.malformed"));
    let answer = raw::post(port, chat, &[], vec![b' '; (1 << 20) + 1]).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (413, "request.too_large"));
    let answer = raw::post(port, "/v1/tabs", &[], "{\"version\":\"cloister/tab/v1\",\"surprise\":1}").await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (400, "tab.malformed"),
        "unknown members of our schema"
    );
    let answer = raw::get(port, "/v1/attestation?nonce=abc").await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "attestation.nonce"));
    for path in ["/metrics", "/tokenize", "/invocations", "/docs", "/v1/models/other"] {
        assert_eq!(raw::get(port, path).await.unwrap().status.as_u16(), 404, "{path}");
    }
    assert!(!world.guardian_log().contains("surprise"), "nothing of a request is logged");
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

#[test]
fn an_engine_that_is_down_costs_nothing() {
    let mut world = World::builder().start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", 100_000).unwrap();
    world.kill_engine().unwrap();
    let run = cli::chat(&world, &wallet, "hello", &[]).unwrap();
    assert_eq!((run.code, run.error_code()), (50, "engine.unavailable"), "{}", run.json);
    std::thread::sleep(Duration::from_millis(200));
    let (spendable, reserved, pending) = cli::balance(&world, &wallet).unwrap();
    assert_eq!((spendable, reserved, pending), (100_000, 0, 0), "the tab was closed with nothing charged");
}

/// C11. Whoever is refused has the node's signature on it, and anybody can verify that later.
#[test]
fn a_refusal_is_receipted_and_its_receipt_is_kept_and_verified_later() {
    let mut world = World::builder().start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", 100_000).unwrap();
    let proxy = Proxy::start(&world, &wallet).unwrap();
    let verify = |world: &World, file: &str| {
        let trust = cli::trust(world);
        let args = [vec!["receipt", "verify", file], trust.iter().map(String::as_str).collect()].concat();
        cli::json(world, &args).unwrap()
    };
    // What a program asked through the proxy.
    let answer = proxy.post(r#"{"model":"smollm2-135m","messages":[{"role":"user","content":"x"}],"surprise":1}"#);
    assert!(answer.unwrap().starts_with("HTTP/1.1 400"), "{}", proxy.log());
    assert!(
        processes::soon(|| proxy.log().contains("refused: request.unknown_parameter, receipt ")),
        "{}",
        proxy.log()
    );
    let receipts = world.wallet_dir("w").join("receipts");
    let kept: Vec<_> = std::fs::read_dir(&receipts).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let run = verify(&world, kept[0].to_str().unwrap()).success().unwrap();
    assert_eq!((run.text("/verdict").unwrap(), &run.json["refused"]), ("REFUSAL", &true.into()), "{}", run.json);
    assert!(run.json["usage"].is_null(), "nothing was metered: {}", run.json);
    assert!(proxy.stop().unwrap());

    // What was asked on the command line, of a node that cannot answer.
    world.kill_engine().unwrap();
    let run = cli::chat(&world, &wallet, "hello", &[]).unwrap();
    assert_eq!((run.code, run.error_code(), &run.json["refused"]), (50, "engine.unavailable", &true.into()));
    let file = run.text("/receipt/file").unwrap();
    assert_eq!(verify(&world, file).success().unwrap().json["refused"], true);
    // Told of another answer, it shows nothing.
    let mut bundle: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    bundle["exchange"]["response_digest"] = bundle["exchange"]["request_digest"].clone();
    let changed = world.dir().join("changed.json");
    std::fs::write(&changed, bundle.to_string()).unwrap();
    let refused = verify(&world, changed.to_str().unwrap());
    assert_eq!((refused.code, refused.error_code()), (10, "receipt.response_mismatch"), "{}", refused.json);
}

#[test]
fn a_node_that_stops_settles_its_open_tabs() {
    let mut world = World::builder().start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", 100_000).unwrap();
    let proxy = Proxy::start(&world, &wallet).unwrap();
    assert_eq!(proxy.chat("hello", 4).unwrap(), 200);
    assert!(world.stop_guardian().unwrap(), "SIGTERM ends it with success");
    proxy.stop().unwrap();
    let (spendable, reserved, pending) = cli::balance(&world, &wallet).unwrap();
    assert_eq!((reserved, pending), (0, 0));
    assert!(spendable < 100_000 && spendable > 99_000, "charged for the answer, refunded the rest: {spendable}");
}

/// With one note there is nothing to fall back on: what a killed payment had begun is taken up again, or closed.
#[test]
fn a_payment_that_is_killed_is_taken_up_again() {
    const STEPS: u32 = 12;
    let world = World::builder().start().unwrap();
    let wallet = cli::empty_wallet(&world, "w").unwrap();
    let voucher = world.voucher(1_000_000).unwrap();
    cli::json(&world, &["wallet", "deposit", "--notes", "1", "--wallet", &wallet, &voucher])
        .unwrap()
        .success()
        .unwrap();
    let ask = || cli::chat(&world, &wallet, "Hello.", &["--max-tokens", "2"]).unwrap().success().unwrap();
    ask();
    let began = Instant::now();
    ask();
    let whole = began.elapsed();
    let mut pending_only = 0;
    for step in 1..STEPS {
        let trust = cli::trust(&world);
        let url = world.guardian_url();
        let mut args = vec!["chat", &url, "Hello.", "--max-tokens", "2", "--wallet", &wallet];
        args.extend(trust.iter().map(String::as_str));
        let mut child = world.cloister(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * step / STEPS);
        child.kill().unwrap();
        child.wait().unwrap();
        let offline = cli::json(&world, &["wallet", "balance", "--offline", "--wallet", &wallet]).unwrap();
        let reserved = offline.number("/reserved").unwrap();
        pending_only += u32::from(reserved == 0 && offline.number("/pending").unwrap() > 0);
        ask();
    }
    assert!(pending_only > 0, "no payment was cut off between being stored and being seen reserved");
    let audit = cli::json(&world, &["ledger", "audit", &world.ledger_url()]).unwrap().success().unwrap();
    let (spendable, reserved, pending) = cli::balance(&world, &wallet).unwrap();
    assert_eq!((spendable + audit.number("/totals/charged").unwrap(), reserved, pending), (1_000_000, 0, 0));
}

/// An auditor without a wallet: what nodes charged and wallets hold is in the log, all of it proved; an older ledger than he saw
/// is refused.
#[test]
fn a_ledgers_log_is_audited_by_somebody_who_owns_nothing() {
    let mut world = World::builder().start().unwrap();
    let wallet = cli::funded_wallet(&world, "w", 50_000).unwrap();
    let charge = |world: &World| {
        let run = cli::chat(world, &wallet, "Hello.", &["--max-tokens", "4"]).unwrap().success().unwrap();
        run.number("/settlement/charge").unwrap()
    };
    let charged = charge(&world) + charge(&world);
    let seen = world.dir().join("seen.json").display().to_string();
    let (url, id) = (world.ledger_url(), world.ledger_info().unwrap()["ledger_id"].as_str().unwrap().to_owned());
    let audit = |world: &World, id: &str| {
        cli::json(world, &["ledger", "audit", &url, "--ledger-id", id, "--seen", &seen]).unwrap()
    };
    let passed = audit(&world, &id).success().unwrap();
    assert_eq!(passed.text("/verdict").unwrap(), "PASSED");
    assert_eq!(passed.number("/totals/minted").unwrap(), 50_000);
    assert_eq!(passed.number("/totals/charged").unwrap(), charged);
    let payee = world.payee().unwrap();
    assert_eq!(passed.number(&format!("/totals/payees/{payee}/charged")).unwrap(), charged);
    assert_eq!((passed.number("/totals/spends").unwrap(), passed.number("/totals/open").unwrap()), (2, 0));
    let other = audit(&world, &"22".repeat(32));
    assert_eq!(other.text("/error/code").unwrap(), "ledger.identity_mismatch");

    // Put back to where it was before the last audit.
    let old = world.dir().join("old.redb");
    world.kill_ledger().unwrap();
    std::fs::copy(world.dir().join("ledger/ledger.redb"), &old).unwrap();
    world.start_ledger().unwrap();
    charge(&world);
    audit(&world, &id).success().unwrap();
    world.kill_ledger().unwrap();
    std::fs::copy(&old, world.dir().join("ledger/ledger.redb")).unwrap();
    world.start_ledger().unwrap();
    let refused = audit(&world, &id);
    assert_eq!(refused.text("/error/code").unwrap(), "ledger.rollback", "{}", refused.json);
    // Both states that it signed are kept, for anybody who knows its key.
    let kept = std::fs::read_dir(format!("{seen}.evidence")).unwrap().next().unwrap().unwrap().path();
    let evidence = |key: &str| cli::json(&world, &["ledger", "evidence", kept.to_str().unwrap(), "--ledger-key", key]);
    let judged = evidence(passed.text("/ledger/ledger_key").unwrap()).unwrap();
    // Put back within a moment: the ledger would have to prove what it cannot.
    let found = (judged.code, judged.text("/verdict").unwrap(), judged.text("/contradiction").unwrap());
    assert_eq!(found, (20, "UNDECIDED", "proof_owed"), "{}", judged.json);
    assert!(judged.number("/shown/log_size").unwrap() < judged.number("/seen/log_size").unwrap(), "{}", judged.json);
    let other = evidence(&"22".repeat(32)).unwrap();
    assert_eq!(other.text("/error/code").unwrap(), "evidence.other_ledger");
    std::fs::write(&kept, std::fs::read_to_string(&kept).unwrap().replacen("\"note_count\": ", "\"note_count\": 1", 1))
        .unwrap();
    let forged = evidence(passed.text("/ledger/ledger_key").unwrap()).unwrap();
    assert_eq!((forged.code, forged.text("/error/code").unwrap()), (10, "evidence.signature"), "{}", forged.json);
}
