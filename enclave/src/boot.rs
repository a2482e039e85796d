//! Boot and stop. Keys → boot report → ledger → listener → engine; anything missing ends the process.
//!
//! The node can be appraised before its engine is ready, since nothing it attests depends on the engine's state: what the engine
//! is, the measured configuration says. Requests wait for the engine (`engine.starting`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use attestation::snp::SnpReport;
use attestation::tdx::TdQuote;
use attestation::{Clock, EvidenceFormat, Role, Signed};
use credits::{LedgerError, ModelOffer, Offer};
use ledger_client::{ConnectError, Known, LedgerClient, Pins, Watch};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::aci::AciReporter;
use crate::attester::{Attested, Attester};
use crate::batcher::{Batcher, Binding};
use crate::certificate::Certificates;
use crate::config::{GuardianConfig, MetricsConfig, TinfoilConfig};
use crate::gpu::{GpuFault, Gpus};
use crate::inference::Engine;
use crate::keys::{self, BootKeys};
use crate::limits::{
    CUT_TIME, DRAIN_TIMEOUT, ENGINE_POLL_INTERVAL, ENGINE_READY_TIMEOUT, LAST_WORDS_TIME, LEDGER_WITNESSED_PAUSE,
    LEDGER_WITNESSED_TIMEOUT, OPENING_TIMEOUT,
};
use crate::listener::{self, Entrance};
use crate::metrics::Failure;
use crate::receipt_log::ReceiptLog;
use crate::sealed::tinfoil::{self, TinfoilFace};
use crate::state::{Guardian, Work};
use crate::vsock::VsockListener;
use crate::{attestation_api, canary, ledger_watch, metrics, routes, settlement};

/// Purpose under which offers are signed (protocol.md §5.2).
pub const OFFER_PURPOSE: &str = "cloister/offer/v1";

/// Boots, serves until a signal, settles and returns.
pub async fn run(config: GuardianConfig, clock: Arc<dyn Clock>) -> anyhow::Result<()> {
    let name = config.certificate.as_ref().map(|certificate| certificate.name.as_str());
    let keys = keys::generate(clock.now(), name).context("make the boot keys")?;
    let attester = Attester::from_config(&config.tee, config.gpu.as_ref());
    let gpus = Gpus::take(&attester, config.gpu.as_ref(), Arc::clone(&clock), keys.keyset_digest).await;
    let gpus = gpus.context("judge the GPUs")?.map(Arc::new);
    let ended = serve(config, clock, keys, attester, gpus.clone()).await;
    // Whatever ended it.
    if let Some(gpus) = gpus {
        gpus.release().await;
    }
    ended
}

async fn serve(
    config: GuardianConfig,
    clock: Arc<dyn Clock>,
    keys: BootKeys,
    attester: Attester,
    gpus: Option<Arc<Gpus>>,
) -> anyhow::Result<()> {
    let Booted { guardian, tinfoil } = boot(config, clock, keys, attester, gpus).await?;
    let guardian = Arc::new(guardian);
    let certificates = Arc::new(Certificates::new(&guardian.keys.tls, guardian.config.certificate.as_ref())?);
    let shown = [Some(&certificates), tinfoil.as_ref().map(|(_, face)| &face.certificates)];
    let mut loops = JoinSet::new();
    for certificates in shown.into_iter().flatten() {
        loops.spawn(keep_certified(Arc::clone(&guardian), Arc::clone(certificates)));
    }
    let mut serving = listen(&guardian, certificates, tinfoil).await?;
    if let Some(MetricsConfig { listen, interval_secs }) = guardian.config.metrics {
        metrics::publish(Arc::clone(&guardian), listen, Duration::from_secs(interval_secs)).await?;
    }
    loops.spawn(settlement::expiry_loop(Arc::clone(&guardian)));
    loops.spawn(settlement::replay_loop(Arc::clone(&guardian)));
    loops.spawn(keep_log(Arc::clone(&guardian)));
    loops.spawn(ledger_watch::run(Arc::clone(&guardian)));
    let ended = until_the_end(&guardian, &mut serving, &mut loops).await;
    // Until they are gone they use what is finished below.
    loops.shutdown().await;
    // Before anything that may take long: nobody watches them now.
    if let Some(gpus) = &guardian.gpus {
        gpus.release().await;
    }
    // No new ones are opened; those that are being opened are then among all.
    drop(tokio::time::timeout(OPENING_TIMEOUT, guardian.work.opening.write()).await);
    settlement::settle_all(&guardian).await;
    if let Some(log) = &guardian.receipt_log {
        log.finish(&guardian.keys.receipt, &*guardian.clock).await;
        // Those who waited for their receipts to be in it have their answers by then.
        tokio::time::sleep(LAST_WORDS_TIME).await;
    }
    serving.abort_all();
    tracing::info!("stopped");
    ended
}

