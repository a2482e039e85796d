//! What a person sees while an image is built: one line per step with its time, and a bar where there is something to count.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Reports steps on standard error; on a terminal with bars.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    step: Option<(String, Instant)>,
    started: Instant,
}

impl Default for Progress {
    fn default() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, step: None, started: Instant::now() }
    }
}

impl Progress {
    /// Begins a step and closes the one before.
    pub fn step(&mut self, name: &str) {
        self.close();
        self.step = Some((name.to_owned(), Instant::now()));
        self.bar.reset();
        self.bar.unset_length();
        self.bar.set_style(ProgressStyle::default_spinner());
        self.bar.set_message(name.to_owned());
    }

    /// The step counts bytes.
    pub fn bytes(&mut self, total: u64) {
        self.counted(total, "{msg} [{bar:30}] {bytes}/{total_bytes} {eta}");
    }

    /// The step counts things.
    pub fn things(&mut self, total: u64) {
        self.counted(total, "{msg} [{bar:30}] {pos}/{len} {eta}");
    }

    fn counted(&mut self, total: u64, template: &str) {
        self.bar.set_length(total);
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }

    /// So many more.
    pub fn advance(&mut self, by: u64) {
        self.bar.inc(by);
    }

    /// So many in all.
    pub fn reach(&mut self, position: u64) {
        self.bar.set_position(position);
    }

    /// Says what a long step is at.
    pub fn note(&mut self, text: &str) {
        self.bar.set_message(text.to_owned());
    }

    /// A line that stays.
    pub fn line(&mut self, text: &str) {
        self.bar.suspend(|| crate::output::note(text));
    }

    fn close(&mut self) {
        if let Some((name, since)) = self.step.take() {
            self.line(&format!("  {name:<34} {:>7.1} s", since.elapsed().as_secs_f64()));
        }
    }

    /// Closes the last step; the time since the first.
    pub fn finish(mut self) -> Duration {
        self.close();
        self.bar.finish_and_clear();
        self.started.elapsed()
    }
}
