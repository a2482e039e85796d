//! Money that leaves: what operators claim, what wallets withdraw.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Instant;

use acceptance::cli::{Run, balance, chat, empty_wallet, funded_wallet, json};
use acceptance::{World, cli};

/// A wallet, driven through the command line.
struct Wallet<'w> {
    world: &'w World,
    dir: String,
}

impl Wallet<'_> {
    fn run(&self, args: &[&str]) -> Run {
        json(self.world, &[&["wallet"], args, &["--wallet", &self.dir]].concat()).unwrap()
    }

    fn spendable(&self) -> u64 {
        balance(self.world, &self.dir).unwrap().0
    }

    /// All of it, wherever it is.
    fn worth(&self) -> u64 {
        let (spendable, reserved, pending) = balance(self.world, &self.dir).unwrap();
        spendable + reserved + pending
    }

    /// What was withdrawn and is still there: amounts and texts.
    fn withdrawals(&self) -> Vec<(u64, String)> {
        let listed = self.run(&["withdrawals"]).success().unwrap();
        let listed = listed.json["withdrawals"].as_array().unwrap().clone();
        let text = |own: &serde_json::Value| own["withdrawal"].as_str().unwrap().to_owned();
        listed.iter().map(|own| (own["claimable"].as_u64().unwrap(), text(own))).collect()
    }
}

fn claimed_in_the_log(world: &World) -> u64 {
    let audit = json(world, &["ledger", "audit", &world.ledger_url()]).unwrap().success().unwrap();
    assert_eq!(audit.text("/verdict").unwrap(), "PASSED");
    audit.number("/totals/claimed").unwrap()
}

#[test]
fn an_operator_claims_what_its_node_earned() {
    let world = World::builder().start().unwrap();
    let user = funded_wallet(&world, "user", 100_000).unwrap();
    let charge = || {
        let run = chat(&world, &user, "Hello.", &["--max-tokens", "4"]).unwrap().success().unwrap();
        run.number("/settlement/charge").unwrap()
    };
    let charged = charge() + charge();
    let operator = Wallet { world: &world, dir: empty_wallet(&world, "operator").unwrap() };
    let key = world.payee_key_file();
    let key = key.to_str().unwrap();

    let too_much = (charged + 1).to_string();
    let refused = operator.run(&["claim", "--payee-key", key, "--amount", &too_much]);
    assert_eq!((refused.code, refused.error_code()), (40, "claim.above_charges"), "{}", refused.json);
    // In two steps, the second into several notes.
    let first = operator.run(&["claim", "--payee-key", key, "--amount", "5"]).success().unwrap();
    assert_eq!((first.number("/claimed").unwrap(), operator.spendable()), (5, 5));
    let rest = operator.run(&["claim", "--payee-key", key, "--notes", "3"]).success().unwrap();
    assert_eq!((rest.number("/claimed").unwrap(), operator.spendable()), (charged - 5, charged));
    let nothing = operator.run(&["claim", "--payee-key", key]).success().unwrap();
    assert_eq!((nothing.number("/claimed").unwrap(), operator.spendable()), (0, charged));
    assert_eq!(claimed_in_the_log(&world), charged);
    let history = operator.run(&["history"]).success().unwrap();
    assert_eq!(history.json["history"].as_array().unwrap().iter().filter(|item| item["kind"] == "claim").count(), 4);

    // Somebody else's key claims nothing, and a key that others can read is not used.
    let other = world.dir().join("other.key");
    let mut command = world.program("cloister-host");
    command.args(["payee", "new", "--json", "--out"]).arg(&other);
    let made = cli::collect(command).unwrap().success().unwrap();
    assert_ne!(made.text("/payee").unwrap(), world.payee().unwrap());
    let other_key = other.to_str().unwrap();
    let none = operator.run(&["claim", "--payee-key", other_key]).success().unwrap();
    assert_eq!(none.number("/claimed").unwrap(), 0);
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = operator.run(&["claim", "--payee-key", other_key]);
    assert_eq!((refused.code, refused.error_code()), (2, "wallet.payee_key"), "{}", refused.json);
}

