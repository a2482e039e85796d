//! What stands behind a node, by the commands that people use: stakes, faults that lose them, ratings.

use std::path::{Path, PathBuf};

use acceptance::World;
use acceptance::cli::{Run, chat, empty_wallet, funded_wallet, json, trust};
use attestation::{ReceiptKey, Signed};
use credits::claim::PayeeKey;
use credits::fault::Fault;
use credits::params::ProvingParams;
use credits::settlement::SETTLEMENT_VERSION;
use credits::spend::prove;
use credits::{
    Bytes32, Credits, Evidence, Fe, Leaf, Ledger, Nullifier, ReserveRequest, Said, SettleRequest, Settlement,
    SigningKey, SpendContextInputs, StakeAct, StakeRequest, settle_message, verify_ed25519,
};
use ledger_client::{LedgerClient, Pins};
use rand_core::OsRng;
use verifier::WalletStore;
use verifier::standing::KeptEvidence;

fn credits(value: u64) -> Credits {
    Credits::new(value).unwrap()
}

/// `cloister stake …` with a key and a wallet.
fn stake(world: &World, wallet: &str, key: &Path, args: &[&str]) -> Run {
    let key = key.to_str().unwrap();
    json(world, &[&["stake"], args, &["--payee-key", key, "--wallet", wallet]].concat()).unwrap()
}

fn back(world: &World, wallet: &str, key: &Path, days: &str) -> Run {
    let (url, trust) = (world.guardian_url(), trust(world));
    let mut args = vec!["back", &url, "--days", days];
    args.extend(trust.iter().map(String::as_str));
    stake(world, wallet, key, &args)
}

fn audit(world: &World) -> Run {
    let audit = json(world, &["ledger", "audit", &world.ledger_url()]).unwrap().success().unwrap();
    assert_eq!(audit.text("/verdict").unwrap(), "PASSED");
    audit
}

/// A key in a file, as `cloister-host payee new` makes it.
fn new_key(world: &World, name: &str) -> PathBuf {
    let file = world.dir().join(name);
    let mut command = world.program("cloister-host");
    command.args(["payee", "new", "--json", "--out"]).arg(&file);
    acceptance::cli::collect(command).unwrap().success().unwrap();
    file
}

#[test]
fn clients_pay_only_nodes_that_enough_answers_for() {
    let mut world = World::builder().start().unwrap();
    let user = funded_wallet(&world, "user", 100_000).unwrap();
    let operator = empty_wallet(&world, "operator").unwrap();
    let key = world.payee_key_file();
    let ask = |world: &World, least: &str| chat(world, &user, "Hello.", &["--max-tokens", "4", "--min-stake", least]);
    let earned = ask(&world, "0").unwrap().success().unwrap().number("/settlement/charge").unwrap();
    let refused = ask(&world, "1").unwrap();
    assert_eq!((refused.code, refused.error_code()), (40, "payment.stake"), "{}", refused.json);

    let (least, more) = ((earned - 1).to_string(), earned.to_string());
    let put = stake(&world, &operator, &key, &["put", &least]).success().unwrap();
    assert_eq!(put.number("/staked").unwrap(), earned - 1);
    let above = stake(&world, &operator, &key, &["put", "2"]);
    assert_eq!((above.code, above.error_code()), (40, "stake.above_owed"), "{}", above.json);
    // It answers for nobody yet.
    assert_eq!(ask(&world, &least).unwrap().error_code(), "payment.stake");
    let stranger = new_key(&world, "stranger.key");
    assert_eq!(back(&world, &operator, &stranger, "2").error_code(), "stake.payee");
    let backed = back(&world, &operator, &key, "2").success().unwrap();
    assert_eq!(backed.json["backed"].as_array().unwrap().len(), 1, "{}", backed.json);
    ask(&world, &least).unwrap().success().unwrap();
    assert_eq!(ask(&world, &more).unwrap().error_code(), "payment.stake");
    // What was promised for two days is not promised for one.
    assert_eq!(back(&world, &operator, &key, "1").error_code(), "stake.until");

    let held = stake(&world, &operator, &key, &["take"]);
    assert_eq!((held.code, held.error_code()), (40, "stake.held"), "{}", held.json);
    let payee = world.payee().unwrap();
    let shown = json(&world, &["stake", "show", &payee, "--wallet", &user]).unwrap().success().unwrap();
    assert_eq!((shown.number("/staked").unwrap(), shown.number("/acts").unwrap()), (earned - 1, 2));
    assert_eq!(audit(&world).number("/totals/staked").unwrap(), earned - 1);

    // Another boot of the node has another key, which nothing answers for until it is backed.
    assert!(world.stop_guardian().unwrap());
    world.start_guardian().unwrap();
    assert_eq!(ask(&world, &least).unwrap().error_code(), "payment.stake");
    back(&world, &operator, &key, "2").success().unwrap();
    ask(&world, &least).unwrap().success().unwrap();
}

