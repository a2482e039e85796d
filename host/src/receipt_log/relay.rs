//! The way to witnesses (C2SP tlog-witness): a checkpoint and the proof that it extends what they saw, and their cosignatures back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credits::Bytes32;
use reqwest::{Client, StatusCode, Url};
use tlog::cosignature::signatures_of;
use tlog::service::LogAnswer;
use tokio::runtime::Runtime;

use crate::output;

/// Time for a witness to answer, asked twice if need be.
const WITNESS_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// What explains that a witness has seen more or else.
const OTHER: &str = "the log was put back to an older state, or another copy of it goes on";
/// Signature lines of one witness that are passed on.
const LINES_PER_WITNESS_MAX: usize = 4;
/// Witnesses that are asked.
const WITNESSES_MAX: usize = 32;

pub(super) struct Relay {
    runtime: Runtime,
    client: Client,
    witnesses: Vec<Witness>,
}

struct Witness {
    url: String,
    /// Entries it has seen, as far as is known here.
    seen: AtomicU64,
    /// Why it did not cosign the last time.
    refused: Mutex<Option<String>>,
}

impl Witness {
    /// Tells the operator when a witness stops to cosign, for another reason than before, or cosigns again.
    fn tell(&self, refusal: Option<&str>) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.as_deref() != refusal {
            match refusal {
                Some(text) => output::note(&format!("{} does not cosign: {text}", self.url)),
                None => output::note(&format!("{} cosigns again", self.url)),
            }
            *refused = refusal.map(str::to_owned);
        }
    }
}

/// The proof from so many entries on.
type Consistency<'a> = &'a (dyn Fn(u64) -> anyhow::Result<Vec<Bytes32>> + Sync);

enum Said {
    Lines(String),
    Seen(u64),
}

impl Relay {
    pub(super) fn new(urls: &[String]) -> anyhow::Result<Self> {
        if urls.len() > WITNESSES_MAX {
            bail!("{} witnesses are more than {WITNESSES_MAX}", urls.len());
        }
        let witness = |url: &String| {
            let parsed = Url::parse(url).with_context(|| format!("{url:?} is not the URL of a witness"))?;
            if parsed.scheme() != "http" {
                bail!("{url:?}: a witness is reached by http://; put a TLS client in front of one that has https only");
            }
            Ok(Witness {
                url: url.trim_end_matches('/').to_owned(),
                seen: AtomicU64::new(0),
                refused: Mutex::default(),
            })
        };
        let witnesses = urls.iter().map(witness).collect::<anyhow::Result<_>>()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let client = Client::builder()
            // What answers elsewhere is another.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { runtime, client, witnesses })
    }

    /// Asks all of them at once.
    pub(super) fn cosign(&self, note: &str, size: u64, consistency: Consistency<'_>) -> LogAnswer {
        let (mut lines, mut refusals) = (String::new(), Vec::new());
        let answers = std::thread::scope(|threads| {
            let asked: Vec<_> = self
                .witnesses
                .iter()
                .map(|witness| threads.spawn(move || self.ask_in_time(witness, note, size, consistency)))
                .collect();
            asked.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
        });
        for (witness, answer) in self.witnesses.iter().zip(answers) {
            match answer.unwrap_or_else(|_| Err(anyhow::anyhow!("asking it failed"))) {
                Ok(more) => {
                    witness.tell(None);
                    lines.push_str(&signatures_of(&more, LINES_PER_WITNESS_MAX));
                }
                Err(error) => {
                    let text = format!("{error:#}");
                    witness.tell(Some(&text));
                    refusals.push(format!("{}: {text}", witness.url));
                }
            }
        }
        LogAnswer::Cosigned { lines, refusals }
    }

    fn ask_in_time(
        &self,
        witness: &Witness,
        note: &str,
        size: u64,
        consistency: Consistency<'_>,
    ) -> anyhow::Result<String> {
        let asked = async { tokio::time::timeout(WITNESS_TIMEOUT, self.ask(witness, note, size, consistency)).await };
        self.runtime.block_on(asked).context("it takes too long")?
    }

    async fn ask(
        &self,
        witness: &Witness,
        note: &str,
        size: u64,
        consistency: Consistency<'_>,
    ) -> anyhow::Result<String> {
        // Twice: what is believed here of what it has seen may be old, and it says what is right.
        for _ in 0..2 {
            let seen = witness.seen.load(Ordering::Relaxed).min(size);
            match self.submit(witness, note, (seen, size), &consistency(seen)?).await? {
                Said::Lines(lines) => {
                    witness.seen.store(size, Ordering::Relaxed);
                    return Ok(lines);
                }
                Said::Seen(same) if same == seen => {
                    bail!("it has seen other entries than these {size}: {OTHER}")
                }
                // It is not signed: what is too much is not believed the next time.
                Said::Seen(other) if other > size => {
                    bail!("it has seen {other} entries and there are {size} here: {OTHER}")
                }
                Said::Seen(other) => witness.seen.store(other, Ordering::Relaxed),
            }
        }
        bail!("it sees another state of the log each time it is asked: {OTHER}")
    }

    async fn submit(
        &self,
        witness: &Witness,
        note: &str,
        (seen, size): (u64, u64),
        proof: &[Bytes32],
    ) -> anyhow::Result<Said> {
        let hashes: String = proof.iter().map(|hash| format!("{}\n", STANDARD.encode(hash.0))).collect();
        let body = format!("old {seen}\n{hashes}\n{note}");
        let asked = self.client.post(format!("{}/add-checkpoint", witness.url)).body(body).send().await;
        let mut response = asked.map_err(|error| error.without_url()).context("it does not answer")?;
        let status = response.status();
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| error.without_url())? {
            if chunk.len() > ANSWER_BYTES_MAX - text.len() {
                bail!("its answer is longer than {ANSWER_BYTES_MAX} bytes");
            }
            text.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(text).context("its answer is not text")?;
        match status {
            StatusCode::OK => Ok(Said::Lines(text)),
            StatusCode::CONFLICT => {
                let seen =
                    text.trim_end().parse().context("it has seen another state of the log, and does not say which")?;
                Ok(Said::Seen(seen))
            }
            StatusCode::NOT_FOUND => {
                bail!("it does not know this log; its operator adds the key `receipt-log info` prints")
            }
            StatusCode::UNPROCESSABLE_ENTITY => {
                bail!("these {size} entries do not begin with those it has seen: {OTHER}")
            }
            StatusCode::FORBIDDEN => bail!("it knows this log under another key"),
            status => bail!("it answered {status}"),
        }
    }
}
