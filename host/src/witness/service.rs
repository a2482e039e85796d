//! `POST /add-checkpoint` (C2SP tlog-witness).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credits::Bytes32;
use credits::merkle::verify_consistency;
use tlog::{Checkpoint, Cosigner, LogFault, LogKey};

use super::memory::Memory;
use crate::{clock, output};

/// Longest request: a checkpoint and a proof.
const REQUEST_BYTES_MAX: usize = 140 << 10;
/// Time for a request to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Most hashes of a proof, as specified.
const PROOF_HASHES_MAX: usize = 63;

pub(super) struct Witness {
    cosigner: Cosigner,
    logs: Vec<LogKey>,
    /// Looking and remembering are one step.
    memory: Mutex<Memory>,
}

/// What is wrong with a request.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Malformed,
    UnknownLog,
    UnknownKey,
    /// Another size was seen than the one the request begins at, or other entries.
    Seen(u64),
    BadProof,
    /// This machine's fault.
    Failed,
}

struct Request<'a> {
    old: u64,
    proof: Vec<Bytes32>,
    note: &'a str,
}

impl<'a> Request<'a> {
    fn parse(body: &'a str) -> Option<Self> {
        let (head, note) = body.split_once("\n\n")?;
        let mut lines = head.split('\n');
        let old = lines.next()?.strip_prefix("old ")?;
        let plain = old.bytes().all(|byte| byte.is_ascii_digit()) && (old == "0" || !old.starts_with('0'));
        let old = old.parse().ok().filter(|_| plain)?;
        let hash = |line| STANDARD.decode(line).ok()?.try_into().ok().map(Bytes32);
        let proof = lines.map(hash).collect::<Option<Vec<_>>>()?;
        (proof.len() <= PROOF_HASHES_MAX).then_some(Self { old, proof, note })
    }
}

impl Witness {
    pub(super) fn new(cosigner: Cosigner, logs: Vec<LogKey>, memory: Memory) -> Self {
        Self { cosigner, logs, memory: Mutex::new(memory) }
    }

    fn add_checkpoint(&self, body: &str) -> Result<String, Refusal> {
        let Request { old, proof, note } = Request::parse(body).ok_or(Refusal::Malformed)?;
        let origin = note.split('\n').next().unwrap_or_default();
        let log = self.logs.iter().find(|log| log.name() == origin).ok_or(Refusal::UnknownLog)?;
        let head = Checkpoint::open(note, log).map_err(|fault| match fault {
            LogFault::Unsigned { .. } | LogFault::Signature => Refusal::UnknownKey,
            _ => Refusal::Malformed,
        })?;
        if old > head.size {
            return Err(Refusal::Malformed);
        }
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = memory.newest(origin).map_err(failed)?;
        let seen = seen.map(|seen| Checkpoint::open(&seen, log)).transpose().map_err(failed)?;
        let seen = seen.unwrap_or(Checkpoint { size: 0, root: credits::merkle::empty_root() });
        if old != seen.size || (old == head.size && head.root != seen.root) {
            return Err(Refusal::Seen(seen.size));
        }
        verify_consistency(seen.size, head.size, &proof, &seen.root, &head.root).map_err(|_| Refusal::BadProof)?;
        if head != seen
            && let Err(error) = memory.remember(origin, note)
        {
            // What a later start finds may be older than what was just looked at, or not: nothing is cosigned on such a memory.
            output::failure(&error.context("what was seen could not be written; this witness ends"));
            std::process::exit(1);
        }
        Ok(self.cosigner.cosign(&head_text(note), clock::now()))
    }
}

/// The text of a note that was opened.
fn head_text(note: &str) -> String {
    let text = note.rsplit_once("\n\n").map_or(note, |(text, _)| text);
    format!("{text}\n")
}

fn failed(error: impl Into<anyhow::Error>) -> Refusal {
    output::failure(&error.into().context("this witness cannot answer"));
    Refusal::Failed
}

