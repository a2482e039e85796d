//! `cloister wallet`.

use credits::Credits;
use credits::ledger::{Ledger, LedgerError, LedgerInfo, RedeemRequest};
use credits::voucher::Voucher;
use credits::wallet::{Balance, HistoryItem, Wallet};
use credits::withdrawal::WITHDRAWAL_PREFIX;
use ledger_client::{LedgerClient, Pins};
use serde_json::json;
use verifier::clock::format_time;
use verifier::payment::PaymentError;
use verifier::{Error, Exit, LedgerRecord, Payer, RecoveryWords, WalletStore};

use super::stake::tell_evidence;
use super::{clock, connect_payer, open_store, passphrase, read_text, wallet_dir, withdraw, witnesses};
use crate::cli::{
    LedgerWitnesses, WalletArgs, WalletDeposit, WalletNew, WalletPassphrase, WalletRestore, WalletRisks, WalletShow,
    WalletWords,
};
use crate::output::Output;
use crate::report::Report;

pub(crate) async fn new(args: WalletNew, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let words = RecoveryWords::generate()?;
    let store = create(&args.wallet, &args.risks, &args.witnesses, &words, out, report).await?;
    drop(store);
    report.put("words", json!(words.reveal()));
    out.say(
        "write these 24 words down: whoever has them has the credits, and without them a lost disk is lost credits",
    );
    out.line(words.reveal());
    out.say("next: cloister wallet deposit VOUCHER");
    Ok(Exit::Ok)
}

pub(crate) async fn restore(args: WalletRestore, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let text = zeroize::Zeroizing::new(read_text(args.words.as_deref(), "the recovery words")?);
    let words = RecoveryWords::parse(&text)?;
    let store = create(&args.wallet, &args.risks, &args.witnesses, &words, out, report).await?;
    let mut payer = Payer::connect(store, clock()).await?;
    payer.sync().await?;
    show_balance(payer.store().wallet(), out, report);
    Ok(Exit::Ok)
}

/// Prints the words of the wallet.
pub(crate) fn words(args: &WalletWords, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let words = open_store(&args.wallet)?.words()?;
    report.put("words", json!(words.reveal()));
    out.line(words.reveal());
    Ok(Exit::Ok)
}

/// Seals the wallet under another passphrase, or no longer.
pub(crate) fn set_passphrase(args: &WalletPassphrase, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let mut store = open_store(&args.wallet)?;
    let passphrase = passphrase::new(args.new_passphrase_file.as_deref(), args.no_passphrase)?;
    store.set_passphrase(passphrase.as_ref())?;
    report.put("sealed", json!(passphrase.is_some()));
    out.say(match passphrase {
        Some(_) => "the wallet is sealed under its new passphrase",
        None => "the wallet is no longer sealed: whoever can read its directory has the credits",
    });
    Ok(Exit::Ok)
}

/// Parameters that one party made are refused for credits that are worth money: that party can forge spends, and what is
/// withdrawn by them is missing from everybody's (docs/decisions/0030).
fn require_ceremony(info: &LedgerInfo, accepted: bool) -> Result<(), Error> {
    let merges = info.merge.as_ref().map(|merge| &merge.setup);
    let alone = [Some(&info.setup), merges].into_iter().flatten().find(|setup| !setup.starts_with("ceremony:"));
    if let Some(setup) = alone.filter(|_| info.holds_value && !accepted) {
        return Err(Error::Choice {
            code: "wallet.single_party",
            message: format!(
                "the ledger's credits are worth money, but its parameters were made by: {}; who made them alone can forge credits. \
                Choose another ledger, or give --accept-single-party",
                setup
            ),
        });
    }
    Ok(())
}

