//! `cloister wallet merge`.

use credits::Credits;
use credits::wallet::{NoteStatus, OwnedNote};
use serde_json::json;
use verifier::{Error, Exit, Stage};

use super::connect_payer;
use super::wallet::show_balance;
use crate::cli::WalletMerge;
use crate::output::Output;
use crate::report::Report;

pub(crate) async fn merge(args: WalletMerge, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let needed = args.at_least.map(Credits::new).transpose();
    let needed = needed.map_err(|error| Error::Choice { code: "choice.amount", message: error.to_string() })?;
    let mut payer = connect_payer(&args.wallet).await?;
    let spinner = out.spinner("merging: reading the ledger");
    let on_stage = |stage, merged: u32| {
        let number = merged.saturating_add(1);
        spinner.set_message(match stage {
            Stage::Sync => "merging: reading the ledger".to_owned(),
            Stage::ProvingKey => "loading the proving key".to_owned(),
            Stage::Prove => format!("proving merge {number}"),
            Stage::Open => format!("recording merge {number}"),
        });
    };
    if args.give_up {
        let given_up = payer.give_up_merges()?;
        spinner.finish_and_clear();
        report.put("given_up", json!(given_up));
        out.say(&format!("merges given up: {given_up}"));
        show_balance(payer.store().wallet(), out, report);
        return Ok(Exit::Ok);
    }
    let merges = payer.merge(needed, &on_stage).await;
    spinner.finish_and_clear();
    let merges = merges?;
    let free = |owned: &&OwnedNote| owned.status == NoteStatus::Free;
    let notes = payer.store().wallet().state().notes().iter().filter(free).count();
    report.put("merges", json!(merges));
    report.put("notes", json!(notes));
    out.say(&match (merges, needed) {
        (0, Some(needed)) => format!("nothing to merge: one note is worth {needed} already"),
        (0, None) => "nothing to merge: there are no two notes that are free".to_owned(),
        (_, _) => format!("merges: {merges}; free notes: {notes}"),
    });
    show_balance(payer.store().wallet(), out, report);
    Ok(Exit::Ok)
}