#[test]
fn what_one_wallet_withdraws_another_deposits_once() {
    let world = World::builder().start().unwrap();
    let giver = Wallet { world: &world, dir: funded_wallet(&world, "giver", 10_000).unwrap() };
    let taker = Wallet { world: &world, dir: empty_wallet(&world, "taker").unwrap() };
    let late = Wallet { world: &world, dir: empty_wallet(&world, "late").unwrap() };

    let refused = giver.run(&["withdraw", "2501"]);
    assert_eq!((refused.code, refused.error_code()), (40, "wallet.fragmented"), "{}", refused.json);
    let withdrawn = giver.run(&["withdraw", "1024"]).success().unwrap();
    let text = withdrawn.text("/withdrawal").unwrap().to_owned();
    assert_eq!(giver.worth(), 10_000 - 1_024);
    assert_eq!(giver.withdrawals(), [(1_024, text.clone())], "shown again until somebody deposits it");

    let deposited = taker.run(&["deposit", &text, "--notes", "2"]).success().unwrap();
    assert_eq!((deposited.number("/deposited").unwrap(), taker.spendable()), (1_024, 1_024));
    assert!(giver.withdrawals().is_empty());
    let again = taker.run(&["deposit", &text]).success().unwrap();
    assert_eq!((again.number("/deposited").unwrap(), taker.spendable()), (0, 1_024), "it is in the wallet already");
    for wallet in [&late, &giver] {
        let refused = wallet.run(&["deposit", &text]);
        assert_eq!((refused.code, refused.error_code()), (2, "wallet.withdrawal_spent"), "{}", refused.json);
    }
    let (head, tail) = text.split_at(text.len() / 2);
    let broken = late.run(&["deposit", &format!("{head}-{tail}")]);
    assert_eq!((broken.code, broken.error_code()), (2, "wallet.voucher"), "{}", broken.json);
    // It pays like what was bought.
    let paid = chat(&world, &taker.dir, "Hello.", &["--max-tokens", "2", "--reserve", "1"]);
    assert_eq!(paid.unwrap().error_code(), "wallet.fragmented", "the notes are of 512, the smallest tier is 1,024");
    // Into a file of one's own, and not into what a script may log.
    let file = world.dir().join("withdrawal.txt");
    let path = file.to_str().unwrap();
    let stored = taker.run(&["withdraw", "512", "--out", path]).success().unwrap();
    assert!(!stored.json.to_string().contains("cloister-withdrawal-v1."), "{}", stored.json);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let refused = taker.run(&["withdraw", "1", "--out", path]);
    assert_eq!((refused.code, refused.error_code()), (2, "wallet.out_exists"), "{}", refused.json);
    let back = taker.withdrawals();
    assert_eq!(back.first().unwrap().1, std::fs::read_to_string(&file).unwrap().trim());
    late.run(&["deposit", &back.first().unwrap().1, "--notes", "1"]).success().unwrap();
    assert_eq!((taker.worth(), late.spendable()), (512, 512));
    assert_eq!(claimed_in_the_log(&world), 1_024 + 512);
}

/// Wherever a withdrawal is cut off, its credits are in the wallet, on their way back, or in a text that the wallet still shows.
#[test]
fn a_withdrawal_that_is_killed_loses_nothing() {
    const STEPS: u32 = 12;
    let world = World::builder().start().unwrap();
    let wallet = Wallet { world: &world, dir: funded_wallet(&world, "w", 10_000).unwrap() };
    // The first fetches the proving key, which would take all the time.
    wallet.run(&["withdraw", "1"]).success().unwrap();
    wallet.run(&["deposit", &wallet.withdrawals().first().unwrap().1]).success().unwrap();
    let began = Instant::now();
    wallet.run(&["withdraw", "1"]).success().unwrap();
    let whole = began.elapsed();
    wallet.run(&["deposit", &wallet.withdrawals().first().unwrap().1]).success().unwrap();
    let mut finished = 0;
    for step in 1..=STEPS {
        // One that was cut off is taken up only by one of the same amount; both may want the same note.
        let amount = if step % 2 == 0 { "100" } else { "60" };
        let mut command = world.cloister(&["--json", "wallet", "withdraw", amount, "--wallet", &wallet.dir]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The last ones come after its end.
        std::thread::sleep(whole * step / (STEPS - 2));
        child.kill().unwrap();
        child.wait().unwrap();
        let left = wallet.withdrawals();
        let worth = wallet.worth();
        assert!(left.len() <= 1, "{left:?}");
        assert_eq!(worth + left.iter().map(|(amount, _)| amount).sum::<u64>(), 10_000, "step {step}");
        for (_, text) in left {
            finished += 1;
            wallet.run(&["deposit", &text, "--notes", "1"]).success().unwrap();
        }
        assert_eq!(wallet.worth(), 10_000, "step {step}");
    }
    assert!((1..STEPS).contains(&finished), "{finished} of {STEPS} were charged before they were cut off");
}