/// Serves, and lets requests finish. When a GPU is not what clients believe in, nothing is finished.
async fn until_the_end(
    guardian: &Guardian,
    serving: &mut JoinSet<anyhow::Result<()>>,
    loops: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let fault = watch_gpus(guardian);
    tokio::pin!(fault);
    let ended = tokio::select! {
        stopped = stop_signal() => stopped,
        failed = bring_up_engine(guardian) => failed,
        // Without them tabs would not end, or nobody be served, and nothing would say so.
        Some(_) = loops.join_next() => Err(anyhow::anyhow!("a loop of the guardian ended")),
        Some(_) = serving.join_next() => Err(anyhow::anyhow!("a listener ended")),
        fault = &mut fault => return stop_at_once(guardian, fault).await,
    };
    tracing::info!("stopping: no new work");
    guardian.work.draining.send_replace(true);
    tokio::select! {
        () = drain(guardian) => ended,
        fault = &mut fault => stop_at_once(guardian, fault).await,
    }
}

async fn stop_at_once(guardian: &Guardian, fault: GpuFault) -> anyhow::Result<()> {
    guardian.work.draining.send_replace(true);
    cut(guardian);
    tracing::error!(code = fault.code(), "stopping at once: {fault}");
    if let Some(gpus) = &guardian.gpus {
        gpus.release().await;
    }
    tokio::time::sleep(CUT_TIME).await;
    Err(fault.into())
}

/// Opens the sockets of the measured configuration. From here on clients can appraise this node.
async fn listen(
    guardian: &Arc<Guardian>,
    certificates: Arc<Certificates>,
    tinfoil: Option<(TinfoilConfig, TinfoilFace)>,
) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
    let tls = listener::tls_config(certificates)?;
    let router = routes::router(Arc::clone(guardian));
    let draining = guardian.work.draining.subscribe();
    let entrance = Entrance::new(tls, router, guardian.config.limits, Arc::clone(&guardian.work.metrics), draining);
    let address = guardian.config.listen;
    let tcp = listener::listen_tcp(address).with_context(|| format!("listen on {address}"))?;
    let local = tcp.local_addr()?;
    let mut serving = JoinSet::new();
    if let Some((config, face)) = tinfoil {
        serving.spawn(listen_for_tinfoil(guardian, &entrance, config, face).await?);
    }
    if let Some(port) = guardian.config.listen_vsock {
        let vsock = VsockListener::bind(port).with_context(|| format!("listen on vsock port {port}"))?;
        serving.spawn(entrance.clone().serve(vsock));
    }
    serving.spawn(entrance.serve(tcp));
    let vsock = guardian.config.listen_vsock;
    tracing::info!(listen = %local, vsock, keyset_digest = %guardian.keys.keyset_digest, "listening");
    Ok(serving)
}