/// No node of ours signs two things, so the faulty one is played: a key that the payee backs, and what it said of one spend.
#[tokio::test(flavor = "multi_thread")]
async fn who_shows_a_fault_takes_the_stake_and_is_rewarded() {
    let world = World::builder().start().unwrap();
    let user = funded_wallet(&world, "user", 100_000).unwrap();
    chat(&world, &user, "Hello.", &["--max-tokens", "4"]).unwrap().success().unwrap();
    let key = world.payee_key_file();
    stake(&world, &user, &key, &["put", "20"]).success().unwrap();

    let info = LedgerClient::discover(&world.ledger_url()).await.unwrap();
    let ledger = LedgerClient::connect(&world.ledger_url(), Pins::from(&info)).await.unwrap();
    let seed = hex::decode(std::fs::read_to_string(&key).unwrap().trim_end()).unwrap();
    let payee = PayeeKey::from_seed(&seed.try_into().unwrap());
    let guardian = SigningKey::from_seed(&[9; 32]);
    let until = ledger.checkpoint(0).await.unwrap().checkpoint.time + 3600;
    let act = StakeAct::Back { settle_key: guardian.public(), until };
    ledger.stake(StakeRequest::sign(&payee, &info.ledger_id, 1, act)).await.unwrap();

    let nullifier = Nullifier(Fe::from(7));
    let charge = |amount: u64| {
        let signature = guardian.sign(&settle_message(&info.ledger_id, &nullifier, credits(amount)));
        Said::Charge { nullifier, charge: credits(amount), signature }
    };
    let file = world.dir().join("evidence.json");
    let accuse = |evidence: Evidence| {
        let kept = KeptEvidence { payee: payee.public(), settle_key: guardian.public(), evidence };
        std::fs::write(&file, serde_json::to_vec(&kept).unwrap()).unwrap();
        stake(&world, &user, &new_key_or_old(&world), &["accuse", file.to_str().unwrap()])
    };
    let honest = accuse(Evidence { first: charge(3), second: charge(3) });
    assert_eq!((honest.code, honest.error_code()), (40, "slash.no_fault"), "{}", honest.json);
    std::fs::write(&file, "{}").unwrap();
    let none = stake(&world, &user, &new_key_or_old(&world), &["accuse", file.to_str().unwrap()]);
    assert_eq!((none.code, none.error_code()), (2, "stake.evidence"), "{}", none.json);

    let lost = accuse(Evidence { first: charge(3), second: charge(4) }).success().unwrap();
    assert_eq!(lost.text("/fault").unwrap(), "two_charges");
    assert_eq!((lost.number("/lost").unwrap(), lost.number("/reward").unwrap()), (20, 1));
    let again = accuse(Evidence { first: charge(3), second: charge(5) });
    assert_eq!(again.error_code(), "slash.not_backed", "{}", again.json);
    let reward = new_key_or_old(&world);
    let claimed = json(&world, &["wallet", "claim", "--payee-key", reward.to_str().unwrap(), "--wallet", &user]);
    assert_eq!(claimed.unwrap().success().unwrap().number("/claimed").unwrap(), 1);
    let audit = audit(&world);
    let total = |name: &str| audit.number(&format!("/totals/{name}")).unwrap();
    assert_eq!((total("staked"), total("burnt"), total("slashes")), (0, 19, 1));
    let shown = json(&world, &["stake", "show", &payee.public().to_string(), "--wallet", &user]).unwrap();
    assert!(shown.json["slashed_at_entry"].is_number(), "{}", shown.json);
}

/// The key that rewards are claimed with, made once.
fn new_key_or_old(world: &World) -> PathBuf {
    let file = world.dir().join("reward.key");
    if file.exists() { file } else { new_key(world, "reward.key") }
}

