//! What others notice of somebody who floods a node, and what the node keeps of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::raw;
use crate::world::World;

/// Longest an honest request may take on a busy test machine. Unloaded it takes milliseconds.
pub const HONEST_TIME: Duration = Duration::from_secs(5);

/// A percentile below this is as good as any: what is above it is compared with what it is alone.
pub const HONEST_FLOOR: Duration = Duration::from_millis(5);

/// `nice` of whoever gives way to all others.
const LEAST_PRIORITY: i32 = 19;

/// How often two percentiles are taken before one counts as too long beside the other: a test machine is busy with other things, too, and
/// the slowest requests then are theirs. A slowness that is the node's comes every time.
const TRIES: usize = 4;

/// Threads that do something to the node again and again, until this is dropped. They have what computing time others leave: where
/// attackers really are, theirs is not the node's.
#[derive(Debug)]
pub struct Attackers {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Attackers {
    /// Starts so many of them.
    pub fn start<F: Future<Output = ()>>(count: usize, attack: impl Fn() -> F + Clone + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let one = |_| {
            let (stop, attack) = (Arc::clone(&stop), attack.clone());
            std::thread::spawn(move || {
                // Of this thread alone, as Linux has it. Where it cannot be had, the attack is only stronger.
                let _ = rustix::process::setpriority_process(None, LEAST_PRIORITY);
                let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
                runtime.block_on(async {
                    while !stop.load(Ordering::Relaxed) {
                        attack().await;
                    }
                });
            })
        };
        Self { threads: (0..count).map(one).collect(), stop }
    }

    /// Lets each finish what it does.
    ///
    /// # Errors
    /// When one of them panicked.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| anyhow::anyhow!("an attacker panicked"))?;
        }
        Ok(())
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Asks whether the node is there, on a connection of its own.
///
/// # Errors
/// When it does not say so in time.
pub async fn is_served(port: u16) -> anyhow::Result<()> {
    let started = Instant::now();
    let answer = tokio::time::timeout(HONEST_TIME, raw::get(port, "/health")).await.context("in time")??;
    anyhow::ensure!(answer.status.as_u16() == 200, "{} after {:?}", answer.status, started.elapsed());
    Ok(())
}

/// The 99th percentile of what an honest request takes, over so many one after the other.
///
/// # Errors
/// When one is not served.
pub async fn honest_p99(port: u16, count: usize) -> anyhow::Result<Duration> {
    honest_percentile(port, count, 99).await
}

/// The same of another percentile.
///
/// # Errors
/// When one is not served.
pub async fn honest_percentile(port: u16, count: usize, percent: usize) -> anyhow::Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..count {
        let began = Instant::now();
        is_served(port).await?;
        times.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    times.sort_unstable();
    times.get(times.len() * percent / 100).copied().context("at least one request")
}

/// Takes a percentile of what an honest request takes `alone` and `beside` something else, until the second is at most twice the first; what
/// was found, to be printed.
///
/// # Errors
/// When the second is more than twice the first (or than [`HONEST_FLOOR`]) each time.
pub async fn at_most_twice(
    mut alone: impl AsyncFnMut() -> anyhow::Result<Duration>,
    mut beside: impl AsyncFnMut() -> anyhow::Result<Duration>,
) -> anyhow::Result<String> {
    let mut found = String::new();
    for _ in 0..TRIES {
        let (alone, beside) = (alone().await?, beside().await?);
        found = format!("{found}{alone:?} alone, {beside:?} beside; ");
        if beside <= 2 * alone.max(HONEST_FLOOR) {
            return Ok(found);
        }
    }
    anyhow::bail!(found)
}

/// Resident memory of the guardian, in KiB.
///
/// # Errors
/// When none runs.
pub fn resident_kib(world: &World) -> anyhow::Result<u64> {
    let pid = world.guardian_pid().context("no guardian runs")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
