//! What the outside learns of a failure, decided in one place.
//!
//! Under `/v1` errors have OpenAI's shape, `{"error":{"message","type","param","code"}}`, with codes that are stable.
//! Messages never repeat request content. Status 409 is not used: official clients retry it.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use credits::LedgerError;
use serde_json::{Value, json};

use crate::limits::LOG_RETRY_SECS;

/// A refusal or failure as the client sees it.
#[derive(Debug)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable code.
    pub code: &'static str,
    /// One sentence that says what to do.
    pub message: String,
    /// The request parameter at fault.
    pub param: Option<String>,
    /// Seconds after which a retry may work; `None` tells official clients not to retry.
    pub retry_after: Option<u64>,
    /// The 402 body's payment terms.
    pub terms: Option<Value>,
}

impl Problem {
    /// A problem that a retry does not mend.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), param: None, retry_after: None, terms: None }
    }

    /// 400 with the parameter at fault.
    pub fn invalid(code: &'static str, param: &str, message: impl Into<String>) -> Self {
        Self { param: Some(param.to_owned()), ..Self::new(StatusCode::BAD_REQUEST, code, message) }
    }

    /// 503 that a retry after `secs` may mend.
    pub fn unavailable(code: &'static str, secs: u64, message: impl Into<String>) -> Self {
        Self { retry_after: Some(secs), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message) }
    }

    /// 402 with the terms under which the request would be served.
    pub fn payment(code: &'static str, message: impl Into<String>, terms: Value) -> Self {
        Self { terms: Some(terms), ..Self::new(StatusCode::PAYMENT_REQUIRED, code, message) }
    }

    /// The OpenAI error object.
    #[must_use]
    pub fn error_object(&self) -> Value {
        json!({"message": self.message, "type": self.kind(), "param": self.param, "code": self.code})
    }

    /// OpenAI's type for the status, or ACI's where it has one of its own (`aci/1` §10).
    fn kind(&self) -> &'static str {
        match self.code {
            "session_not_accepted" => return "session_not_accepted",
            "receipt.not_found" => return "not_found",
            "receipt.unauthorized" => return "unauthorized",
            _ => {}
        }
        match self.status.as_u16() {
            402 => "payment_required",
            401 | 403 => "permission_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        }
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut body = json!({"error": self.error_object()});
        if let (Some(object), Some(Value::Object(terms))) = (body.as_object_mut(), &self.terms) {
            object.extend(terms.clone());
        }
        body.to_string().into_bytes()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let mut response = (self.status, json, self.body()).into_response();
        let headers = response.headers_mut();
        match self.retry_after {
            Some(secs) => drop(headers.insert(header::RETRY_AFTER, HeaderValue::from(secs))),
            None => drop(headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"))),
        }
        response
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        if error.retryable() {
            return Self::unavailable("ledger.unavailable", 1, "the ledger cannot be reached; nothing was charged");
        }
        if matches!(error, LedgerError::Unwitnessed) {
            let message =
                "too few witnesses of the ledger's log said lately that it is the newest; nothing was charged";
            return Self::unavailable("ledger.unwitnessed", LOG_RETRY_SECS, message);
        }
        let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
        Self::new(status, error.code(), error.to_string())
    }
}
