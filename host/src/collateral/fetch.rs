//! Asks the vendors' services.
//!
//! Decides: how long and how much they may answer, and how soon one that failed is asked again. Nothing that comes back is trusted: it
//! is read, so that an error page does not take the place of a document, and whoever gets it checks the vendor's signature.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Certificate, Client, RequestBuilder, StatusCode, Url};
use tokio::runtime::Runtime;

/// Time for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Time until what could not be had is asked for again: AMD's service refuses who asks often.
const PAUSE: Duration = Duration::from_secs(60);

/// Documents that are fetched for the first time within that time. A machine with eight GPUs has some forty; who asks about ever other
/// machines gets no further.
const TRIED_MAX: usize = 64;

/// Where the vendors' documents are to be had.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Services {
    /// AMD's key distribution service, or a mirror of it.
    #[arg(long, value_name = "URL", default_value = "https://kdsintf.amd.com")]
    pub(super) amd: String,
    /// Intel's provisioning certification service, or a PCCS.
    #[arg(long, value_name = "URL", default_value = "https://api.trustedservices.intel.com")]
    pub(super) intel: String,
    /// The revocation list of Intel's root, DER; a PCCS has it at /sgx/certification/v4/rootcacrl.
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
    /// Documents that are being fetched, or were lately.
    tried: Mutex<BTreeMap<String, Tried>>,
}

#[derive(Debug)]
enum Tried {
    Going,
    /// When, and what came of it.
    Ended(Instant, String),
}

impl Fetcher {
    pub(super) fn new(services: &Services) -> anyhow::Result<Self> {
        for url in
            [&services.amd, &services.intel, &services.intel_root_crl, &services.nvidia_rim, &services.nvidia_ocsp]
        {
            Url::parse(url).with_context(|| format!("{url:?} is not the URL of a service"))?;
        }
        let mut client = Client::builder().timeout(ANSWER_TIMEOUT).redirect(reqwest::redirect::Policy::none());
        client = client.user_agent(concat!("cloister-host/", env!("CARGO_PKG_VERSION")));
        for root in services.root.iter().map(|path| roots(path)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
            client = client.add_root_certificate(root);
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

    /// Has `fetch` done for a document, unless that is going on or was done a moment ago. One that nobody has yet (`is_new`) is also not
    /// fetched after too many others.
    pub(super) fn attempt<T>(
        &self,
        name: &str,
        is_new: bool,
        fetch: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut going = self.begin(name, is_new)?;
        let outcome = fetch();
        going.ended = match &outcome {
            Ok(_) => "it was fetched".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        outcome
    }

    fn begin<'a>(&'a self, name: &'a str, is_new: bool) -> anyhow::Result<Going<'a>> {
        let mut tried = self.tried();
        tried.retain(|_, tried| !matches!(tried, Tried::Ended(at, _) if at.elapsed() >= PAUSE));
        match tried.get(name) {
            Some(Tried::Going) => bail!("{name}: it is being fetched"),
            Some(Tried::Ended(at, how)) => {
                let (ago, pause) = (at.elapsed().as_secs(), PAUSE.as_secs());
                bail!("{name}: {how} ({ago} s ago; it is not asked for again before {pause} s)")
            }
            None if is_new && tried.len() >= TRIED_MAX => {
                bail!(
                    "{name}: {TRIED_MAX} others were asked for in the last {} s; look at what asks for them",
                    PAUSE.as_secs()
                )
            }
            None => {}
        }
        tried.insert(name.to_owned(), Tried::Going);
        Ok(Going { fetcher: self, name, ended: "it broke off".to_owned() })
    }

    fn tried(&self) -> MutexGuard<'_, BTreeMap<String, Tried>> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A document that is being fetched; however that ends, it is known.
struct Going<'a> {
    fetcher: &'a Fetcher,
    name: &'a str,
    ended: String,
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        let ended = Tried::Ended(Instant::now(), std::mem::take(&mut self.ended));
        self.fetcher.tried().insert(self.name.to_owned(), ended);
    }
}

fn roots(path: &Path) -> anyhow::Result<Vec<Certificate>> {
    let pem = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let roots = Certificate::from_pem_bundle(&pem).with_context(|| format!("read {}", path.display()))?;
    if roots.is_empty() { bail!("{} has no certificate in PEM", path.display()) } else { Ok(roots) }
}
