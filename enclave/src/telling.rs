//! A chat's answer in the words of another API.
//!
//! On entry parts of an engine's answer, which may be hostile. On exit events or one document, with members of that API only. An answer is
//! a row of parts, one after the other: what the model thought, what it says, which functions it calls. This walks the row and counts what
//! is told; how an API says it is its [`Words`].

use serde_json::value::RawValue;

use crate::chunk::EngineChoice;
use crate::limits::{RESPONSE_BYTES_MAX, RESPONSE_ITEM_BYTES};
use crate::receipt::Metered;
use crate::said::{Said, SaidCall, Untold};

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What the model thought.
    Thoughts,
    /// What it says.
    Text,
    /// A function it calls, with the engine's number of the call.
    Call(u64),
}

/// One part.
#[derive(Debug)]
pub struct Part {
    /// What it is.
    pub kind: Kind,
    /// Its text, or a call's arguments; empty when it is not kept.
    pub text: String,
    /// A call's id, which is not empty.
    pub call_id: String,
    /// A call's function.
    pub name: String,
}

/// What was said so far.
#[derive(Debug, Default)]
pub struct Answer {
    /// Its parts.
    pub parts: Vec<Part>,
    /// Why the engine ended it, once it has.
    pub finish_reason: Option<String>,
}

/// How an API tells an answer. Each call appends the events that say it.
pub trait Words: std::fmt::Debug + Send {
    /// Whether events repeat all of a part, so that its text is kept in a stream too.
    fn repeats_parts(&self) -> bool;

    /// An id for a call that the engine gave none.
    fn call_id(&self, number: u64) -> String;

    /// A whole call's arguments, as a plain answer tells them; `is_cut` when the answer was cut off, perhaps in the middle of them.
    ///
    /// # Errors
    /// [`Untold`] when the API cannot say them.
    fn arguments(&self, said: String, is_cut: bool) -> Result<String, Untold>;

    /// The answer begins.
    fn begin(&mut self, events: &mut Vec<u8>);

    /// A part begins, at this place in the row.
    fn start(&mut self, index: usize, part: &Part, events: &mut Vec<u8>);

    /// A part goes on with `text`.
    fn add(&mut self, index: usize, part: &Part, text: &str, events: &mut Vec<u8>);

    /// A part ends.
    fn close(&mut self, index: usize, part: &Part, events: &mut Vec<u8>);

    /// The answer ends.
    fn end(&mut self, answer: &Answer, metered: &Metered, events: &mut Vec<u8>);

    /// The whole answer as one document.
    fn whole(&self, answer: &Answer, metered: &Metered) -> String;
}

/// An answer as it grows.
#[derive(Debug)]
pub struct Telling {
    words: Box<dyn Words>,
    is_plain: bool,
    answer: Answer,
    /// Whether the last part is still being said.
    open: bool,
    begun: bool,
    /// What it takes in memory, roughly.
    bytes: usize,
    /// Bytes of text that were told.
    told: u64,
}

impl Telling {
    /// An answer that says nothing yet.
    #[must_use]
    pub fn new(words: Box<dyn Words>, is_plain: bool) -> Self {
        Self { words, is_plain, answer: Answer::default(), open: false, begun: false, bytes: 0, told: 0 }
    }

    /// Takes what an event of the engine adds, or all of a plain answer; appends the events that tell it. How many bytes of what was said
    /// are told: what is not cannot be charged.
    ///
    /// # Errors
    /// [`Untold`], also when there is not one choice.
    pub fn tell(&mut self, choices: &[EngineChoice<'_>], events: &mut Vec<u8>) -> Result<u64, Untold> {
        let [choice] = choices else { return Err(Untold) };
        let said = choice.part("delta").or_else(|| choice.part("message")).ok_or(Untold)?;
        self.said(said, choice.part("finish_reason"), events)
    }

    /// The same of a message, or of what was added to one.
    pub(crate) fn said(
        &mut self,
        delta: &RawValue,
        finish_reason: Option<&RawValue>,
        events: &mut Vec<u8>,
    ) -> Result<u64, Untold> {
        let told_before = self.told;
        self.begin(events);
        let said: Said = serde_json::from_str(delta.get()).map_err(|_| Untold)?;
        if let Some(reason) = finish_reason {
            let reason: Option<String> = serde_json::from_str(reason.get()).map_err(|_| Untold)?;
            self.answer.finish_reason = reason.or(self.answer.finish_reason.take());
        }
        for (kind, text) in [(Kind::Thoughts, said.reasoning.or(said.reasoning_content)), (Kind::Text, said.content)] {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                if !self.is_open(kind) {
                    self.start(kind, String::new(), String::new(), events)?;
                }
                self.add(&text, events)?;
            }
        }
        for (position, call) in said.tool_calls.unwrap_or_default().into_iter().enumerate() {
            let number = call.index.or_else(|| u64::try_from(position).ok()).ok_or(Untold)?;
            self.call(number, call, events)?;
        }
        Ok(self.told.saturating_sub(told_before))
    }

