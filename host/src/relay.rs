//! The way to witnesses (C2SP tlog-witness): a checkpoint and the proof that it extends what they saw, and their cosignatures back.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credits::Bytes32;
use reqwest::{Client, StatusCode, Url};
use tlog::cosignature::signatures_of;
use tokio::runtime::Runtime;

use crate::output;

/// Time for a witness to answer, asked several times if need be.
const WITNESS_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// What explains that a witness has seen more or else.
const OTHER: &str = "the log was put back to an older state, or another copy of it goes on";
/// Signature lines of one witness that are passed on.
const LINES_PER_WITNESS_MAX: usize = 4;
/// Times that a witness is asked about one head.
const TRIES: u32 = 5;
/// Heads in a row about which a witness may have been told more by others before that is worth a word.
const OVERTAKEN_MAX: u32 = 20;
/// Witnesses that are asked.
const WITNESSES_MAX: usize = 32;

pub(crate) struct Relay {
    runtime: Runtime,
    client: Client,
    witnesses: Vec<Witness>,
    /// The command that prints the key by which witnesses know the log.
    prints_key: &'static str,
}

/// A log whose head is to be cosigned.
pub(crate) trait Grown: Sync {
    /// The proof that its first `to` entries begin with its first `from`.
    fn consistency(&self, from: u64, to: u64) -> anyhow::Result<Vec<Bytes32>>;

    /// Entries there are now: more than the head has, if somebody appended meanwhile.
    fn size(&self) -> anyhow::Result<u64>;
}

/// What witnesses said of a head.
#[derive(Debug, Default)]
pub(crate) struct Cosigned {
    /// Signature lines; nothing about them is verified.
    pub(crate) lines: String,
    /// How many witnesses gave some.
    pub(crate) witnesses: usize,
    /// Why others did not, a sentence each.
    pub(crate) refusals: Vec<String>,
}

struct Witness {
    url: String,
    /// Entries it has seen, as far as is known here.
    seen: AtomicU64,
    /// Heads in a row about which it had seen more.
    overtaken: AtomicU32,
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

enum Said {
    Lines(String),
    Seen(u64),
}

impl Relay {
    pub(crate) fn new(urls: &[String], prints_key: &'static str) -> anyhow::Result<Self> {
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
                overtaken: AtomicU32::new(0),
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
        Ok(Self { runtime, client, witnesses, prints_key })
    }

    /// How many witnesses are asked.
    pub(crate) fn witnesses(&self) -> usize {
        self.witnesses.len()
    }

