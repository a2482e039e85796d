//! Somebody on the network who sees only the sizes of records tells what kind of answer passes by, and no longer with the frames
//! filled up (threat I2).

use std::sync::Arc;
use std::time::Duration;

use acceptance::payer::{CHAT, Payer};
use acceptance::scripted_engine::{self, ScriptedEngine, Step};
use acceptance::tap::Tap;
use acceptance::{World, raw};
use serde_json::json;

/// Answers of each kind from which the observer learns, and as many that he then tells apart. Enough for chance to stay below an area
/// of 0.6 by three standard deviations, when records merge at random on a busy machine.
const ANSWERS: usize = 150;

/// Enough where the kinds differ in every answer.
const ANSWERS_PLAIN: usize = 20;

/// Tokens of an answer.
const TOKENS: usize = 32;

/// Words as they are in the two kinds of text, by length: chat, and terms of a profession.
const SHORT: [&str; 8] = [" a", " to", " we", " it", " and", " you", " are", " sure"];
const LONG: [&str; 8] = [
    " carcinoma",
    " lymphoma",
    " metastasis",
    " oncologist",
    " biopsy",
    " chemotherapy",
    " remission",
    " immunotherapy",
];

/// A deterministic stream of numbers (Knuth's MMIX generator), so that a failure can be repeated.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// Time between the tokens of a prompt that asks for slow ones, and for steady ones: what is said at once leaves together, and then
/// the sizes of records tell less than an engine's usual ones.
const SLOW: Duration = Duration::from_millis(50);
const STEADY: Duration = Duration::from_millis(1);

/// The engine answers with words of the kind that the prompt's last character names, at the pace that its first word says.
fn speak(body: &serde_json::Value, numbers: &std::sync::Mutex<Numbers>) -> Vec<scripted_engine::Step> {
    let prompt = body["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
    let words = if prompt.ends_with('b') { LONG } else { SHORT };
    let mut numbers = numbers.lock().unwrap();
    let pieces: Vec<String> = (0..TOKENS).map(|_| words[numbers.below(words.len())].to_owned()).collect();
    let mut steps = scripted_engine::answer(&pieces);
    let pause = [("slow", SLOW), ("steady", STEADY)].into_iter().find(|(manner, _)| prompt.starts_with(manner));
    if let Some((_, pause)) = pause {
        steps = steps.into_iter().flat_map(|step| [step, Step::Pause(pause)]).collect();
    }
    steps
}

/// Area under the ROC curve of one number as a classifier: the chance that a `b` has more of it than an `a`, ties counting half.
fn auc(a: &[f64], b: &[f64]) -> f64 {
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| (a, b)));
    let won: f64 = pairs
        .map(|(a, b)| {
            if b > a {
                1.0
            } else if (b - a).abs() < f64::EPSILON {
                0.5
            } else {
                0.0
            }
        })
        .sum();
    won / f64::from(u32::try_from(a.len() * b.len()).unwrap())
}

/// What an observer can compute of the sizes of one answer.
fn features(sizes: &[usize]) -> Vec<f64> {
    let sizes: Vec<f64> = sizes.iter().map(|size| f64::from(u32::try_from(*size).unwrap())).collect();
    let count = f64::from(u32::try_from(sizes.len()).unwrap());
    let mean = sizes.iter().sum::<f64>() / count;
    let variance = sizes.iter().map(|size| (size - mean).powi(2)).sum::<f64>() / count;
    let mut sorted = sizes;
    sorted.sort_by(f64::total_cmp);
    let at = |part: usize| sorted[(sorted.len() - 1) * part / 4];
    vec![mean, variance, at(0), at(1), at(2), at(3), at(4), count]
}

struct Observed {
    world: World,
    _engine: ScriptedEngine,
    tap: Tap,
    payer: Payer,
    calls: usize,
}

impl Observed {
    async fn start(shaping: &'static str) -> Self {
        let mut world = tokio::task::spawn_blocking(move || {
            let mut world = World::builder().start().unwrap();
            world.kill_guardian().unwrap();
            world.kill_engine().unwrap();
            let config = std::fs::read_to_string(world.config_file()).unwrap();
            std::fs::write(world.config_file(), format!("{config}\n[shaping]\n{shaping}\n")).unwrap();
            world
        })
        .await
        .unwrap();
        let numbers = std::sync::Mutex::new(Numbers(7));
        let script = Arc::new(move |body: &serde_json::Value| speak(body, &numbers));
        let engine = ScriptedEngine::start(&world.engine_socket(), script).unwrap();
        tokio::task::block_in_place(|| world.start_guardian()).unwrap();
        let payer = Payer::new(&world, 8 * 65_536).await.unwrap();
        let tap = Tap::start(world.guardian_port()).await.unwrap();
        Self { world, _engine: engine, tap, payer, calls: 0 }
    }

