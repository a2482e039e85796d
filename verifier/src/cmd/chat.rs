//! `cloister chat`.

use std::path::PathBuf;
use std::sync::Arc;

use attestation::Transcript;
use credits::Credits;
use serde_json::{Map, Value, json};
use verifier::error::chain;
use verifier::estimate::RequestShape;
use verifier::exchange::ExchangeError;
use verifier::exchange::Refusal;
use verifier::logged::LogError;
use verifier::payment::PaymentError;
use verifier::payment::pick_model;
use verifier::session::SessionError;
use verifier::session::{Session, fresh_idempotency_key};
use verifier::sse::EventReader;
use verifier::{
    Amount, Answer, ClosedTab, Error, Exchange, InferenceRequest, NodeUrl, Payer, Reply, Stage, Tab, Trust,
    open_session,
};

use super::stake::tell_evidence;
use super::{assurance_words, clock, connect_payer, read_text, trust};
use crate::cli::Chat;
use crate::output::Output;
use crate::report::Report;
use verifier::Exit;

const PATH: &str = "/v1/chat/completions";

pub(crate) async fn run(args: Chat, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let target: NodeUrl = args.url.parse()?;
    let trust = trust(&args.trust)?;
    let prompt = match &args.prompt {
        Some(prompt) => prompt.clone(),
        None => read_text(None, "the prompt from stdin")?,
    };
    report.put("url", json!(target.to_string()));
    report.file.clone_from(&args.report);
    // 1. The wallet first: without it nothing else is worth doing.
    let mut payer = connect_payer(&args.wallet).await?;
    payer.require_stake(credits(args.min_stake)?);
    // 2. The node, verified on the connection that will carry the prompt.
    let session = open_session(&target, &trust, &clock(), &mut report.transcript).await?;
    report.put_appraisal(session.appraisal());
    report.verified("VERIFIED", Some(session.appraisal().assurance().to_string()));
    out.say(&format!("VERIFIED  {}, {}", assurance_words(session.appraisal(), &args.trust), report.summary()));
    if payer.close_leftovers(&session).await? > 0 {
        out.say("closed a tab that an earlier process left open");
    }
    // 3. A tab that covers the request.
    let body = request_body(&session, &args, &prompt)?;
    let shape = RequestShape::of(PATH, &body)
        .map_err(|error| Error::Choice { code: "choice.request", message: error.to_string() })?;
    let tab = open_tab(&mut payer, &session, &shape, args.reserve, out).await?;
    out.say(&format!("tab open, {} credits reserved", tab.reserve()));
    // 4. The request. Whatever happens, the tab is closed.
    let request = InferenceRequest {
        path: PATH,
        body: body.into(),
        idempotency_key: fresh_idempotency_key()?,
        request_id: None,
        completion_tokens_max: shape.completion_tokens_max,
    };
    let directories: Vec<PathBuf> = args.keep_receipt.into_iter().chain([payer.store().receipts_dir()]).collect();
    let answered = converse(&session, &tab, request, &directories, out, report).await;
    let kept = match answered {
        Ok(answer) => keep(answer, &directories, out, report).await,
        Err(error) => Err(error),
    };
    let closed = match payer.close_tab(&session, &tab).await {
        Err(PaymentError::Close(SessionError::Node(error))) if error.is_connection_lost() => {
            close_again(&mut payer, &target, &trust, &tab).await
        }
        other => other.map_err(Error::from),
    };
    let settled = closed.map(|closed| tell_settlement(&closed, out, report));
    tell_evidence(payer.store(), out, report);
    kept.and(settled).map(|()| Exit::Ok)
}

