//! Samples that are taken in turns, and the lines that are made of them.

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// What a ratio should be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Goal {
    fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(most) => ratio <= most,
            Self::AtLeast(least) => ratio >= least,
        }
    }

    fn told(self, ratio: f64) -> String {
        let verdict = if self.is_met(ratio) { "met" } else { "MISSED" };
        match self {
            Self::AtMost(most) => format!("goal <= {most}: {verdict}"),
            Self::AtLeast(least) => format!("goal >= {least}: {verdict}"),
        }
    }
}

/// Time that passed, and time that this process's threads were on a processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) wall: Duration,
    pub(crate) processor: Duration,
}

impl Times {
    /// The times of one call.
    pub(crate) fn of(work: impl FnOnce()) -> Self {
        let (began, processor) = (Instant::now(), processor_time());
        work();
        Self { wall: began.elapsed(), processor: processor_time().saturating_sub(processor) }
    }

    /// Of one of `count` equal parts.
    pub(crate) fn each(self, count: usize) -> Self {
        let count = u32::try_from(count).unwrap();
        Self { wall: self.wall / count, processor: self.processor / count }
    }
}

/// User and system time of all threads so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

/// Something that is measured: it says itself what one round of it took.
pub(crate) type Work<'w> = Box<dyn FnMut() -> Times + 'w>;

/// Something whose calls are timed.
pub(crate) fn work<'w, T>(mut call: impl FnMut() -> T + 'w) -> Work<'w> {
    Box::new(move || {
        Times::of(|| {
            black_box(call());
        })
    })
}

