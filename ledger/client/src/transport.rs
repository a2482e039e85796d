//! Requests over HTTP: bounded in time and size, repeated when the ledger is not available.
//!
//! Every request of the protocol may be repeated: none has an effect that a second one would double.

use std::time::Duration;

use credits::LedgerError;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ConnectError;

/// Longest answer other than those below; the longest of the protocol are far below 16 KiB.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Longest page: 1,000 entries of at most 1.3 KiB.
pub(crate) const LOG_PAGE_BYTES_MAX: usize = 4 << 20;
/// Longest proving key; that of the circuit is about 2.5 MiB.
pub(crate) const PROVING_KEY_BYTES_MAX: usize = 16 << 20;
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a whole answer; a log page over a slow line is the longest.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Requests after the first.
const RETRIES_MAX: u32 = 4;
/// Wait before the first repeat; each further one waits twice as long.
const RETRY_WAIT: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Transport {
    client: Client,
    /// Without a slash at the end.
    base: String,
}

#[derive(Deserialize)]
struct RefusalBody {
    error: RefusalParts,
}

#[derive(Deserialize)]
struct RefusalParts {
    code: String,
    message: String,
}

impl Transport {
    pub(crate) fn new(url: &str) -> Result<Self, ConnectError> {
        let refused = || ConnectError::Url { url: url.to_owned() };
        let parsed = Url::parse(url).map_err(|_| refused())?;
        if parsed.scheme() == "https" {
            return Err(ConnectError::HttpsUnsupported);
        }
        let has_more = parsed.query().is_some() || parsed.fragment().is_some();
        let has_user = !parsed.username().is_empty() || parsed.password().is_some();
        if parsed.scheme() != "http" || !parsed.has_host() || has_more || has_user {
            return Err(refused());
        }
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            // A redirect or a proxy of the environment would put someone else in the ledger's place.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|_| ConnectError::Client)?;
        Ok(Self { client, base: parsed.as_str().trim_end_matches('/').to_owned() })
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str, bytes_max: usize) -> Result<T, LedgerError> {
        decode(&self.get_bytes(path, bytes_max).await?)
    }

    pub(crate) async fn get_bytes(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, LedgerError> {
        self.request(&Method::GET, path, None, bytes_max).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        bytes_max: usize,
    ) -> Result<T, LedgerError> {
        let body = serde_json::to_vec(body).map_err(|_| LedgerError::Malformed)?;
        decode(&self.request(&Method::POST, path, Some(body), bytes_max).await?)
    }

    async fn request(
        &self,
        method: &Method,
        path: &str,
        body: Option<Vec<u8>>,
        bytes_max: usize,
    ) -> Result<Vec<u8>, LedgerError> {
        let mut wait = RETRY_WAIT;
        for _ in 0..RETRIES_MAX {
            match self.request_once(method, path, body.clone(), bytes_max).await {
                Err(error) if error.retryable() => tokio::time::sleep(wait).await,
                result => return result,
            }
            wait = wait.saturating_mul(2);
        }
        self.request_once(method, path, body, bytes_max).await
    }

    async fn request_once(
        &self,
        method: &Method,
        path: &str,
        body: Option<Vec<u8>>,
        bytes_max: usize,
    ) -> Result<Vec<u8>, LedgerError> {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let mut response = request.send().await.map_err(|_| LedgerError::Unavailable)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| LedgerError::Unavailable)? {
            if chunk.len() > bytes_max.saturating_sub(bytes.len()) {
                return Err(LedgerError::AnswerMalformed);
            }
            bytes.extend_from_slice(&chunk);
        }
        if status == StatusCode::OK { Ok(bytes) } else { Err(refusal(status, &bytes)) }
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, LedgerError> {
    serde_json::from_slice(bytes).map_err(|_| LedgerError::AnswerMalformed)
}

fn refusal(status: StatusCode, bytes: &[u8]) -> LedgerError {
    match serde_json::from_slice::<RefusalBody>(bytes) {
        Ok(RefusalBody { error: RefusalParts { code, message } }) => match LedgerError::from_code(&code, &message) {
            // What this side finds, nobody else says.
            error if error.is_found_by_clients() => LedgerError::AnswerMalformed,
            error => error,
        },
        // Something between here and the ledger answered.
        Err(_) if status.is_server_error() => LedgerError::Unavailable,
        Err(_) => LedgerError::AnswerMalformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_urls_are_taken() {
        let code = |url| Transport::new(url).map_err(|error| error.code()).map(|transport| transport.base);
        assert_eq!(code("http://127.0.0.1:7000"), Ok("http://127.0.0.1:7000".to_owned()));
        assert_eq!(code("http://ledger.example/base/"), Ok("http://ledger.example/base".to_owned()));
        assert_eq!(code("https://ledger.example"), Err("ledger_client.https_unsupported"));
        for url in ["", "ledger", "ftp://a", "http://a?x=1", "http://a#x", "http://me@a", "http://me:pw@a"] {
            assert_eq!(code(url), Err("ledger_client.url"), "{url}");
        }
    }

    #[test]
    fn refusals_are_read_by_code() {
        let body = br#"{"error":{"code":"ledger.unwitnessed","message":"no"}}"#;
        assert_eq!(
            refusal(StatusCode::BAD_GATEWAY, body),
            LedgerError::AnswerMalformed,
            "clients find that, not ledgers"
        );
        let body = br#"{"error":{"code":"credits.inner_reused","message":"no"}}"#;
        assert_eq!(refusal(StatusCode::FORBIDDEN, body), LedgerError::InnerReused);
        assert_eq!(refusal(StatusCode::BAD_GATEWAY, b"<html>"), LedgerError::Unavailable);
        assert_eq!(refusal(StatusCode::FOUND, b""), LedgerError::AnswerMalformed);
    }
}