/// Opens the entrance for clients of Tinfoil.
async fn listen_for_tinfoil(
    guardian: &Arc<Guardian>,
    beside: &Entrance,
    config: TinfoilConfig,
    face: TinfoilFace,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send + 'static> {
    let tls = listener::tls_config(Arc::clone(&face.certificates))?;
    let router = tinfoil::routes(&Arc::new(face), routes::router_elsewhere(Arc::clone(guardian)));
    let router = routes::refusals_finished(router, Arc::clone(guardian));
    let entrance = beside.beside(tls, router);
    let tcp = listener::listen_tcp(config.listen).with_context(|| format!("listen on {}", config.listen))?;
    tracing::info!(tinfoil = %tcp.local_addr()?, "listening for clients of Tinfoil");
    Ok(entrance.serve(tcp))
}

/// Lets requests in once the engine answers, and rightly. Returns only if it does not.
async fn bring_up_engine(guardian: &Guardian) -> anyhow::Result<()> {
    let answers = async {
        wait_for_engine(&guardian.engine).await;
        canary::prove(guardian).await
    };
    let late = || anyhow::anyhow!("the engine did not become ready within {} s", ENGINE_READY_TIMEOUT.as_secs());
    tokio::time::timeout(ENGINE_READY_TIMEOUT, answers).await.map_err(|_| late())??;
    tracing::info!(keyset_digest = %guardian.keys.keyset_digest, "ready");
    let wrong = canary::watch(guardian).await;
    tracing::error!("{wrong}");
    Err(wrong.into())
}

/// Keeps the receipt log, if there is one. Does not return.
async fn keep_log(guardian: Arc<Guardian>) {
    match &guardian.receipt_log {
        Some(log) => {
            let failed = || guardian.work.metrics.failed(Failure::ReceiptLog);
            log.keep(&guardian.keys.receipt, &*guardian.clock, &failed).await;
        }
        None => std::future::pending().await,
    }
}

/// Keeps what one entrance is certified as. Does not return.
async fn keep_certified(guardian: Arc<Guardian>, certificates: Arc<Certificates>) {
    certificates.keep(&guardian.work.metrics).await;
}

/// Returns when the GPUs may take no more work.
async fn watch_gpus(guardian: &Guardian) -> GpuFault {
    match &guardian.gpus {
        Some(gpus) => gpus.watch().await,
        None => std::future::pending().await,
    }
}

async fn wait_for_engine(engine: &Engine) {
    while !engine.is_ready().await {
        tokio::time::sleep(ENGINE_POLL_INTERVAL).await;
    }
}

struct Booted {
    guardian: Guardian,
    tinfoil: Option<(TinfoilConfig, TinfoilFace)>,
}

async fn boot(
    config: GuardianConfig,
    clock: Arc<dyn Clock>,
    keys: BootKeys,
    attester: Attester,
    gpus: Option<Arc<Gpus>>,
) -> anyhow::Result<Booted> {
    let boot_gpu = match &gpus {
        Some(gpus) => Some(gpus.fresh().await.context("obtain GPU evidence")?),
        None => None,
    };
    let data = attestation_api::boot_report_data(&keys, boot_gpu.as_deref());
    let boot_report = attester.attest(data).await.context("obtain the boot report")?;
    let launch_digest = hex::encode(launch_digest(&boot_report)?);
    let tinfoil = match config.tinfoil {
        Some(tinfoil) => {
            let face = TinfoilFace::new(&attester, clock.now(), config.certificate.as_ref()).await;
            Some((tinfoil, face.context("obtain the report for clients of Tinfoil")?))
        }
        None => None,
    };
    let (ledger, spend_params) = connect_ledger(&config, &clock).await?;
    let receipt_log = match &config.receipt_log {
        Some(log) => {
            let opened = ReceiptLog::open(log, keys.keyset_digest, &keys.receipt, &*clock).await;
            Some(Arc::new(opened.context("take up the receipt log")?))
        }
        None => None,
    };
    let offer = offer(&config, &keys)?;
    let price_sheet_digest = offer.statement.price_sheet_digest().context("digest the offer")?;
    let engine = Engine::from_config(&config.engine);
    let binding = Binding { leaf_spki_sha256: keys.tls.spki_sha256, keyset_digest: keys.keyset_digest };
    let aci = AciReporter::new(attester.clone(), gpus.clone());
    let envelope_reports = Batcher::start(attester.clone(), gpus.clone(), binding, Role::Ohttp);
    let reports = Batcher::start(attester, gpus.clone(), binding, Role::Tls);
    let work = Work::new(&config.limits);
    let guardian = Guardian {
        config,
        keys,
        reports,
        envelope_reports,
        aci,
        gpus,
        boot_gpu,
        boot_report,
        launch_digest,
        offer,
        price_sheet_digest,
        receipt_log,
        ledger,
        spend_params: Arc::new(spend_params),
        engine,
        clock,
        work,
    };
    Ok(Booted { guardian, tinfoil })
}

