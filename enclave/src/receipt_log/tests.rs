//! The guardian's log against a keeper that lies, and witnesses that are honest, absent or somebody else.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use attestation::UnixTime;
use credits::LogFrontier;
use credits::merkle::{LogTree, consistency_proof};
use tlog::Cosigner;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;

use super::*;
use crate::config::{ServiceAddress, WitnessName};
use crate::limits::LOG_CLOCK_SKEW_SECS_MAX;

const ORIGIN: &str = "node.example/receipts";

struct At(AtomicU64);

impl Clock for At {
    fn now(&self) -> UnixTime {
        UnixTime(self.0.load(Ordering::Relaxed))
    }
}

fn key(seed: u8) -> ReceiptKey {
    ReceiptKey::from_seed(&[seed; 32]).unwrap()
}

fn witness(number: u8) -> Cosigner {
    Cosigner::new(&format!("w{number}.example"), key(100 + number)).unwrap()
}

/// What a keeper says instead of the truth.
type Lie = Box<dyn Fn(&LogQuestion, LogAnswer) -> Option<LogAnswer> + Send + Sync>;

struct Keeper {
    path: PathBuf,
    tree: Arc<Mutex<LogTree>>,
    /// Cosignatures of everything that was to be cosigned.
    said: Arc<Mutex<Vec<String>>>,
    lie: Arc<Mutex<Option<Lie>>>,
}

fn proof(hashes: Result<Vec<Bytes32>, credits::merkle::ProofError<()>>) -> LogAnswer {
    hashes.map_or_else(|_| LogAnswer::Error { message: "no".to_owned() }, LogAnswer::Proof)
}

impl Keeper {
    /// Cosigns as witnesses 0 and 1 do, whatever it is.
    fn start(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cloister-log-{name}-{}.sock", std::process::id()));
        drop(std::fs::remove_file(&path));
        let listener = UnixListener::bind(&path).unwrap();
        let keeper = Self { path, tree: Arc::default(), said: Arc::default(), lie: Arc::default() };
        let (tree, said, lie) = (Arc::clone(&keeper.tree), Arc::clone(&keeper.said), Arc::clone(&keeper.lie));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                if stream.read_line(&mut line).await.is_err() {
                    continue;
                }
                let question = serde_json::from_str(&line).unwrap();
                let truth = answer(&mut tree.lock().unwrap(), &mut said.lock().unwrap(), &question);
                let told = match &*lie.lock().unwrap() {
                    Some(lie) => lie(&question, truth),
                    None => Some(truth),
                };
                if let Some(told) = told {
                    let line = serde_json::to_string(&told).unwrap() + "\n";
                    drop(stream.write_all(line.as_bytes()).await);
                }
            }
        });
        keeper
    }

    fn lies(&self, lie: impl Fn(&LogQuestion, LogAnswer) -> Option<LogAnswer> + Send + Sync + 'static) {
        *self.lie.lock().unwrap() = Some(Box::new(lie));
    }

    fn config(&self, witnesses: &[u8], needed: usize) -> ReceiptLogConfig {
        ReceiptLogConfig {
            origin: ORIGIN.to_owned(),
            service: ServiceAddress::Socket(self.path.clone()),
            witnesses: witnesses.iter().map(|number| WitnessName(witness(*number).public().clone())).collect(),
            witnesses_needed: needed,
        }
    }

    /// A log of this keeper that has begun.
    async fn log(&self, clock: &At) -> Result<ReceiptLog, LogFailure> {
        let log = ReceiptLog::new(&self.config(&[0, 1, 2], 2));
        log.begin(Sha256Digest([1; 32]), &key(1), clock).await.map(|()| log)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

fn answer(tree: &mut LogTree, said: &mut Vec<String>, question: &LogQuestion) -> LogAnswer {
    let node = |level, at| tree.node(level, at).ok_or(());
    match question {
        LogQuestion::Frontier { .. } => LogAnswer::Frontier(tree.frontier().clone()),
        LogQuestion::Append { entries, .. } => {
            entries.iter().for_each(|entry| tree.append(entry.leaf_hash()));
            LogAnswer::Appended { size: tree.size() }
        }
        LogQuestion::Cosign { checkpoint } => {
            let text = format!("{}\n", checkpoint.split("\n\n").next().unwrap());
            let lines: String = (0..2).map(|number| witness(number).cosign(&text, UnixTime(1000))).collect();
            said.push(lines.clone());
            LogAnswer::Cosigned { lines, refusals: Vec::new() }
        }
        LogQuestion::Consistency { from, to } => proof(consistency_proof(*from, *to, node)),
    }
}

fn clock() -> At {
    At(AtomicU64::new(1000))
}

#[tokio::test]
async fn a_receipt_is_shown_once_it_is_under_a_witnessed_head() {
    let keeper = Keeper::start("shown");
    let clock = clock();
    let log = keeper.log(&clock).await.unwrap();
    let receipt = Sha256Digest([7; 32]);
    assert_eq!(log.inclusion(receipt).await.unwrap_err(), NotShown::Unknown);
    log.append(receipt);
    log.round(&key(1), &clock).await.unwrap();
    let proof = log.inclusion(receipt).await.unwrap();
    let public = tlog::LogKey::new(ORIGIN, key(1).public()).unwrap();
    let head = proof.checkpoint(&public).unwrap();
    assert_eq!((proof.index, head.size), (1, 2));
    proof.verify(&ReceiptLogEntry::Receipt(receipt).bytes(), &head).unwrap();
    let names = [witness(0).public().clone(), witness(1).public().clone()];
    assert_eq!(tlog::witnessed(&proof.checkpoint, &names, 2).unwrap().times.len(), 2);
    assert_eq!(log.growth(1, &log.head().unwrap()).await.unwrap().map(|hashes| hashes.len()), Some(1));
    assert_eq!(log.growth(3, &log.head().unwrap()).await.unwrap(), None, "it never was that long");
    // Who keeps the log is not asked for the proof, and does not learn of the question.
    keeper.lies(|_, _| None);
    assert_eq!(log.inclusion(receipt).await.unwrap(), proof);
    assert_eq!(log.growth(1, &log.head().unwrap()).await.unwrap_err(), NotShown::Keeper);
}

/// What was cosigned before, and is kept by the host, is of no use for a head that did not change.
#[tokio::test]
async fn an_old_cosignature_of_the_same_head_is_none() {
    let keeper = Keeper::start("replay");
    let clock = clock();
    let log = keeper.log(&clock).await.unwrap();
    log.round(&key(1), &clock).await.unwrap();
    let old = keeper.said.lock().unwrap().clone();
    assert_eq!(old.len(), 2);
    keeper.lies(move |question, truth| {
        let is_asked = matches!(question, LogQuestion::Cosign { .. });
        Some(if is_asked { LogAnswer::Cosigned { lines: old.concat(), refusals: Vec::new() } } else { truth })
    });
    let failure = log.round(&key(1), &clock).await.unwrap_err();
    assert!(
        matches!(&failure, LogFailure::Unwitnessed { fault, .. } if fault.code() == "log.not_cosigned"),
        "{failure}"
    );
}

/// Nor is what the host had cosigned in advance: it does not know what will be signed.
#[tokio::test]
async fn a_cosignature_cannot_be_made_before_the_round() {
    let keeper = Keeper::start("stock");
    let clock = clock();
    let log = keeper.log(&clock).await.unwrap();
    let texts = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&texts);
    keeper.lies(move |question, truth| {
        if let LogQuestion::Cosign { checkpoint } = question {
            let text = checkpoint.split("\n\n").next().unwrap().to_owned();
            let round = text.lines().last().unwrap().strip_prefix("round ").unwrap().to_owned();
            assert!(round.len() == 64 && seen.lock().unwrap().insert(round), "drawn anew: {text}");
        }
        Some(truth)
    });
    for _ in 0..20 {
        log.round(&key(1), &clock).await.unwrap();
    }
    assert_eq!(texts.lock().unwrap().len(), 20);
}