async fn create(
    args: &WalletArgs,
    risks: &WalletRisks,
    watched_by: &LedgerWitnesses,
    words: &RecoveryWords,
    out: Output,
    report: &mut Report,
) -> Result<WalletStore, Error> {
    let directory = wallet_dir(args)?;
    let url = args.ledger.clone().ok_or_else(|| Error::Choice {
        code: "wallet.ledger_missing",
        message: "a new wallet must be told its ledger".to_owned(),
    })?;
    let info = LedgerClient::discover(&url).await.map_err(PaymentError::Connect)?;
    let value = if info.holds_value { "its credits are worth money" } else { "its credits are play money" };
    require_ceremony(&info, risks.accept_single_party)?;
    let witnesses = witnesses::named(watched_by)?;
    witnesses::connect(&url, Pins::from(&info), None, witnesses.as_ref(), None).await?;
    out.say(&format!("ledger {} at {url}; {value}; proving key made by: {}", info.ledger_id, info.setup));
    if let Some(merge) = &info.merge {
        out.say(&format!("it makes merges; their proving key made by: {}", merge.setup));
    }
    report.put("ledger_id", json!(info.ledger_id));
    report.put("wallet", json!(directory.display().to_string()));
    let passphrase = passphrase::new(args.passphrase_file.as_deref(), risks.no_passphrase)?;
    report.put("sealed", json!(passphrase.is_some()));
    Ok(WalletStore::create(&directory, words, LedgerRecord { url, info, witnesses }, passphrase.as_ref())?)
}

pub(crate) async fn deposit(args: WalletDeposit, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let text = match &args.voucher {
        Some(text) => text.clone(),
        None => read_text(None, "the voucher or withdrawal from stdin")?,
    };
    let text = zeroize::Zeroizing::new(text.trim().to_owned());
    let mut payer = connect_payer(&args.wallet).await?;
    if text.starts_with(WITHDRAWAL_PREFIX) {
        return withdraw::deposit(&text, args.notes, &mut payer, out, report).await;
    }
    let voucher = read_voucher(&text, &payer)?;
    // Fewer notes than asked for when there are fewer credits.
    let notes = u32::try_from(voucher.value.get()).map_or(args.notes, |value| args.notes.min(value));
    payer.sync().await?;
    // The notes are on disk before the voucher is spent on them.
    let outputs = payer.store_mut().update(|wallet| wallet.deposit_outputs(voucher.value, notes))?;
    let redeemed = payer.ledger().redeem(RedeemRequest { voucher: text.to_string(), outputs }).await;
    let synced = payer.sync().await;
    redeemed.map_err(PaymentError::Ledger)?;
    // Said first: the voucher is spent, whatever comes of reading the ledger afterwards.
    report.put("deposited", json!(voucher.value));
    out.say(&format!("{} credits deposited as {notes} notes", voucher.value));
    synced?;
    show_balance(payer.store().wallet(), out, report);
    Ok(Exit::Ok)
}

fn read_voucher(text: &str, payer: &Payer) -> Result<Voucher, Error> {
    let refused = |message: String| Error::Choice { code: "wallet.voucher", message };
    let info = &payer.store().ledger().info;
    let voucher = Voucher::from_text(text).map_err(|error| refused(error.to_string()))?;
    voucher.verify(&info.admin_key).map_err(|error| refused(error.to_string()))?;
    if voucher.ledger_id != info.ledger_id {
        return Err(PaymentError::Ledger(LedgerError::VoucherInvalid).into());
    }
    Ok(voucher)
}

pub(crate) async fn balance(args: WalletShow, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let store = current(args, out, report).await?;
    show_balance(store.wallet(), out, report);
    Ok(Exit::Ok)
}

pub(crate) async fn history(args: WalletShow, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let store = current(args, out, report).await?;
    let history = store.wallet().history();
    report.put("history", json!(history));
    for item in history {
        out.line(&history_line(item));
    }
    Ok(Exit::Ok)
}

pub(crate) async fn sync(args: WalletShow, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let store = current(args, out, report).await?;
    report.put("entries", json!(store.wallet().next_entry()));
    out.say(&format!("{} log entries replayed and verified", store.wallet().next_entry()));
    show_balance(store.wallet(), out, report);
    Ok(Exit::Ok)
}

