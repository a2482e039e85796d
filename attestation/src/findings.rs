//! Holding genuine evidence against a policy, item by item.
//!
//! Decides: that one failed item does not hide another. Every item leaves its transcript line; the first failure is the
//! verdict, and an item the policy waives is listed.

use std::fmt;

use crate::policy::Rule;
use crate::rejection::Rejection;
use crate::transcript::Transcript;

/// Collects the outcome of every item; keeps the first failure.
pub(crate) struct Findings<'a> {
    transcript: &'a mut Transcript,
    unchecked: &'a mut Vec<&'static str>,
    first_failure: Option<Rejection>,
}

impl<'a> Findings<'a> {
    /// Nothing found yet.
    pub(crate) fn new(transcript: &'a mut Transcript, unchecked: &'a mut Vec<&'static str>) -> Self {
        Self { transcript, unchecked, first_failure: None }
    }

    /// Record a check every policy implies.
    pub(crate) fn always<E: Into<Rejection> + fmt::Display>(&mut self, id: &'static str, result: Result<String, E>) {
        if let Err(error) = self.transcript.check(id, result, Clone::clone) {
            self.first_failure.get_or_insert(error.into());
        }
    }

    /// Record an item: made when the policy asks for it, skipped and listed when the policy waives it.
    pub(crate) fn item<T: fmt::Debug, E: Into<Rejection> + fmt::Display>(
        &mut self,
        id: &'static str,
        rule: &Rule<T>,
        check: impl FnOnce(&T) -> Result<String, E>,
    ) {
        match rule {
            Rule::Check(wanted) => match check(wanted) {
                Ok(found) => self.transcript.pass(id, found),
                Err(error) => {
                    self.transcript.fail(id, format!("{error}; the policy says {}", shortened(wanted)));
                    self.first_failure.get_or_insert(error.into());
                }
            },
            Rule::Unchecked => {
                self.unchecked.push(id);
                self.transcript.skip(id, "the policy leaves it unchecked");
            }
        }
    }

    /// The first failure, if any.
    pub(crate) fn verdict(self) -> Result<(), Rejection> {
        self.first_failure.map_or(Ok(()), Err)
    }
}

/// What the policy asks for, as it is written there but for length.
fn shortened(wanted: &impl fmt::Debug) -> String {
    const CHARACTERS_MAX: usize = 200;
    let text = format!("{wanted:?}");
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