/// Runs all in turns, once unmeasured and then `rounds` times: a neighbour that comes or goes disturbs all alike. One row for
/// each, in their order.
pub(crate) fn in_turns<const N: usize>(rounds: usize, mut works: [Work<'_>; N]) -> [Vec<Times>; N] {
    for work in &mut works {
        work();
    }
    let mut rows = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for _ in 0..rounds {
        for (work, row) in works.iter_mut().zip(&mut rows) {
            row.push(work());
        }
    }
    rows
}

/// The median, of either kind of time.
fn median(row: &[Times], of: impl Fn(&Times) -> Duration) -> f64 {
    middle(row.iter().map(|times| of(times).as_secs_f64()).collect())
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of the ratios of rounds.
fn ratio(ours: &[Times], peers: &[Times], of: impl Fn(&Times) -> Duration) -> f64 {
    let pairs = ours.iter().zip(peers);
    middle(pairs.map(|(ours, peer)| of(ours).as_secs_f64() / of(peer).as_secs_f64()).collect())
}

/// A line, as the file of numbers has it. Times are in milliseconds.
#[derive(Debug, Serialize)]
struct Line {
    subject: &'static str,
    what: String,
    milliseconds: f64,
    processor_milliseconds: f64,
    peer: Option<Peer>,
    goal: Option<Goal>,
    met: Option<bool>,
    rounds: usize,
}

#[derive(Debug, Serialize)]
struct Peer {
    name: String,
    milliseconds: f64,
    processor_milliseconds: f64,
    ratio: f64,
    processor_ratio: f64,
}

/// All that was measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    subject: &'static str,
    lines: Vec<Line>,
    skipped: Vec<String>,
}

impl Report {
    /// What the next lines are about.
    pub(crate) fn begin(&mut self, subject: &'static str) {
        self.subject = subject;
        println!("\n{subject}");
    }

    /// Ours beside a peer: the median of the ratios of rounds, and the same of processor time. Both compute and wait for nothing, so the
    /// goal is judged by processor time, of which neighbours take nothing.
    pub(crate) fn compare(&mut self, what: &str, ours: &[Times], peer: &str, peers: &[Times], goal: Option<Goal>) {
        let peer = Peer {
            name: peer.to_owned(),
            milliseconds: median(peers, |times| times.wall) * 1e3,
            processor_milliseconds: median(peers, |times| times.processor) * 1e3,
            ratio: ratio(ours, peers, |times| times.wall),
            processor_ratio: ratio(ours, peers, |times| times.processor),
        };
        let milliseconds = median(ours, |times| times.wall) * 1e3;
        let told = goal.map(|goal| format!("; {}", goal.told(peer.processor_ratio))).unwrap_or_default();
        println!(
            "  {what:<46} {milliseconds:>10.3} ms  {:>6.2} x {} ({:.3} ms; processor {:.2} x){told}",
            peer.ratio, peer.name, peer.milliseconds, peer.processor_ratio
        );
        let met = goal.map(|goal| goal.is_met(peer.processor_ratio));
        self.push(what, ours, Some(peer), goal, met);
    }

    /// How many of ours in a second, as a part of what the peer does; times are of one. The goal is judged by the time that passes: both
    /// wait for the disk.
    pub(crate) fn rate(&mut self, what: &str, ours: &[Times], peer: &str, peers: &[Times], goal: Option<Goal>) {
        let (each, each_of_peer) = (median(ours, |times| times.wall), median(peers, |times| times.wall));
        let peer = Peer {
            name: peer.to_owned(),
            milliseconds: each_of_peer * 1e3,
            processor_milliseconds: median(peers, |times| times.processor) * 1e3,
            // Of rates, not of times.
            ratio: ratio(peers, ours, |times| times.wall),
            processor_ratio: ratio(peers, ours, |times| times.processor),
        };
        let told = goal.map(|goal| format!("; {}", goal.told(peer.ratio))).unwrap_or_default();
        let processor = median(ours, |times| times.processor) * 1e6;
        println!(
            "  {what:<46} {:>10.0} /s  {:>6.2} of {} ({:.0} /s); processor {processor:.0} us each{told}",
            1.0 / each,
            peer.ratio,
            peer.name,
            1.0 / each_of_peer
        );
        let met = goal.map(|goal| goal.is_met(peer.ratio));
        self.push(what, ours, Some(peer), goal, met);
    }

    /// What has no peer.
    pub(crate) fn alone(&mut self, what: &str, row: &[Times]) {
        let (wall, processor) = (median(row, |times| times.wall) * 1e3, median(row, |times| times.processor) * 1e3);
        println!("  {what:<46} {wall:>10.3} ms  (processor {processor:.3} ms)");
        self.push(what, row, None, None, None);
    }

    fn push(&mut self, what: &str, row: &[Times], peer: Option<Peer>, goal: Option<Goal>, met: Option<bool>) {
        self.lines.push(Line {
            subject: self.subject,
            what: what.to_owned(),
            milliseconds: median(row, |times| times.wall) * 1e3,
            processor_milliseconds: median(row, |times| times.processor) * 1e3,
            peer,
            goal,
            met,
            rounds: row.len(),
        });
    }

    /// Something about the lines around it that is no time.
    pub(crate) fn note(&self, text: &str) {
        println!("  ({text})");
    }

    /// What could not be measured, and why. It is no goal that is met.
    pub(crate) fn skip(&mut self, what: &str, why: &str) {
        println!("  SKIP {what}: {why}");
        self.skipped.push(format!("{what}: {why}"));
    }

    /// Says how many goals were met. Nothing fails here: times are the machine's as much as the code's.
    pub(crate) fn end(&self) {
        let met = self.lines.iter().filter(|line| line.met == Some(true)).count();
        let missed = self.lines.iter().filter(|line| line.met == Some(false)).count();
        println!("\ngoals: {met} met, {missed} missed; {} skipped", self.skipped.len());
        for line in self.lines.iter().filter(|line| line.met == Some(false)) {
            println!("  missed: {}, {}", line.subject, line.what);
        }
    }

    /// Writes all numbers as JSON.
    pub(crate) fn write(&self, path: &std::path::Path) -> anyhow::Result<()> {
        let value = serde_json::json!({ "lines": self.lines, "skipped": self.skipped });
        let mut file = std::fs::File::create(path)?;
        serde_json::to_writer_pretty(&mut file, &value)?;
        writeln!(file)?;
        Ok(())
    }
}
