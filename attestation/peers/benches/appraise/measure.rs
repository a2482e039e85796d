//! Times taken side by side: in every round each contender runs once, so that a busy machine slows all of them alike.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// The goal: not more than this times the bare signatures.
const OVER_FLOOR_MAX: f64 = 1.15;

const ROUNDS: usize = 201;

/// Something that is timed.
pub(crate) struct Contender<'a> {
    name: String,
    work: Box<dyn FnMut() + 'a>,
}

impl<'a> Contender<'a> {
    pub(crate) fn new<T>(name: &str, mut work: impl FnMut() -> T + 'a) -> Self {
        let work = Box::new(move || {
            black_box(work());
        });
        Self { name: name.to_owned(), work }
    }
}

/// Median time of each contender, in order.
fn medians(contenders: &mut [Contender<'_>]) -> Vec<Duration> {
    let mut times = vec![Vec::with_capacity(ROUNDS); contenders.len()];
    for round in 0..=ROUNDS {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            let began = Instant::now();
            (contender.work)();
            // The first round warms caches up.
            if round > 0 {
                times.push(began.elapsed());
            }
        }
    }
    times.iter_mut().map(|times| median(times)).collect()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn milliseconds(time: Duration) -> String {
    format!("{:>9.4} ms", time.as_secs_f64() * 1e3)
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "PASS" } else { "MISS" }
}

/// Ours with nothing cached and repeated; both floors; and others, measured in the same rounds or reported by a script.
pub(crate) struct Platform<'a> {
    pub(crate) title: String,
    pub(crate) cold: Contender<'a>,
    pub(crate) warm: Option<Contender<'a>>,
    pub(crate) cold_floor: Contender<'a>,
    pub(crate) warm_floor: Option<Contender<'a>>,
    pub(crate) peers: Vec<Contender<'a>>,
    pub(crate) reported: Vec<(String, Duration)>,
}

impl Platform<'_> {
    /// Measure and print.
    pub(crate) fn run(self) {
        println!("{}", self.title);
        let (has_warm, peers) = (self.warm.is_some(), self.peers.len());
        let mut all = vec![self.cold, self.cold_floor];
        all.extend(self.warm);
        all.extend(self.warm_floor);
        all.extend(self.peers);
        let times = medians(&mut all);
        let names: Vec<&str> = all.iter().map(|contender| contender.name.as_str()).collect();
        line(names[0], times[0], "");
        against_floor(names[1], times[1], times[0]);
        if has_warm {
            line(names[2], times[2], "");
            against_floor(names[3], times[3], times[2]);
        }
        let first_peer = all.len() - peers;
        for (name, time) in names.iter().zip(&times).skip(first_peer) {
            against_peer(name, *time, times[0]);
        }
        for (name, time) in &self.reported {
            against_peer(name, *time, times[0]);
        }
    }
}

fn line(name: &str, time: Duration, note: &str) {
    println!("  {name:<56} {}   {note}", milliseconds(time));
}

fn against_floor(name: &str, floor: Duration, ours: Duration) {
    let over = ratio(ours, floor);
    line(name, floor, &format!("ours is {over:.2} x   {} (goal {OVER_FLOOR_MAX} x)", verdict(over <= OVER_FLOOR_MAX)));
}

/// A peer must take longer than ours.
fn against_peer(name: &str, peer: Duration, ours: Duration) {
    let slower = ratio(peer, ours);
    line(name, peer, &format!("{slower:.2} x ours       {} (goal: ours is faster)", verdict(slower > 1.0)));
}
