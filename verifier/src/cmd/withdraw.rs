//! `cloister wallet withdraw`, `withdrawals` and `claim`, and deposits of withdrawals.

use std::path::Path;

use credits::bytes::decode_hex;
use credits::claim::PayeeKey;
use credits::keys::SEED_LEN;
use credits::ledger::LedgerError;
use credits::wallet::HistoryItem;
use credits::{Credits, Withdrawal};
use serde_json::json;
use verifier::files::{is_open_to_others, read_capped, write_private};
use verifier::payment::PaymentError;
use verifier::{Error, Exit, Payer, Stage};
use zeroize::Zeroizing;

use super::connect_payer;
use super::wallet::show_balance;
use crate::cli::{WalletClaim, WalletWithdraw, WalletWithdrawals};
use crate::output::Output;
use crate::report::Report;

/// Longest key file: 64 characters and a line end.
const KEY_BYTES_MAX: u64 = 65;

pub(crate) async fn withdraw(args: WalletWithdraw, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let amount = credits(args.amount)?;
    if let Some(file) = args.out.as_deref().filter(|file| file.exists()) {
        let message = format!("{} is there already; name another file", file.display());
        return Err(Error::Choice { code: "wallet.out_exists", message });
    }
    let mut payer = connect_payer(&args.wallet).await?;
    let spinner = out.spinner("withdrawing: reading the ledger");
    let on_stage = |stage| {
        spinner.set_message(match stage {
            Stage::Sync => "reading the ledger",
            Stage::ProvingKey => "loading the proving key",
            Stage::Prove => "proving a spend",
            Stage::Open => "charging it",
        });
    };
    let withdrawal = payer.withdraw(amount, &on_stage).await;
    spinner.finish_and_clear();
    let text = withdrawal?.to_text();
    report.put("withdrawn", json!(amount));
    out.say(&format!("{amount} credits withdrawn: whoever deposits this first has them"));
    match &args.out {
        Some(file) => {
            let stored = write_private(file, format!("{}\n", &*text).as_bytes());
            if stored.is_err() {
                out.say("it was not stored; cloister wallet withdrawals shows it again");
            }
            stored?;
            report.put("file", json!(file.display().to_string()));
        }
        None => {
            report.put("withdrawal", json!(&*text));
            out.line(&text);
        }
    }
    Ok(Exit::Ok)
}

pub(crate) async fn withdrawals(args: WalletWithdrawals, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let mut payer = connect_payer(&args.wallet).await?;
    let spinner = out.spinner("reading the ledger");
    let unclaimed = payer.unclaimed_withdrawals().await;
    spinner.finish_and_clear();
    let unclaimed = unclaimed?;
    if unclaimed.is_empty() {
        out.say("nothing was withdrawn that is still there");
    }
    let mut listed = Vec::new();
    for own in &unclaimed {
        let text = own.withdrawal.to_text();
        out.say(&format!("{} credits", own.claimable));
        out.line(&text);
        listed.push(json!({ "claimable": own.claimable, "withdrawal": &*text }));
    }
    report.put("withdrawals", json!(listed));
    Ok(Exit::Ok)
}

/// Claims what somebody withdrew.
pub(super) async fn deposit(
    text: &str,
    notes: u32,
    payer: &mut Payer,
    out: Output,
    report: &mut Report,
) -> Result<Exit, Error> {
    let withdrawal = Withdrawal::from_text(text)
        .map_err(|error| Error::Choice { code: "wallet.voucher", message: error.to_string() })?;
    if withdrawal.ledger_id != payer.store().ledger().info.ledger_id {
        return Err(PaymentError::Ledger(LedgerError::VoucherInvalid).into());
    }
    payer.sync().await?;
    let left = payer.withdrawn(&withdrawal).await?;
    let payee = withdrawal.key.public();
    let is_ours = |item: &HistoryItem| matches!(item, HistoryItem::Claim(claim) if claim.payee == payee);
    if left.is_zero() && payer.store().wallet().history().iter().any(is_ours) {
        out.say("the withdrawal is in this wallet already");
        report.put("deposited", json!(Credits::ZERO));
        show_balance(payer.store().wallet(), out, report);
        return Ok(Exit::Ok);
    }
    let claimed = payer.claim(&withdrawal.key, None, notes).await?;
    if claimed.is_zero() {
        let message = "nothing of the withdrawal is left".to_owned();
        return Err(Error::Choice { code: "wallet.withdrawal_spent", message });
    }
    if claimed < withdrawal.value {
        out.say(&format!("the withdrawal says {}, only {claimed} of it were left", withdrawal.value));
    }
    report.put("deposited", json!(claimed));
    out.say(&format!("{claimed} credits deposited"));
    show_balance(payer.store().wallet(), out, report);
    Ok(Exit::Ok)
}

pub(crate) async fn claim(args: WalletClaim, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let key = read_payee_key(&args.payee_key)?;
    let amount = args.amount.map(credits).transpose()?;
    let mut payer = connect_payer(&args.wallet).await?;
    let spinner = out.spinner("claiming");
    let claimed = payer.claim(&key, amount, args.notes).await;
    spinner.finish_and_clear();
    let claimed = claimed?;
    report.put("payee", json!(key.public()));
    report.put("claimed", json!(claimed));
    out.say(&if claimed.is_zero() {
        format!("nothing to claim for payee {}", key.public())
    } else {
        format!("{claimed} credits claimed for payee {}", key.public())
    });
    show_balance(payer.store().wallet(), out, report);
    Ok(Exit::Ok)
}

pub(super) fn read_payee_key(path: &Path) -> Result<PayeeKey, Error> {
    let refused = |message: String| Error::Choice { code: "wallet.payee_key", message };
    let bytes = Zeroizing::new(read_capped(path, KEY_BYTES_MAX)?);
    if is_open_to_others(path)? {
        return Err(refused(format!("{} can be read by others (chmod 600)", path.display())));
    }
    let text = std::str::from_utf8(&bytes).ok().map(str::trim_end);
    let seed = text.and_then(|text| decode_hex::<SEED_LEN>(text).ok()).map(Zeroizing::new);
    let seed = seed.ok_or_else(|| refused(format!("{} holds no payee's key", path.display())))?;
    Ok(PayeeKey::from_seed(&seed))
}

pub(super) fn credits(amount: u64) -> Result<Credits, Error> {
    Credits::new(amount).map_err(|error| Error::Choice { code: "choice.amount", message: error.to_string() })
}
