//! The guardian with a clock that panics now and then, wherever the time is asked for while requests are served: what a bug there
//! would do. Usage: cloister-panicking-guardian serve --config FILE WORDS, where the last are those of the panics.
#![allow(clippy::panic, reason = "that is what it is for")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use acceptance::clock::WallClock;
use anyhow::Context;
use attestation::{Clock, UnixTime};
use enclave::config::GuardianConfig;
use enclave::{boot, hardening, telemetry};

/// One in so many questions for the time. A streamed answer asks about ten times.
const EVERY: u64 = 37;

/// These words: the guardian's own loops panic, and nothing else does.
const IN_LOOPS: &str = "in loops";

struct PanickingClock {
    asked: AtomicU64,
    /// It was time for a panic, and a loop asked.
    due: AtomicBool,
    words: String,
}

impl Clock for PanickingClock {
    fn now(&self) -> UnixTime {
        if self.words == IN_LOOPS {
            assert!(!in_a_loop(), "a loop panics");
            return WallClock.now();
        }
        if self.asked.fetch_add(1, Ordering::Relaxed) % EVERY == EVERY - 1 {
            self.due.store(true, Ordering::Relaxed);
        }
        // However often the loops ask, requests have their share.
        if self.due.load(Ordering::Relaxed) && !in_a_loop() && self.due.swap(false, Ordering::Relaxed) {
            panic!("{} in a panic", self.words);
        }
        WallClock.now()
    }
}

/// Whether one of the guardian's own loops asks: the end of one ends the process, which another test is about.
fn in_a_loop() -> bool {
    let trace = std::backtrace::Backtrace::force_capture().to_string();
    ["expiry_loop", "receipt_log"].iter().any(|name| trace.contains(name))
}

fn main() -> ExitCode {
    match hardening::harden().and_then(|()| serve()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            telemetry::fatal(&error);
            ExitCode::FAILURE
        }
    }
}

fn serve() -> anyhow::Result<()> {
    telemetry::init();
    let mut arguments = std::env::args().skip(3);
    let config: PathBuf = arguments.next().context("serve --config FILE WORDS")?.into();
    let config = GuardianConfig::load(&config)?;
    let words = arguments.next().unwrap_or_default();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let clock = Arc::new(PanickingClock { asked: AtomicU64::new(0), due: AtomicBool::new(false), words });
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(boot::run(config, clock))
}
