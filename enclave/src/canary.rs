//! The canary: a question whose answer is known, so that an engine that answers nonsense serves nobody.
//!
//! Decides: whether the engine still is the one that was measured. Drivers and engines have been seen to answer fluently and wrongly
//! in confidential mode; nothing in the protocol shows that. The question is asked greedily and alone: engines promise equal answers
//! for equal batches only, so what came while others were served does not count. A wrong answer, several times in a row, stops the
//! node: no request is taken at boot, and later it drains, settles and ends. An engine that was started anew is asked before it serves, and
//! a node that is never idle takes no new requests, if no answer was right for a while, until one is.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::config::CanaryConfig;
use crate::endpoint::Endpoint;
use crate::inference::{self, Engine, EngineError};
use crate::limits::{CANARY_PAUSE, CANARY_TRIES, CANARY_UNPROVEN_MAX};
use crate::metrics::Failure;
use crate::request::InferenceRequest;
use crate::state::Guardian;

/// What the engine answered was wrong, each time.
#[derive(Debug, thiserror::Error)]
#[error("the engine answered the canary's question wrongly {CANARY_TRIES} times in a row: it is not what was measured")]
pub struct WrongAnswer;

/// Asks the question once; the answer.
///
/// # Errors
/// When the engine gives none.
pub async fn ask(engine: &Engine, canary: &CanaryConfig) -> Result<String, EngineError> {
    let forward = json!({"prompt": canary.prompt, "temperature": 0, "seed": 0});
    let request = InferenceRequest {
        endpoint: Endpoint::Completions,
        model: String::new(),
        stream: false,
        include_usage: false,
        obfuscate: false,
        completion_tokens_max: Some(canary.completion_tokens),
        choices: 1,
        prompt_tokens_bound: 0,
        stop_bytes: 0,
        forward: forward.as_object().cloned().unwrap_or_else(Map::new),
        echo: std::sync::Arc::default(),
    };
    // A salt of its own each time: an answer from the prefix cache would prove less.
    let salt = attestation::Nonce::random().map_err(|_| EngineError::Unavailable)?.to_string();
    let body = engine.infer(Endpoint::Completions, engine.body(&request, canary.completion_tokens, &salt)).await?;
    let answer = inference::read_short(body).await?;
    let text = answer.pointer("/choices/0/text").and_then(Value::as_str);
    text.map(str::to_owned).ok_or(EngineError::Malformed)
}

/// Asks until an answer is right; whether one was. What the engine does not answer is not wrong, nor what it answers beside other requests.
async fn is_right(guardian: &Guardian, canary: &CanaryConfig) -> Result<bool, WrongAnswer> {
    let mut wrong = 0;
    while wrong < CANARY_TRIES {
        let alone = !in_flight(guardian);
        match ask(&guardian.engine, canary).await {
            Ok(answer) if answer == canary.answer => return Ok(true),
            Ok(_) if alone && !in_flight(guardian) => {
                guardian.work.metrics.failed(Failure::Canary);
                wrong += 1;
            }
            Ok(_) => return Ok(false),
            Err(error) => {
                guardian.work.metrics.failed(Failure::Canary);
                tracing::warn!(%error, "no answer to the canary's question");
                return Ok(false);
            }
        }
        tokio::time::sleep(CANARY_PAUSE).await;
    }
    Err(WrongAnswer)
}

fn in_flight(guardian: &Guardian) -> bool {
    guardian.tabs().iter().any(|tab| tab.in_flight())
}

/// Before the first request to an engine: it must answer, and rightly; from then on requests are taken. Asks one that does not answer, or
/// wrongly beside requests from before, again and again.
///
/// # Errors
/// [`WrongAnswer`].
pub async fn prove(guardian: &Guardian) -> Result<(), WrongAnswer> {
    let Some(canary) = &guardian.config.canary else {
        guardian.take_requests(None);
        return Ok(());
    };
    let mut wrong = 0;
    while wrong < CANARY_TRIES {
        // Before it is asked: an engine that is started anew meanwhile has not answered.
        let (start, alone) = (guardian.engine.start(), !in_flight(guardian));
        match ask(&guardian.engine, canary).await {
            Ok(answer) if answer == canary.answer => {
                if let Some(start) = start {
                    tracing::info!("the canary's answer is right");
                    guardian.take_requests(Some(start));
                    return Ok(());
                }
            }
            Ok(_) if alone && !in_flight(guardian) => wrong += 1,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "no answer to the canary's question"),
        }
        tokio::time::sleep(CANARY_PAUSE).await;
    }
    Err(WrongAnswer)
}

/// From then on: returns when an answer is wrong.
pub async fn watch(guardian: &Guardian) -> WrongAnswer {
    let Some(canary) = &guardian.config.canary else { return std::future::pending().await };
    let mut unproven = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(canary.interval_secs)) => {}
            () = guardian.work.engine_changed.notified() => {}
        }
        let proven = if guardian.takes_requests() && unproven < CANARY_UNPROVEN_MAX {
            is_right(guardian, canary).await
        } else {
            tracing::info!("no requests until the canary's answer is right");
            guardian.pause_requests();
            prove(guardian).await.map(|()| true)
        };
        match proven {
            Ok(true) => unproven = 0,
            Ok(false) => unproven += 1,
            Err(wrong) => return wrong,
        }
    }
}