/// The wallet, after reading the ledger unless that is not wanted.
async fn current(args: WalletShow, out: Output, report: &mut Report) -> Result<Loaded, Error> {
    if args.offline {
        let store = open_store(&args.wallet)?;
        tell_evidence(&store, out, report);
        return Ok(Loaded::Offline(Box::new(store)));
    }
    let mut payer = connect_payer(&args.wallet).await?;
    let spinner = out.spinner("reading the ledger");
    let synced = payer.sync().await;
    spinner.finish_and_clear();
    synced?;
    tell_evidence(payer.store(), out, report);
    Ok(Loaded::Online(Box::new(payer)))
}

enum Loaded {
    Offline(Box<WalletStore>),
    Online(Box<Payer>),
}

impl Loaded {
    fn wallet(&self) -> &Wallet {
        match self {
            Self::Offline(store) => store.wallet(),
            Self::Online(payer) => payer.store().wallet(),
        }
    }
}

pub(super) fn show_balance(wallet: &Wallet, out: Output, report: &mut Report) {
    let Balance { spendable, reserved, pending } = wallet.balance();
    report.put("spendable", json!(spendable));
    report.put("reserved", json!(reserved));
    report.put("pending", json!(pending));
    out.line(&format!("spendable {spendable}"));
    out.line(&format!("reserved  {reserved}"));
    out.line(&format!("pending   {pending}"));
    let cut_off = wallet.merging().count();
    if cut_off > 0 {
        out.say("a merge is not finished: cloister wallet merge sends it again");
    }
}

fn history_line(item: &HistoryItem) -> String {
    let time = |seen: u64| format_time(attestation::UnixTime(seen));
    match item {
        HistoryItem::Deposit(deposit) => format!("{}  deposit  {}", time(deposit.seen), deposit.value),
        HistoryItem::Claim(claim) => {
            format!("{}  claim  {}  payee {}", time(claim.seen), claim.value, claim.payee)
        }
        HistoryItem::Merge(merge) => format!("{}  merge  {}", time(merge.seen), merge.value),
        HistoryItem::Spend(spend) => {
            let when = spend.seen.map_or_else(|| "-".to_owned(), time);
            let amount = |amount: Option<Credits>| amount.map_or_else(|| "-".to_owned(), |amount| amount.to_string());
            let progress = json!(spend.progress);
            format!(
                "{when}  {}  reserved {}  charged {}  refunded {}  tab {}",
                progress.as_str().unwrap_or("spend"),
                spend.c_max,
                amount(spend.charge),
                amount(spend.refund),
                spend.nullifier
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use credits::Bytes32;
    use credits::ledger::{LEDGER_VERSION, MergeInfo};

    use super::*;

    fn info(holds_value: bool, setup: &str) -> LedgerInfo {
        LedgerInfo {
            version: LEDGER_VERSION.to_owned(),
            ledger_id: Bytes32([1; 32]),
            ledger_key: Bytes32([2; 32]),
            admin_key: Bytes32([3; 32]),
            vk_digest: Bytes32([4; 32]),
            holds_value,
            setup: setup.to_owned(),
            grace_secs: 1,
            root_window: 1,
            tab_secs_max: 1,
            merge: None,
        }
    }

    #[test]
    fn money_wants_parameters_of_a_ceremony() {
        let ceremony = format!("ceremony:{}", Bytes32([5; 32]));
        for (holds_value, setup, accepted, code) in [
            (false, "single-party", false, ""),
            (true, "single-party", false, "wallet.single_party"),
            (true, "", false, "wallet.single_party"),
            (true, "single-party", true, ""),
            (true, ceremony.as_str(), false, ""),
        ] {
            let verdict = require_ceremony(&info(holds_value, setup), accepted);
            let got = verdict.as_ref().map_or_else(Error::code, |()| "");
            assert_eq!(got, code, "{holds_value} {setup} {accepted}");
        }
        // Those of its merges as well: who made them alone can forge notes as well.
        let mut merging = info(true, &ceremony);
        for (setup, code) in [(ceremony.as_str(), ""), ("single-party", "wallet.single_party")] {
            merging.merge = Some(MergeInfo { vk_digest: Bytes32([6; 32]), setup: setup.to_owned() });
            assert_eq!(require_ceremony(&merging, false).as_ref().map_or_else(Error::code, |()| ""), code, "{setup}");
        }
    }
}
