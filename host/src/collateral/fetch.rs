//! Asks the vendors' services.
//!
//! Decides: how long and how much they may answer, and how soon one that failed is asked again. Nothing that comes back is trusted: it
//! is read, so that an error page does not take the place of a document, and whoever gets it checks the vendor's signature.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Certificate, Client, RequestBuilder, StatusCode};
use tokio::runtime::Runtime;

/// Time for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Time until what could not be had is asked for again: AMD's service refuses who asks often.
const PAUSE: Duration = Duration::from_secs(60);

/// Where the vendors' documents are to be had.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Services {
    /// AMD's key distribution service, or a mirror of it.
    #[arg(long, value_name = "URL", default_value = "https://kdsintf.amd.com")]
    pub(super) amd: String,
    /// Intel's provisioning certification service, or a PCCS.
    #[arg(long, value_name = "URL", default_value = "https://api.trustedservices.intel.com")]
    pub(super) intel: String,
    /// The revocation list of Intel's root, DER.
    #[arg(
        long,
        value_name = "URL",
        default_value = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
    )]
    pub(super) intel_root_crl: String,
    /// NVIDIA's service for reference manifests.
    #[arg(long, value_name = "URL", default_value = "https://rim.attestation.nvidia.com")]
    pub(super) nvidia_rim: String,
    /// NVIDIA's OCSP responder.
    #[arg(long, value_name = "URL", default_value = "https://ocsp.ndis.nvidia.com")]
    pub(super) nvidia_ocsp: String,
    /// What the services' servers are known by beside this machine's root certificates, PEM: for a mirror of your own.
    #[arg(long, value_name = "FILE", requires = "fetch")]
    root: Option<PathBuf>,
}

/// What a service answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) body: Vec<u8>,
    headers: HeaderMap,
}

impl Reply {
    /// A header's text.
    pub(super) fn header(&self, name: &str) -> anyhow::Result<&str> {
        let value = self.headers.get(name).with_context(|| format!("the answer has no {name}"))?;
        value.to_str().with_context(|| format!("{name} is no text"))
    }
}

/// A client of all services.
#[derive(Debug)]
pub(super) struct Fetcher {
    client: Client,
    runtime: Runtime,
    /// When a document was asked for last, and why it could not be had.
    tried: Mutex<BTreeMap<String, (Instant, String)>>,
}

impl Fetcher {
    pub(super) fn new(services: &Services) -> anyhow::Result<Self> {
        let mut client = Client::builder().timeout(ANSWER_TIMEOUT).redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &services.root {
            client = client.add_root_certificate(root(path)?);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let client = client.build().context("use this machine's root certificates")?;
        Ok(Self { client, runtime, tried: Mutex::default() })
    }

    /// The answer to a GET.
    pub(super) fn get(&self, url: &str, bytes_max: usize) -> anyhow::Result<Reply> {
        self.answer(self.client.get(url), bytes_max).with_context(|| format!("fetch {url}"))
    }

    /// The answer to an OCSP request.
    pub(super) fn post_ocsp(&self, url: &str, request: Vec<u8>, bytes_max: usize) -> anyhow::Result<Reply> {
        let request = self.client.post(url).header(CONTENT_TYPE, "application/ocsp-request").body(request);
        self.answer(request, bytes_max).with_context(|| format!("ask {url}"))
    }

    fn answer(&self, request: RequestBuilder, bytes_max: usize) -> anyhow::Result<Reply> {
        self.runtime.block_on(async {
            let mut response = request.send().await?;
            if response.status() != StatusCode::OK {
                bail!("it answered {}", response.status());
            }
            let headers = response.headers().clone();
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                body.extend_from_slice(&chunk);
                if body.len() > bytes_max {
                    bail!("it answered more than {bytes_max} bytes");
                }
            }
            Ok(Reply { body, headers })
        })
    }

    /// Has `fetch` done for a document, unless that is going on or failed a moment ago.
    pub(super) fn attempt<T>(&self, name: &str, fetch: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        self.begin(name)?;
        let outcome = fetch();
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        match &outcome {
            Ok(_) => tried.remove(name),
            Err(error) => tried.insert(name.to_owned(), (Instant::now(), format!("{error:#}"))),
        };
        outcome
    }

    /// Whether [`Self::attempt`] would have it done.
    pub(super) fn may_attempt(&self, name: &str) -> bool {
        let tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        tried.get(name).is_none_or(|(at, _)| at.elapsed() >= PAUSE)
    }

    fn begin(&self, name: &str) -> anyhow::Result<()> {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, why)) = tried.get(name).filter(|(at, _)| at.elapsed() < PAUSE) {
            bail!(
                "{name}: {why} ({} s ago; it is not asked for again before {} s)",
                at.elapsed().as_secs(),
                PAUSE.as_secs()
            );
        }
        tried.insert(name.to_owned(), (Instant::now(), "it is being fetched".to_owned()));
        Ok(())
    }
}

fn root(path: &Path) -> anyhow::Result<Certificate> {
    let pem = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    Certificate::from_pem(&pem).with_context(|| format!("{} is not a certificate in PEM", path.display()))
}
