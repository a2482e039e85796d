//! What the numbers are held against. A missed goal fails nothing: the last line counts them.

/// Goals so far.
#[derive(Default)]
pub(crate) struct Goals {
    missed: Vec<&'static str>,
    met: usize,
}

impl Goals {
    pub(crate) fn at_most(&mut self, what: &'static str, value: f64, most: f64) {
        self.judge(what, value <= most, &format!("{value:.2}, at most {most}"));
    }

    pub(crate) fn at_least(&mut self, what: &'static str, value: f64, least: f64) {
        self.judge(what, value >= least, &format!("{value:.2}, at least {least}"));
    }

    fn judge(&mut self, what: &'static str, met: bool, figures: &str) {
        println!("   goal: {what}: {figures}: {}", if met { "met" } else { "MISSED" });
        if met {
            self.met += 1;
        } else {
            self.missed.push(what);
        }
    }

    pub(crate) fn tell(&self) {
        println!("goals: {} met, {} missed", self.met, self.missed.len());
        for what in &self.missed {
            println!("  missed: {what}");
        }
    }
}