/// Each lie ends the round with its failure; the truth, later, mends it.
#[tokio::test]
async fn a_keeper_that_lies_gets_nothing_witnessed() {
    let cosigned = |change: fn(String) -> String| -> Lie {
        Box::new(move |_, truth| match truth {
            LogAnswer::Cosigned { lines, .. } => {
                Some(LogAnswer::Cosigned { lines: change(lines), refusals: vec!["w1: it is away".to_owned()] })
            }
            other => Some(other),
        })
    };
    let answered = |said: fn(LogAnswer) -> Option<LogAnswer>| -> Lie { Box::new(move |_, truth| said(truth)) };
    let appended = |size: u64| -> Lie {
        Box::new(move |_, truth| match truth {
            LogAnswer::Appended { .. } => Some(LogAnswer::Appended { size }),
            other => Some(other),
        })
    };
    let first_line = |lines: String| format!("{}\n", lines.lines().next().unwrap());
    let rows: [(&str, Lie, &str); 7] = [
        (
            "none",
            cosigned(|_| String::new()),
            "0 of the named witnesses cosigned the checkpoint, 2 are needed; w1: it is away",
        ),
        ("one", cosigned(first_line), "1 of the named"),
        (
            "one-twice",
            cosigned(|lines| {
                let line = format!("{}\n", lines.lines().next().unwrap());
                line.repeat(2)
            }),
            "1 of the named",
        ),
        ("more", appended(9), "another number of entries"),
        ("fewer", appended(0), "another number of entries"),
        ("silence", answered(|_| None), "no answer"),
        ("other", answered(|_| Some(LogAnswer::Proof(Vec::new()))), "the answer to another question"),
    ];
    for (name, lie, words) in rows {
        let keeper = Keeper::start(name);
        let clock = clock();
        let log = keeper.log(&clock).await.unwrap();
        log.append(Sha256Digest([7; 32]));
        let before = keeper.tree.lock().unwrap().clone();
        *keeper.lie.lock().unwrap() = Some(lie);
        let failure = log.round(&key(1), &clock).await.unwrap_err().to_string();
        assert!(failure.contains(words), "{name}: {failure}");
        assert_eq!(log.head().unwrap().checkpoint().size, 1, "{name}: nothing newer is shown");
        // The truth again: the same entries, said again.
        *keeper.lie.lock().unwrap() = None;
        if log.books().waiting() > 0 {
            *keeper.tree.lock().unwrap() = before;
        }
        log.round(&key(1), &clock).await.unwrap();
        assert_eq!((log.head().unwrap().checkpoint().size, keeper.tree.lock().unwrap().size()), (2, 2), "{name}");
    }
}