/// What the boot report says was launched.
fn launch_digest(boot: &Attested) -> anyhow::Result<[u8; 48]> {
    let report = &boot.evidence.report.0;
    Ok(match boot.evidence.format {
        EvidenceFormat::SevSnpReportV1 => SnpReport::parse(report).context("read the boot report")?.measurement,
        EvidenceFormat::TdxQuoteV1 => TdQuote::parse(report).context("read the boot quote")?.body.mr_td,
    })
}

async fn connect_ledger(
    config: &GuardianConfig,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(LedgerClient, credits::params::VerifyingParams)> {
    let ledger = &config.ledger;
    let pins = Pins { ledger_id: ledger.ledger_id, ledger_key: ledger.ledger_key, vk_digest: ledger.vk_digest };
    let watch = ledger.quorum()?.map(|quorum| Watch::new(quorum, Arc::clone(clock)));
    let known = Known { seen: None, watch, evidence: Some(ledger_watch::evidence()) };
    let until = tokio::time::Instant::now() + LEDGER_WITNESSED_TIMEOUT;
    let client = loop {
        match LedgerClient::connect_known(&ledger.url, pins, known.clone()).await {
            // A ledger that has just started is not witnessed yet.
            Err(ConnectError::Ledger(LedgerError::Unwitnessed)) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(LEDGER_WITNESSED_PAUSE).await;
            }
            connected => break connected.with_context(|| format!("connect to the ledger at {}", ledger.url))?,
        }
    };
    let params = client.verifying_key().await.context("fetch the verifying key")?;
    if params.digest() != ledger.vk_digest {
        bail!("the ledger's verifying key is not the pinned one");
    }
    Ok((client, params))
}

fn offer(config: &GuardianConfig, keys: &BootKeys) -> anyhow::Result<Signed<Offer>> {
    let offer = Offer {
        version: credits::offer::OFFER_VERSION.to_owned(),
        ledger_id: config.ledger.ledger_id,
        vk_digest: config.ledger.vk_digest,
        payee: config.ledger.payee,
        models: vec![ModelOffer {
            id: config.engine.model.clone(),
            weights_digest: config.engine.weights.to_string(),
            prompt_credits: config.prices.prompt_credits,
            completion_credits: config.prices.completion_credits,
            request_credits: config.prices.request_credits,
            context_tokens_max: config.engine.context_tokens_max,
        }],
        tiers: config.prices.tiers.clone(),
        tab_secs_max: config.prices.tab_secs_max,
    };
    Ok(Signed::sign(OFFER_PURPOSE, offer, &keys.receipt)?)
}

async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Lets requests finish; cuts those that take longer than the drain time.
async fn drain(guardian: &Guardian) {
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    while guardian.tabs().iter().any(|tab| tab.in_flight()) {
        if Instant::now() >= deadline {
            cut(guardian);
            tokio::time::sleep(CUT_TIME).await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Breaks off all answers.
fn cut(guardian: &Guardian) {
    for tab in guardian.tabs() {
        tab.cut.send_replace(true);
    }
}
