//! What the authority asks of whoever has the name: a file on port 80 (http-01, RFC 8555 §8.3). It proves that this machine is where the
//! name leads, which DNS says and the operator with it; it says nothing of what runs there.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

/// Answers that are being asked for, by token.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers(Arc<Mutex<HashMap<String, String>>>);

/// An answer, as long as the value lives.
#[derive(Debug)]
pub(super) struct Given {
    answers: Answers,
    token: String,
}

impl Answers {
    pub(super) fn give(&self, token: &str, answer: &str) -> Given {
        self.lock().insert(token.to_owned(), answer.to_owned());
        Given { answers: self.clone(), token: token.to_owned() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        self.answers.lock().remove(&self.token);
    }
}

/// Binds the address; the future answers on it.
pub(super) async fn listen(address: SocketAddr, answers: Answers) -> anyhow::Result<impl Future<Output = ()> + Send> {
    let advice =
        "ports below 1024 take root or CAP_NET_BIND_SERVICE; or --listen another one that port 80 is redirected to";
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}; {advice}"))?;
    let router = Router::new().route("/.well-known/acme-challenge/{token}", get(answer)).with_state(answers);
    Ok(async move {
        // It ends with the process only.
        let _ = axum::serve(listener, router).await;
    })
}

async fn answer(State(answers): State<Answers>, Path(token): Path<String>) -> Result<String, StatusCode> {
    answers.lock().get(&token).cloned().ok_or(StatusCode::NOT_FOUND)
}