/// One witness that says nonsense does not take the word from the others.
#[tokio::test]
async fn nonsense_beside_cosignatures_changes_nothing() {
    let keeper = Keeper::start("nonsense");
    let clock = clock();
    let log = keeper.log(&clock).await.unwrap();
    for nonsense in ["no line\n", "\n\n\u{2014} a AAAAAAA=\n", "\u{1}\n"] {
        keeper.lies(move |_, truth| {
            Some(match truth {
                LogAnswer::Cosigned { lines, refusals } => {
                    LogAnswer::Cosigned { lines: format!("{}{lines}{nonsense}", nonsense.repeat(99)), refusals }
                }
                other => other,
            })
        });
        log.round(&key(1), &clock).await.unwrap();
        assert!(!log.head().unwrap().note.contains(nonsense), "and is not passed on");
    }
}

#[tokio::test]
async fn a_frontier_that_cannot_be_is_refused() {
    let keeper = Keeper::start("frontier");
    keeper.lies(|_, truth| {
        let huge = serde_json::json!({"size": u64::MAX, "peaks": vec!["00".repeat(32); 64]});
        Some(match truth {
            LogAnswer::Frontier(_) => LogAnswer::Frontier(serde_json::from_value::<LogFrontier>(huge).unwrap()),
            other => other,
        })
    });
    let failure = keeper.log(&clock()).await.unwrap_err().to_string();
    assert!(failure.contains("more entries than a log can have"), "{failure}");
}

/// Until its own entry is in the log, a boot looks anew where the log ends: an older guardian may have written its last.
#[tokio::test]
async fn a_boot_finds_the_end_of_a_log_that_grew_meanwhile() {
    let keeper = Keeper::start("meanwhile");
    let clock = clock();
    keeper.lies(|question, truth| {
        let is_append = matches!(question, LogQuestion::Append { .. });
        Some(if is_append { LogAnswer::Error { message: "another was first".to_owned() } } else { truth })
    });
    let log = ReceiptLog::new(&keeper.config(&[0, 1, 2], 2));
    let failure = log.begin(Sha256Digest([1; 32]), &key(1), &clock).await.unwrap_err().to_string();
    assert!(failure.contains("another was first") && log.head().is_none(), "{failure}");
    *keeper.lie.lock().unwrap() = None;
    keeper.tree.lock().unwrap().append(ReceiptLogEntry::Receipt(Sha256Digest([9; 32])).leaf_hash());
    log.begin(Sha256Digest([1; 32]), &key(1), &clock).await.unwrap();
    let head = log.head().unwrap().checkpoint();
    assert_eq!((head.size, head.root), (3, keeper.tree.lock().unwrap().root()));
    log.begin(Sha256Digest([1; 32]), &key(1), &clock).await.unwrap();
    assert_eq!(log.head().unwrap().checkpoint().size, 3, "and has one entry from then on");
}

/// The host sets this node's clock. It is not set back behind what witnesses say.
#[tokio::test]
async fn a_clock_behind_the_witnesses_stops_the_log() {
    let keeper = Keeper::start("clock");
    let clock = clock();
    let log = keeper.log(&clock).await.unwrap();
    clock.0.store(1000 - LOG_CLOCK_SKEW_SECS_MAX, Ordering::Relaxed);
    log.round(&key(1), &clock).await.unwrap();
    clock.0.store(999 - LOG_CLOCK_SKEW_SECS_MAX, Ordering::Relaxed);
    let failure = log.round(&key(1), &clock).await.unwrap_err().to_string();
    assert!(failure.contains("behind those of the witnesses"), "{failure}");
}

#[tokio::test]
async fn work_is_taken_only_while_heads_are_witnessed() {
    let keeper = Keeper::start("kept");
    let clock = clock();
    let log = keeper.log(&clock).await.unwrap();
    assert!(log.is_kept());
    let ago = |time: Duration| log.books().kept = Instant::now().checked_sub(time);
    ago(LOG_UNWITNESSED_MAX.checked_sub(Duration::from_secs(1)).unwrap());
    assert!(log.is_kept());
    ago(LOG_UNWITNESSED_MAX);
    assert!(!log.is_kept());
    log.round(&key(1), &clock).await.unwrap();
    assert!(log.is_kept());
    for number in 0..LOG_PENDING_MAX {
        log.append(Sha256Digest::of(&number.to_be_bytes()));
    }
    assert!(!log.is_kept(), "too many wait");
}