    /// The sizes of the records of `count` answers of each kind, in this manner.
    async fn answers(&mut self, count: usize, obfuscate: bool, manner: &str) -> [Vec<Vec<usize>>; 2] {
        let mut seen = [Vec::new(), Vec::new()];
        let mut spend = self.payer.opened(65_536, 3600).await.unwrap();
        for number in 0..2 * count {
            let kind = number % 2;
            if number % 200 == 199 {
                // A tab's reserve lasts for a few hundred answers.
                spend = self.payer.opened(65_536, 3600).await.unwrap();
            }
            let body = json!({"model": "smollm2-135m", "max_tokens": 64, "stream": true,
                "stream_options": {"include_obfuscation": obfuscate},
                "messages": [{"role": "user", "content": format!("{manner} {}", ["a", "b"][kind])}]});
            let body = body.to_string();
            self.calls += 1;
            let headers = self.payer.chat_headers(&spend, &format!("call-{}", self.calls), body.as_bytes());
            let answer = raw::post(self.tap.port(), CHAT, &headers.pairs(), body).await.unwrap();
            assert_eq!(answer.status.as_u16(), 200, "{}", answer.json());
            let text = String::from_utf8(answer.body.to_vec()).unwrap();
            assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
            assert_eq!(text.matches("\"content\":\"").count(), TOKENS, "{text}");
            seen[kind].push(self.tap.take_records());
        }
        seen
    }

    async fn stop(self) {
        drop(tokio::task::spawn_blocking(move || drop(self.world)).await);
    }
}

/// The feature that tells the first half of the answers apart best, and how it does on the other half.
fn learnt_auc([a, b]: &[Vec<Vec<usize>>; 2]) -> f64 {
    let of = |answers: &[Vec<usize>]| answers.iter().map(|sizes| features(sizes)).collect::<Vec<_>>();
    let (a, b) = (of(a), of(b));
    let half = a.len() / 2;
    let area = |index: usize, of: std::ops::Range<usize>| {
        let column = |rows: &[Vec<f64>]| rows[of.clone()].iter().map(|row| row[index]).collect::<Vec<f64>>();
        auc(&column(&a), &column(&b))
    };
    let apart = |index: &usize| (area(*index, 0..half) - 0.5).abs();
    let best = (0..a[0].len()).max_by(|x, y| apart(x).total_cmp(&apart(y))).unwrap();
    let found = area(best, half..a.len());
    // Which kind has more of it was learnt, too.
    if area(best, 0..half) < 0.5 { 1.0 - found } else { found }
}

#[tokio::test(flavor = "multi_thread")]
async fn record_sizes_tell_two_kinds_of_answers_apart_unless_events_are_filled_up() {
    let mut observed = Observed::start("frame_bytes = 512").await;
    let plain = learnt_auc(&observed.answers(2 * ANSWERS_PLAIN, false, "steady").await);
    let filled = learnt_auc(&observed.answers(2 * ANSWERS, true, "steady").await);
    assert!(plain >= 0.9, "the observer is a good one: {plain}");
    assert!(filled <= 0.6, "{filled}");
    observed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_cadence_something_leaves_in_every_interval() {
    const FRAME: usize = 512;
    let mut observed = Observed::start("frame_bytes = 512\ncadence_millis = 10").await;
    let spend = observed.payer.opened(65_536, 3600).await.unwrap();
    let body = json!({"model": "smollm2-135m", "max_tokens": 64, "stream": true,
        "messages": [{"role": "user", "content": "slow b"}]});
    let body = body.to_string();
    let headers = observed.payer.chat_headers(&spend, "paced", body.as_bytes());
    let answer = raw::post(observed.tap.port(), CHAT, &headers.pairs(), body).await.unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    // Everything is in blocks of one size, each an event or nothing.
    assert_eq!(text.len() % FRAME, 0);
    let blocks: Vec<&str> = (0..text.len() / FRAME).map(|block| &text[block * FRAME..(block + 1) * FRAME]).collect();
    assert!(blocks.iter().all(|block| block.starts_with(": ") && block.ends_with('\n')), "{text}");
    let (events, silent): (Vec<&str>, Vec<&str>) = blocks.into_iter().partition(|block| block.contains("data: "));
    assert_eq!(events.len(), TOKENS + 2, "the tokens, the finish, the mark");
    // The engine is silent for five intervals after each token. A busy machine may skip most of them.
    assert!(silent.len() > TOKENS, "{} frames of silence", silent.len());

    // A fast engine: what is said within one interval leaves together, and as many blocks, whatever their text is.
    let fast = observed.answers(ANSWERS_PLAIN, true, "fast").await;
    let records: usize = fast.iter().flatten().map(Vec::len).sum();
    assert!(records < 2 * ANSWERS_PLAIN * TOKENS / 2, "{records} records");
    observed.stop().await;
}