/// No node of ours charges more than it bills, so the cheating one is played: a wallet's spend, served by nobody, is settled by a key of this
/// test, and the bill that the wallet was given says less.
#[tokio::test(flavor = "multi_thread")]
async fn a_charge_above_the_bill_becomes_evidence() {
    let world = World::builder().start().unwrap();
    let user = funded_wallet(&world, "user", 100_000).unwrap();
    let paid = chat(&world, &user, "Hello.", &["--max-tokens", "4"]).unwrap().success().unwrap();
    assert_eq!(paid.json["evidence"], serde_json::json!([]), "{}", paid.json);
    let bills = Path::new(&user).join("bills");
    let kept = |dir: &Path| std::fs::read_dir(dir).map_or(0, Iterator::count);
    assert_eq!(kept(&bills), 0, "the log said the same");

    let info = LedgerClient::discover(&world.ledger_url()).await.unwrap();
    let ledger = LedgerClient::connect(&world.ledger_url(), Pins::from(&info)).await.unwrap();
    let key = world.payee_key_file();
    let seed = hex::decode(std::fs::read_to_string(&key).unwrap().trim_end()).unwrap();
    let payee = PayeeKey::from_seed(&seed.try_into().unwrap());
    let guardian = SigningKey::from_seed(&[9; 32]);
    let now = ledger.checkpoint(0).await.unwrap().checkpoint.time;
    stake(&world, &user, &key, &["put", "20"]).success().unwrap();
    let act = StakeAct::Back { settle_key: guardian.public(), until: now + 3600 };
    ledger.stake(StakeRequest::sign(&payee, &info.ledger_id, 1, act)).await.unwrap();

    let spend = {
        let mut store = WalletStore::open(Path::new(&user), None).unwrap();
        let context = SpendContextInputs {
            ledger_id: info.ledger_id,
            vk_digest: info.vk_digest,
            keyset_digest: Bytes32([1; 32]),
            settle_key: guardian.public(),
            payee: payee.public(),
            price_sheet_digest: Bytes32([2; 32]),
            not_after: now + 600,
        };
        store.update(|wallet| wallet.prepare_spend(credits(64), context)).unwrap()
    };
    let params = ProvingParams::from_bytes(&ledger.proving_key().await.unwrap(), info.vk_digest).unwrap();
    let public = spend.public;
    let request = ReserveRequest {
        root: public.root,
        nullifier: public.nullifier,
        inner_next: public.inner_next,
        c_max: public.c_max,
        context: spend.context.clone(),
        proof: prove(&params, &public, &spend.witness, &mut OsRng).unwrap(),
    };
    ledger.reserve(request).await.unwrap();
    let nullifier = public.nullifier;
    let bill = |charge: u64| {
        let settlement = Settlement {
            version: SETTLEMENT_VERSION.to_owned(),
            ledger_id: info.ledger_id,
            nullifier,
            reserve: public.c_max,
            charge: credits(charge),
            refund: credits(64 - charge),
            leaf: Leaf(Fe::from(4)),
            leaf_index: 5,
            entry_index: 6,
            requests: 1,
            keyset_digest: Bytes32([1; 32]),
        };
        let signature = guardian.sign(&settlement.signed_bytes());
        Said::Bill { settlement: Box::new(settlement), signature }
    };
    let file = bills.join(format!("{nullifier}.json"));
    let give = |bill: &Said| {
        std::fs::create_dir_all(&bills).unwrap();
        std::fs::write(&file, serde_json::to_vec(bill).unwrap()).unwrap();
    };
    let sync = || json(&world, &["wallet", "sync", "--wallet", &user]).unwrap().success().unwrap();
    let none = serde_json::json!([]);
    // While the tab is open a bill waits; what is no bill is let be.
    give(&bill(3));
    std::fs::write(bills.join("other"), "{}").unwrap();
    assert_eq!((&sync().json["evidence"], kept(&bills)), (&none, 2));
    let charge = credits(5);
    let signature = guardian.sign(&settle_message(&info.ledger_id, &nullifier, charge));
    ledger.settle(SettleRequest { nullifier, charge, signature }).await.unwrap();
    // A bill that nobody signed is no evidence: it waits.
    let mut forged = bill(3);
    if let Said::Bill { signature, .. } = &mut forged {
        signature.0[0] ^= 1;
    }
    give(&forged);
    assert_eq!((&sync().json["evidence"], kept(&bills)), (&none, 2));
    give(&bill(3));
    let evidence = Path::new(&user).join("evidence").join(format!("{nullifier}.json"));
    assert_eq!(sync().json["evidence"], serde_json::json!([evidence]));
    assert_eq!(kept(&bills), 1);
    // One that is as high as the charge is done with.
    give(&bill(5));
    let found = serde_json::json!([evidence]);
    assert_eq!((&sync().json["evidence"], kept(&bills)), (&found, 1), "it is told of as long as it is there");

    let mut found: KeptEvidence = serde_json::from_slice(&std::fs::read(&evidence).unwrap()).unwrap();
    assert_eq!((found.payee, found.settle_key), (payee.public(), guardian.public()));
    assert_eq!((found.evidence.fault(), &found.evidence.first), (Some(Fault::Overcharge), &bill(3)));
    let accused = stake(&world, &user, &new_key_or_old(&world), &["accuse", evidence.to_str().unwrap()]);
    assert_eq!(accused.success().unwrap().number("/lost").unwrap(), 20);

    // It is against another than the node, which is paid until there is some against it.
    let ask = || chat(&world, &user, "Hello.", &["--max-tokens", "4"]).unwrap();
    let paid = ask().success().unwrap();
    let history = json(&world, &["wallet", "history", "--wallet", &user]).unwrap().success().unwrap();
    let settled = paid.text("/settlement/nullifier").unwrap();
    let of_node = |item: &&serde_json::Value| item["nullifier"] == settled;
    let item = history.json["history"].as_array().unwrap().iter().find(of_node).unwrap();
    found.settle_key = item["context"]["settle_key"].as_str().unwrap().parse().unwrap();
    let against = evidence.with_file_name("against.json");
    std::fs::write(&against, serde_json::to_vec(&found).unwrap()).unwrap();
    let refused = ask();
    assert_eq!((refused.code, refused.error_code()), (40, "payment.blamed"), "{}", refused.json);
    assert!(refused.json.to_string().contains("against.json"), "{}", refused.json);
    std::fs::remove_file(against).unwrap();
    ask().success().unwrap();
}