    /// Asks all of them at once. Blocks; not for threads that drive a runtime.
    pub(crate) fn cosign(&self, note: &str, size: u64, log: &dyn Grown) -> Cosigned {
        let mut cosigned = Cosigned::default();
        let origin = note.split('\n').next().unwrap_or_default();
        let answers = std::thread::scope(|threads| {
            let asked: Vec<_> = self
                .witnesses
                .iter()
                .map(|witness| {
                    let asking = move || self.ask(witness, note, size, log);
                    std::thread::Builder::new().spawn_scoped(threads, asking)
                })
                .collect();
            let answer = |asking: std::io::Result<std::thread::ScopedJoinHandle<'_, _>>| match asking {
                Ok(thread) => thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("asking it failed"))),
                Err(error) => Err(anyhow::Error::new(error).context("start a thread to ask it")),
            };
            asked.into_iter().map(answer).collect::<Vec<_>>()
        });
        for (witness, answer) in self.witnesses.iter().zip(answers) {
            let usable = answer.and_then(|more| {
                let lines = more.map(|more| signatures_of(&more, origin, LINES_PER_WITNESS_MAX));
                if lines.as_ref().is_some_and(String::is_empty) {
                    bail!("its answer has no cosignature")
                }
                Ok(lines)
            });
            match usable {
                Ok(Some(lines)) => {
                    witness.overtaken.store(0, Ordering::Relaxed);
                    witness.tell(None);
                    cosigned.witnesses = cosigned.witnesses.saturating_add(1);
                    cosigned.lines.push_str(&lines);
                }
                // Another service of the same log was there with more of it: the next head will be newer.
                Ok(None) if witness.overtaken.fetch_add(1, Ordering::Relaxed) < OVERTAKEN_MAX => {}
                Ok(None) => witness.tell(Some("each time it has seen a little more than it is shown")),
                Err(error) => {
                    let text = format!("{error:#}");
                    witness.tell(Some(&text));
                    cosigned.refusals.push(format!("{}: {text}", witness.url));
                }
            }
        }
        cosigned
    }

    /// Its signature lines; none if it saw what was appended meanwhile.
    fn ask(&self, witness: &Witness, note: &str, size: u64, log: &dyn Grown) -> anyhow::Result<Option<String>> {
        let until = Instant::now() + WITNESS_TIMEOUT;
        // What is believed here of what it has seen may be old, and it says what is right; others may bring it more meanwhile.
        let mut told = None;
        for _ in 0..TRIES {
            let seen = witness.seen.load(Ordering::Relaxed).min(size);
            let proof = log.consistency(seen, size)?;
            let submitted = async {
                let left = until.saturating_duration_since(Instant::now());
                tokio::time::timeout(left, self.submit(witness, note, (seen, size), &proof)).await
            };
            match self.runtime.block_on(submitted).context("it takes too long")?? {
                Said::Lines(lines) => {
                    witness.seen.store(size, Ordering::Relaxed);
                    return Ok(Some(lines));
                }
                Said::Seen(same) if same == seen => {
                    bail!("it has seen other entries than these {size}: {OTHER}")
                }
                // It is not signed: what is too much is not believed the next time.
                Said::Seen(other) if other > size => {
                    if log.size()? >= other {
                        return Ok(None);
                    }
                    bail!("it has seen {other} entries and there are {size} here: {OTHER}")
                }
                Said::Seen(other) if told.is_some_and(|before| other <= before) => break,
                Said::Seen(other) => {
                    told = Some(other);
                    witness.seen.store(other, Ordering::Relaxed);
                }
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
                bail!("it does not know this log; its operator adds the key that `{}` prints", self.prints_key)
            }
            StatusCode::UNPROCESSABLE_ENTITY => {
                bail!("these {size} entries do not begin with those it has seen: {OTHER}")
            }
            StatusCode::FORBIDDEN => bail!("it knows this log under another key"),
            status => bail!("it answered {status}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// A log that has so many entries by now.
    struct Entries(u64);

    impl Grown for Entries {
        fn consistency(&self, _from: u64, to: u64) -> anyhow::Result<Vec<Bytes32>> {
            if to > self.0 { bail!("there are {} entries", self.0) } else { Ok(Vec::new()) }
        }

        fn size(&self) -> anyhow::Result<u64> {
            Ok(self.0)
        }
    }

    /// A witness that answers every question so; its URL.
    fn witness(status: u16, body: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut length = 0;
                let mut line = String::new();
                while reader.read_line(&mut line).unwrap() > 2 {
                    let lower = line.to_ascii_lowercase();
                    length = lower.strip_prefix("content-length: ").map_or(length, |text| text.trim().parse().unwrap());
                    line.clear();
                }
                reader.read_exact(&mut vec![0; length]).unwrap();
                let head =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
            }
        });
        url
    }

    fn asked(urls: &[String], log: &dyn Grown) -> Cosigned {
        Relay::new(urls, "the command").unwrap().cosign(
            "a.example/log\n5\nAAAA\n\n\u{2014} a.example/log AAAAAA\n",
            5,
            log,
        )
    }

    const LINE: &str = "\u{2014} w.example AAAAAAAAAAAAAAAA\n";

    #[test]
    fn what_was_appended_meanwhile_is_no_theft() {
        let seen_more = witness(409, "7\n");
        let overtaken = asked(std::slice::from_ref(&seen_more), &Entries(7));
        assert_eq!((overtaken.witnesses, overtaken.refusals.len()), (0, 0), "{overtaken:?}");
        let robbed = asked(&[seen_more], &Entries(6));
        assert!(matches!(&*robbed.refusals, [one] if one.contains("put back")), "{robbed:?}");
    }

    #[test]
    fn nothing_that_a_witness_says_makes_the_others_worthless() {
        // Under the log's own name it would make the note one that nobody opens.
        let in_the_logs_name = witness(200, "\u{2014} a.example/log AAAAAAAAAAAAAAAA\n");
        let (nonsense, honest) = (witness(200, "nonsense\n\n"), witness(200, LINE));
        let cosigned = asked(&[in_the_logs_name, nonsense, honest], &Entries(5));
        assert_eq!((cosigned.witnesses, &*cosigned.lines), (1, LINE), "{cosigned:?}");
        assert_eq!(cosigned.refusals.len(), 2, "who says nothing of use does not cosign: {cosigned:?}");
    }

    #[test]
    fn an_unknown_log_is_told_with_what_to_do() {
        let refused = asked(&[witness(404, "")], &Entries(5));
        assert!(matches!(&*refused.refusals, [one] if one.contains("`the command` prints")), "{refused:?}");
    }
}
