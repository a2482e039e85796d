//! Where guardians ask: what is held is handed out, what is missing is ordered meanwhile, one order at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use attestation::Sha256Digest;
use platform_service::{Answer, Question};
use tokio::runtime::Handle;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension};

use super::acme::Authority;
use super::shelf::Shelf;
use crate::{clock, output};

/// Longest request (PKCS #10, DER).
const REQUEST_BYTES_MAX: usize = 4096;
/// Pause after an order that failed; twice as long after each further one …
const PAUSE_MIN: Duration = Duration::from_secs(15);
/// … up to this: authorities count failures by the hour.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

pub(super) struct Desk(Arc<Inner>);

struct Inner {
    authority: Authority,
    shelf: Shelf,
    names: Vec<String>,
    runtime: Handle,
    orders: Mutex<Orders>,
}

/// What is known of orders.
#[derive(Default)]
struct Orders {
    is_running: bool,
    failures: u32,
    /// After the last one failed: why, and when the next may be tried.
    failed: Option<(String, Instant)>,
}

/// A request that may be ordered.
struct Wanted {
    request: Vec<u8>,
    /// SHA-256 of the key, hex.
    key: String,
    names: Vec<String>,
}

impl Wanted {
    fn read(request: Vec<u8>, allowed: &[String]) -> anyhow::Result<Self> {
        if request.len() > REQUEST_BYTES_MAX {
            bail!("a request has at most {REQUEST_BYTES_MAX} bytes");
        }
        let (rest, parsed) = X509CertificationRequest::from_der(&request).context("what is asked for is no request")?;
        if !rest.is_empty() {
            bail!("bytes follow the request");
        }
        let mut names = Vec::new();
        for extension in parsed.requested_extensions().into_iter().flatten() {
            let ParsedExtension::SubjectAlternativeName(of) = extension else {
                bail!("a request asks for names, and for nothing else");
            };
            for name in &of.general_names {
                match name {
                    GeneralName::DNSName(name) if allowed.iter().any(|allowed| allowed == name) => {
                        names.push((*name).to_owned());
                    }
                    other => bail!("{other} is not a --name of this service"),
                }
            }
        }
        if names.is_empty() {
            bail!("the request has no name");
        }
        let key = hex::encode(Sha256Digest::of(parsed.certification_request_info.subject_pki.raw).0);
        Ok(Self { key, names, request })
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    i64::try_from(clock::now().0).unwrap_or(i64::MAX)
}

impl Desk {
    pub(super) fn new(authority: Authority, shelf: Shelf, names: Vec<String>, runtime: Handle) -> Self {
        Self(Arc::new(Inner { authority, shelf, names, runtime, orders: Mutex::default() }))
    }

    pub(super) fn answer(&self, question: Question) -> anyhow::Result<Answer> {
        let Question::Certify(request) = question else { bail!("this service has certificates only") };
        let wanted = Wanted::read(request.0, &self.0.names)?;
        let now = now();
        let held = self.0.shelf.held(&wanted.key).filter(|held| !held.is_over(now));
        if let Some(held) = held.as_ref().filter(|held| !held.is_due(now)) {
            return Ok(Answer::Certificate(held.base64()));
        }
        let why = self.order(wanted);
        Ok(held.map_or(Answer::CertificatePending(why), |held| Answer::Certificate(held.base64())))
    }

    /// Orders what is wanted unless that must wait; what there is to say meanwhile.
    fn order(&self, wanted: Wanted) -> String {
        let mut orders = self.0.orders();
        if orders.is_running {
            return "an order is being worked on".to_owned();
        }
        if let Some((why, not_before)) = orders.failed.as_ref().filter(|(_, not_before)| Instant::now() < *not_before) {
            let wait = not_before.saturating_duration_since(Instant::now()).as_secs();
            return format!("{why}; the next order is in {wait} s");
        }
        orders.is_running = true;
        drop(orders);
        let inner = Arc::clone(&self.0);
        self.0.runtime.spawn(async move {
            let running = Running(&inner);
            let ended = inner.fulfil(&wanted).await;
            running.end(ended);
        });
        "an order was begun".to_owned()
    }
}

impl Inner {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fulfil(&self, wanted: &Wanted) -> anyhow::Result<()> {
        let names = wanted.names.join(" ");
        output::note(&format!("ordering a certificate for {names}"));
        let chain = self.authority.certify(&wanted.request, &wanted.names).await?;
        let held = self.shelf.put(&wanted.key, &chain, now())?;
        output::note(&format!("have a certificate: {held}"));
        Ok(())
    }
}

/// An order that is being worked on, until it ended in some way.
struct Running<'a>(&'a Inner);

impl Running<'_> {
    fn end(self, ended: anyhow::Result<()>) {
        let mut orders = self.0.orders();
        match ended {
            Ok(()) => {
                orders.failures = 0;
                orders.failed = None;
            }
            Err(error) => {
                let why = format!("{error:#}");
                output::note(&format!("no certificate: {why}"));
                let pause =
                    PAUSE_MIN.saturating_mul(1_u32.checked_shl(orders.failures).unwrap_or(u32::MAX)).min(PAUSE_MAX);
                orders.failures = orders.failures.saturating_add(1);
                orders.failed = Some((why, Instant::now() + pause));
            }
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.orders().is_running = false;
    }
}