fn request_body(session: &Session, args: &Chat, prompt: &str) -> Result<Vec<u8>, Error> {
    let offer = session.offer();
    let model = pick_model(offer, args.model.as_deref()).ok_or_else(|| {
        let names: Vec<&str> = offer.models.iter().map(|model| model.id.as_str()).collect();
        Error::Choice { code: "choice.model", message: format!("the node offers: {}", names.join(", ")) }
    })?;
    let mut messages = Vec::new();
    if let Some(system) = &args.system {
        messages.push(json!({"role": "system", "content": system}));
    }
    messages.push(json!({"role": "user", "content": prompt}));
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(model.id));
    body.insert("messages".to_owned(), Value::Array(messages));
    body.insert("max_tokens".to_owned(), json!(args.max_tokens));
    if let Some(temperature) = args.temperature {
        body.insert("temperature".to_owned(), json!(temperature));
    }
    body.insert("stream".to_owned(), json!(true));
    Ok(Value::Object(body).to_string().into_bytes())
}

async fn open_tab(
    payer: &mut Payer,
    session: &Session,
    shape: &RequestShape,
    reserve: Option<u64>,
    out: Output,
) -> Result<Arc<Tab>, Error> {
    let most = shape.cost_max(session.offer()).unwrap_or(Credits::MAX);
    // A user who says how much to reserve knows better than the bound.
    let amount = match reserve.map(credits).transpose()? {
        Some(wish) => Amount { need: wish, wish },
        None => Amount { need: most, wish: most },
    };
    let spinner = out.spinner("paying: reading the ledger, proving a spend, opening a tab");
    let on_stage = |stage| {
        spinner.set_message(match stage {
            Stage::Sync => "reading the ledger",
            Stage::ProvingKey => "loading the proving key",
            Stage::Prove => "proving a spend",
            Stage::Open => "opening a tab",
        });
    };
    let tab = payer.open_tab(session, amount, &on_stage).await;
    spinner.finish_and_clear();
    Ok(Arc::new(tab?))
}

/// Streams the answer to stdout; it counts once its receipt is verified.
async fn converse(
    session: &Session,
    tab: &Arc<Tab>,
    request: InferenceRequest,
    directories: &[PathBuf],
    out: Output,
    report: &mut Report,
) -> Result<Answer, Error> {
    let mut exchange = match session.infer(tab, request).await? {
        Reply::Answer(exchange) => exchange,
        Reply::Refused(mut refused) => {
            keep_refusal(&mut refused, session, tab, directories, out, report).await;
            return Err(ExchangeError::Node(refused.to_error()).into());
        }
    };
    let mut text = Text::default();
    let read = tokio::select! {
        read = show(&mut exchange, &mut text, out) => read,
        _ = tokio::signal::ctrl_c() => Err(Error::Interrupted),
    };
    report.put("answer", json!(text.shown));
    if !text.shown.ends_with('\n') && !text.shown.is_empty() {
        out.line("");
    }
    match read {
        Ok(()) => Ok(exchange.finish(&mut report.transcript).await?),
        Err(Error::Interrupted) => {
            out.say("interrupted; asking the node what was charged");
            if let Ok(checked) = exchange.give_up().await {
                super::receipt::put_receipt(&checked, None, report);
                out.say(&format!("{} credits were charged", checked.usage.cost));
            }
            Err(Error::Interrupted)
        }
        Err(Error::Exchange(error)) => Err(exchange.fail(error).await.into()),
        Err(error) => Err(error),
    }
}

async fn show(exchange: &mut Exchange, text: &mut Text, out: Output) -> Result<(), Error> {
    while let Some(bytes) = exchange.next().await? {
        let new = text.push(&bytes);
        // A reader that has gone wants no more tokens.
        out.data(new.as_bytes()).map_err(|_| Error::Interrupted)?;
    }
    Ok(())
}

/// The words inside a stream of chunks.
#[derive(Default)]
struct Text {
    reader: EventReader,
    shown: String,
}

impl Text {
    fn push(&mut self, bytes: &[u8]) -> String {
        let mut new = String::new();
        self.reader.push(bytes, |data| {
            let chunk: Value = serde_json::from_slice(data).unwrap_or_default();
            if let Some(words) = chunk.pointer("/choices/0/delta/content").and_then(Value::as_str) {
                new.push_str(words);
            }
        });
        self.shown.push_str(&new);
        new
    }
}