#[test]
fn a_tab_is_rated_by_who_paid_for_it() {
    let world = World::builder().start().unwrap();
    let user = funded_wallet(&world, "user", 100_000).unwrap();
    let paid = chat(&world, &user, "Hello.", &["--max-tokens", "4"]).unwrap().success().unwrap();
    let (tab, charge) = (paid.text("/settlement/nullifier").unwrap(), paid.number("/settlement/charge").unwrap());
    let rate = |wallet: &str, tab: &str, score: &str| {
        json(&world, &["wallet", "rate", tab, score, "--wallet", wallet]).unwrap()
    };
    let other = empty_wallet(&world, "other").unwrap();
    let not_mine = rate(&other, tab, "1");
    assert_eq!((not_mine.code, not_mine.error_code()), (2, "wallet.not_rateable"), "{}", not_mine.json);
    assert_eq!(rate(&user, &"0".repeat(64), "4").error_code(), "wallet.not_rateable");
    assert_eq!(rate(&user, "none", "4").error_code(), "choice.tab");
    rate(&user, tab, "4").success().unwrap();
    rate(&user, tab, "4").success().unwrap();
    let twice = rate(&user, tab, "5");
    assert_eq!((twice.code, twice.error_code()), (40, "rating.conflict"), "{}", twice.json);
    let history = json(&world, &["wallet", "history", "--wallet", &user]).unwrap().success().unwrap();
    assert_eq!(history.json["history"].as_array().unwrap().last().unwrap()["rating"], 4, "{}", history.json);

    let audit = audit(&world);
    assert_eq!(audit.number("/totals/ratings").unwrap(), 1);
    let payee = &audit.json["totals"]["payees"][world.payee().unwrap()];
    assert_eq!(payee["rated_charges"].as_u64(), Some(charge), "{payee}");
    assert_eq!(payee["weighted_scores"].as_u64(), Some(4 * charge), "{payee}");
    let told = world.program("cloister").args(["ledger", "audit", &world.ledger_url()]).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("rated 4.00 of 5 by 1 tabs"), "{told}");
}

/// What guardians sign through their canonicaliser is what ledgers take as a bill.
#[test]
fn bills_are_the_statements_that_guardians_sign() {
    let settlement = Settlement {
        version: SETTLEMENT_VERSION.to_owned(),
        ledger_id: Bytes32([1; 32]),
        nullifier: Nullifier(Fe::from(2)),
        reserve: Credits::MAX,
        charge: credits(3),
        refund: credits(7),
        leaf: Leaf(Fe::from(4)),
        leaf_index: 5,
        entry_index: 1 << 40,
        requests: 0,
        keyset_digest: Bytes32([8; 32]),
    };
    let key = ReceiptKey::from_seed(&[7; 32]).unwrap();
    let signed = Signed::sign(SETTLEMENT_VERSION, settlement, &key).unwrap();
    let (public, signature) = (Bytes32(key.public().0), signed.signature.parse().unwrap());
    assert_eq!(verify_ed25519(&public, &signed.statement.signed_bytes(), &signature), Ok(()));
}
