//! Notes become fewer and larger, by the command that people use.

use std::process::Stdio;
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
    assert!(refused.json.to_string().contains("cloister wallet merge --at-least 1024"), "{}", refused.json);
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

#[test]
fn a_ledger_without_parameters_for_them_makes_no_merges() {
    let world = World::builder().start().unwrap();
    let dir = funded_wallet(&world, "w", 2_000).unwrap();
    let refused = wallet(&world, &dir, &["merge"]);
    assert_eq!((refused.code, refused.error_code()), (40, "wallet.merge_not_offered"), "{}", refused.json);
    assert_eq!(balance(&world, &dir).unwrap(), (2_000, 0, 0));
}