/// What shows others that the node refused. That it did is told in any case.
async fn keep_refusal(
    refused: &mut Refusal,
    session: &Session,
    tab: &Tab,
    directories: &[PathBuf],
    out: Output,
    report: &mut Report,
) {
    match refused.receipt(session, tab, &mut Transcript::default()).await {
        Ok(Some(bundle)) => {
            let stored: Result<Vec<_>, _> = directories.iter().map(|directory| bundle.store(directory)).collect();
            match stored {
                Ok(files) => {
                    super::receipt::put_refusal(&bundle.receipt, files.first().map(PathBuf::as_path), report);
                    files
                        .iter()
                        .for_each(|file| out.say(&format!("receipt of the refusal kept as {}", file.display())));
                }
                Err(error) => out.say(&format!("receipt of the refusal not stored: {}", chain(&error))),
            }
        }
        Ok(None) => out.say("the node gives no receipt of its refusal"),
        Err(error) => out.say(&format!("the node's receipt of its refusal is none: {}", chain(&error))),
    }
}

async fn keep(mut answer: Answer, directories: &[PathBuf], out: Output, report: &mut Report) -> Result<(), Error> {
    let usage = &answer.receipt.usage;
    out.say(&format!(
        "receipt {} verified: {} prompt and {} completion tokens, {} credits",
        answer.receipt.receipt.receipt_id, usage.prompt_tokens, usage.completion_tokens, usage.cost
    ));
    let mut files = Vec::new();
    for directory in directories {
        files.push(answer.bundle.store(directory)?);
    }
    super::receipt::put_receipt(&answer.receipt, files.first().map(PathBuf::as_path), report);
    for file in &files {
        out.say(&format!("kept as {}", file.display()));
    }
    // It is kept before the log is asked for: what the log says changes nothing about what was received.
    match answer.ask_for_log_proof().await {
        Ok(None) => {}
        Ok(Some(logged)) => {
            directories.iter().try_for_each(|directory| answer.bundle.store(directory).map(drop))?;
            out.say(&format!("entry {} of the log {}", logged.index, logged.origin));
            super::receipt::put_logged(&logged, report);
        }
        Err(LogError::Session(error @ SessionError::Node(_))) => {
            out.say(&format!("not shown to be in the node's log: {}", chain(&error)));
            report.put("log", Value::Null);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// The connection is gone, the node perhaps not: a new connection, verified again, can close the tab if it is the same boot.
async fn close_again(payer: &mut Payer, target: &NodeUrl, trust: &Trust, tab: &Tab) -> Result<ClosedTab, Error> {
    let session = open_session(target, trust, &clock(), &mut Transcript::default()).await?;
    if session.keyset_digest() != tab.keyset_digest() {
        let message = "the node restarted; the ledger refunds the tab when it ends".to_owned();
        return Err(Error::Choice { code: "tab.left_to_ledger", message });
    }
    Ok(payer.close_tab(&session, tab).await?)
}

fn tell_settlement(closed: &ClosedTab, out: Output, report: &mut Report) {
    let settlement = &closed.settlement;
    report.put("settlement", json!(settlement));
    report.put("refund_visible", json!(closed.refund_visible));
    let refund = match closed.refund_visible {
        true => "in the wallet",
        false => "not yet in the ledger; cloister wallet sync will find it",
    };
    out.say(&format!("settled: {} credits charged, {} refunded ({refund})", settlement.charge, settlement.refund));
}

pub(super) fn credits(number: u64) -> Result<Credits, Error> {
    Credits::new(number).map_err(|error| Error::Choice { code: "choice.amount", message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_out_of_chunks() {
        let stream = b"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n\
            data: {\"choices\":[{\"delta\":{\"content\":\"He\\u00e9\"}}]}\n\ndata: not json\n\n\
            data: {\"choices\":[],\"usage\":{}}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"y\"}}]}\n\n";
        for size in [1, 7, stream.len()] {
            let mut text = Text::default();
            let shown: String = stream.chunks(size).map(|chunk| text.push(chunk)).collect();
            assert_eq!(shown, "Heéy");
            assert_eq!(text.shown, "Heéy");
        }
    }
}