pub(super) fn router(witness: Arc<Witness>) -> Router {
    Router::new().route("/add-checkpoint", post(add_checkpoint)).with_state(witness)
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, body: Body) -> Response {
    let read = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, REQUEST_BYTES_MAX)).await;
    let body = match read {
        Ok(Ok(bytes)) => String::from_utf8(bytes.into()).unwrap_or_default(),
        Ok(Err(_)) => return (StatusCode::PAYLOAD_TOO_LARGE, "no checkpoint is that long\n").into_response(),
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the checkpoint did not arrive\n").into_response(),
    };
    // It waits for a disk.
    let answered = tokio::task::spawn_blocking(move || witness.add_checkpoint(&body)).await;
    match answered.unwrap_or(Err(Refusal::Failed)) {
        Ok(line) => line.into_response(),
        Err(Refusal::Malformed) => {
            (StatusCode::BAD_REQUEST, "this is not a checkpoint with its proof\n").into_response()
        }
        Err(Refusal::UnknownLog) => (StatusCode::NOT_FOUND, "this log is not known here\n").into_response(),
        Err(Refusal::UnknownKey) => (StatusCode::FORBIDDEN, "no signature is by the log's key\n").into_response(),
        Err(Refusal::Seen(size)) => {
            (StatusCode::CONFLICT, [(header::CONTENT_TYPE, "text/x.tlog.size")], format!("{size}\n")).into_response()
        }
        Err(Refusal::BadProof) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "the log did not grow into this\n").into_response()
        }
        Err(Refusal::Failed) => (StatusCode::INTERNAL_SERVER_ERROR, "this witness is out of order\n").into_response(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use attestation::ReceiptKey;
    use credits::merkle::{LogTree, consistency_proof, leaf_hash};
    use tlog::{NoteSigner, witnessed};

    use super::*;

    fn key(seed: u8) -> ReceiptKey {
        ReceiptKey::from_seed(&[seed; 32]).unwrap()
    }

    fn log(name: &str) -> NoteSigner {
        NoteSigner::new(name, key(7)).unwrap()
    }

    fn witness(dir: &std::path::Path) -> Witness {
        let logs = vec![log("a.example/log").public().clone(), log("b.example/log").public().clone()];
        Witness::new(
            Cosigner::new("w.example", key(8)).unwrap(),
            logs,
            Memory::open(dir, ["a.example/log", "b.example/log"]).unwrap(),
        )
    }

    fn tree(leaves: &[u8]) -> LogTree {
        let mut tree = LogTree::new();
        leaves.iter().for_each(|leaf| tree.append(leaf_hash(&[*leaf])));
        tree
    }

    fn request(signer: &NoteSigner, tree: &LogTree, old: u64) -> String {
        let proof = consistency_proof(old, tree.size(), |level, at| tree.node(level, at).ok_or(())).unwrap();
        let hashes: String = proof.iter().map(|hash| format!("{}\n", STANDARD.encode(hash.0))).collect();
        let head = Checkpoint { size: tree.size(), root: tree.root() };
        format!("old {old}\n{hashes}\n{}", head.sign(signer))
    }

    #[test]
    fn a_log_only_grows_also_across_restarts() {
        let dir = tempfile::tempdir().unwrap();
        Memory::begin(dir.path()).unwrap();
        let (a, b) = (log("a.example/log"), log("b.example/log"));
        let (small, large, fork) = (tree(b"123"), tree(b"1234567"), tree(b"12x45678"));
        let first = witness(dir.path());
        let line = first.add_checkpoint(&request(&a, &small, 0)).unwrap();
        let note = request(&a, &small, 0).split_once("\n\n").unwrap().1.to_owned();
        witnessed(&format!("{note}{line}"), &[first.cosigner.public().clone()], 1).unwrap();
        assert!(first.add_checkpoint(&request(&a, &small, 3)).is_ok(), "the same again");
        assert_eq!(first.add_checkpoint(&request(&a, &small, 0)), Err(Refusal::Seen(3)));
        assert!(Memory::open(dir.path(), []).is_err(), "one process at a time");
        drop(first);
        let second = witness(dir.path());
        assert!(second.add_checkpoint(&request(&a, &large, 3)).is_ok());
        for old in [0, 3] {
            assert_eq!(second.add_checkpoint(&request(&a, &small, old)), Err(Refusal::Seen(7)), "back");
            assert_eq!(second.add_checkpoint(&request(&a, &fork, old)), Err(Refusal::Seen(7)));
        }
        assert_eq!(second.add_checkpoint(&request(&a, &fork, 7)), Err(Refusal::BadProof));
        let same_size = tree(b"12x4567");
        assert_eq!(second.add_checkpoint(&request(&a, &same_size, 7)), Err(Refusal::Seen(7)));
        assert!(second.add_checkpoint(&request(&b, &fork, 0)).is_ok(), "another log has its own state");
        assert_eq!(
            Memory::seen(dir.path()).unwrap(),
            [("a.example/log".to_owned(), 7), ("b.example/log".to_owned(), 8)]
        );
    }

    #[test]
    fn what_is_not_the_log_s_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        Memory::begin(dir.path()).unwrap();
        let (witness, tree) = (witness(dir.path()), tree(b"123"));
        let good = request(&log("a.example/log"), &tree, 0);
        assert_eq!(witness.add_checkpoint(&request(&log("c.example/log"), &tree, 0)), Err(Refusal::UnknownLog));
        let namesake = NoteSigner::new("a.example/log", key(9)).unwrap();
        assert_eq!(witness.add_checkpoint(&request(&namesake, &tree, 0)), Err(Refusal::UnknownKey));
        for bad in [
            String::new(),
            good.replace("old 0\n", ""),
            good.replace("old 0", "old 00"),
            good.replace("old 0", "old -1"),
            good.replace("old 0", "old 4"),
            good.replace("old 0\n", "old 0\nnot base64\n"),
            good.replace("old 0\n", &format!("old 0\n{}", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n".repeat(64))),
            good.replace("a.example/log\n3\n", "a.example/log\nthree\n"),
        ] {
            let refused = witness.add_checkpoint(&bad);
            assert!(matches!(refused, Err(Refusal::Malformed | Refusal::UnknownKey)), "{bad:?}: {refused:?}");
        }
        let extra = good.replace("old 0\n", "old 0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n");
        assert_eq!(witness.add_checkpoint(&extra), Err(Refusal::BadProof), "nothing to prove from nothing");
        assert!(Memory::seen(dir.path()).unwrap().iter().all(|(_, size)| *size == 0), "nothing was remembered");
        assert!(witness.add_checkpoint(&good).is_ok());
    }

    #[test]
    fn a_witness_without_its_memory_does_not_start() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Memory::open(dir.path(), []).is_err());
        Memory::begin(dir.path()).unwrap();
        let witness = witness(dir.path());
        witness.add_checkpoint(&request(&log("a.example/log"), &tree(b"123"), 0)).unwrap();
        drop(witness);
        let seen = dir.path().join("seen");
        let files = || std::fs::read_dir(&seen).unwrap().map(|file| file.unwrap().path());
        let file = files().find(|file| file.metadata().unwrap().len() > 0).unwrap();
        std::fs::rename(&file, dir.path().join("lost")).unwrap();
        let refused = Memory::open(dir.path(), ["a.example/log"]).err().unwrap().to_string();
        assert!(refused.contains("what was seen of a.example/log is gone"), "{refused}");
        std::fs::rename(dir.path().join("lost"), &file).unwrap();
        assert!(Memory::open(dir.path(), ["a.example/log", "c.example/log"]).is_ok());
        // A list of names that is too short, or torn, costs nothing that was seen.
        let known = dir.path().join("known");
        for names in ["", "b.exa", "b.example/log\na.exa"] {
            std::fs::write(&known, names).unwrap();
            let memory = Memory::open(dir.path(), ["a.example/log"]).unwrap();
            assert!(memory.newest("a.example/log").unwrap().unwrap().contains("\n3\n"), "{names:?}");
            drop(memory);
            assert!(std::fs::read_to_string(&known).unwrap().ends_with("a.example/log\n"));
        }
    }
}
