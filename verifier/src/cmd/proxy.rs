//! `cloister proxy`.

use std::sync::Arc;
use std::time::Duration;

use credits::Credits;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use verifier::proxy::require_loopback;
use verifier::{Error, Exit, NodeUrl, Proxy, ProxyConfig};

use super::stake::tell_evidence;
use super::{assurance_words, clock, connect_payer, trust};
use crate::cli::{self, TrustArgs};
use crate::output::Output;
use crate::report::Report;

pub(crate) async fn run(args: cli::Proxy, out: Output, report: &mut Report) -> Result<Exit, Error> {
    let target: NodeUrl = args.url.parse()?;
    require_loopback(args.listen, args.danger_listen_anywhere)?;
    let trust = Arc::new(trust(&args.trust)?);
    let reserve = args.reserve.map(super::chat::credits).transpose()?;
    let mut payer = connect_payer(&args.wallet).await?;
    payer.require_stake(super::chat::credits(args.min_stake)?);
    tell_evidence(payer.store(), out, report);
    let mut receipts = vec![payer.store().receipts_dir()];
    receipts.extend(args.keep_receipt);
    let config = ProxyConfig {
        target,
        trust,
        clock: clock(),
        listen: args.listen,
        danger_listen_anywhere: args.danger_listen_anywhere,
        reserve: reserve.filter(|reserve| *reserve > Credits::ZERO),
        idle: Duration::from_secs(args.idle_secs),
        receipts,
        log: Arc::new(move |words| out.say(words)),
    };
    // The handlers are in place before the address is announced, so that no signal is missed.
    let stop = stop_signal()?;
    let proxy = Proxy::bind(config, payer, &mut report.transcript).await?;
    announce(&proxy, &args.trust, out, report).await?;
    proxy.run(stop).await;
    out.say("stopped");
    Ok(Exit::Ok)
}

async fn announce(proxy: &Proxy, trust: &TrustArgs, out: Output, report: &mut Report) -> Result<(), Error> {
    let session = proxy.session().await?;
    let appraisal = session.appraisal();
    let address = proxy.local_addr()?;
    report.put_appraisal(appraisal);
    report.put("url", json!(session.target().to_string()));
    report.put("listening", json!(format!("http://{address}/v1")));
    report.verified("VERIFIED", Some(appraisal.assurance().to_string()));
    out.say(&format!("VERIFIED  {}, {}", assurance_words(appraisal, trust), report.summary()));
    out.say("set OPENAI_BASE_URL to the address below; any API key will do; stop with Ctrl-C");
    out.line(&format!("http://{address}/v1"));
    if let Some(object) = report.take_object() {
        out.object(&object);
    }
    Ok(())
}

fn stop_signal() -> Result<impl Future<Output = ()>, Error> {
    let failed = |source| Error::Io { action: "listen for signals".to_owned(), source };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