    /// The whole answer, once a plain one was said.
    #[must_use]
    pub fn whole(&self, metered: &Metered) -> String {
        self.words.whole(&self.answer, metered)
    }

    /// Appends the last events of a stream.
    pub fn end(&mut self, metered: &Metered, events: &mut Vec<u8>) {
        self.begin(events);
        self.close(events);
        self.words.end(&self.answer, metered, events);
    }

    fn begin(&mut self, events: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            self.words.begin(events);
        }
    }

    fn is_open(&self, kind: Kind) -> bool {
        self.open && self.answer.parts.last().is_some_and(|part| part.kind == kind)
    }

    /// Takes a piece of a call; its name and id come with its first.
    fn call(&mut self, number: u64, call: SaidCall, events: &mut Vec<u8>) -> Result<(), Untold> {
        let kind = Kind::Call(number);
        let (name, arguments) = call.function.map_or((None, None), |function| (function.name, function.arguments));
        if !self.is_open(kind) {
            // A call that was left is not taken up again.
            if self.answer.parts.iter().any(|part| part.kind == kind) {
                return Err(Untold);
            }
            let name = name.filter(|name| !name.is_empty()).ok_or(Untold)?;
            let call_id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(|| self.words.call_id(number));
            self.start(kind, call_id, name, events)?;
        }
        let Some(said) = arguments.filter(|arguments| !arguments.is_empty()) else { return Ok(()) };
        let is_cut = self.answer.finish_reason.as_deref() == Some("length");
        let arguments = if self.is_plain { self.words.arguments(said, is_cut)? } else { said };
        self.add(&arguments, events)
    }

    fn start(&mut self, kind: Kind, call_id: String, name: String, events: &mut Vec<u8>) -> Result<(), Untold> {
        let names = call_id.len().saturating_add(name.len());
        // Each part costs memory, however little it says, and its names are kept in any case.
        self.keep(RESPONSE_ITEM_BYTES.saturating_add(names))?;
        self.count(names);
        self.close(events);
        let part = Part { kind, text: String::new(), call_id, name };
        self.words.start(self.answer.parts.len(), &part, events);
        self.answer.parts.push(part);
        self.open = true;
        Ok(())
    }

    fn add(&mut self, text: &str, events: &mut Vec<u8>) -> Result<(), Untold> {
        self.count(text.len());
        let keeps = self.is_plain || self.words.repeats_parts();
        if keeps {
            self.keep(text.len())?;
        }
        let index = self.answer.parts.len().saturating_sub(1);
        let part = self.answer.parts.last_mut().ok_or(Untold)?;
        if keeps {
            part.text.push_str(text);
        }
        self.words.add(index, part, text, events);
        Ok(())
    }

    fn close(&mut self, events: &mut Vec<u8>) {
        let index = self.answer.parts.len().saturating_sub(1);
        if std::mem::replace(&mut self.open, false)
            && let Some(part) = self.answer.parts.last()
        {
            self.words.close(index, part, events);
        }
    }

    /// So much text is told.
    fn count(&mut self, bytes: usize) {
        self.told = self.told.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    fn keep(&mut self, bytes: usize) -> Result<(), Untold> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > RESPONSE_BYTES_MAX { Err(Untold) } else { Ok(()) }
    }
}
