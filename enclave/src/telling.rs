//! A chat's answer in the words of another API.

use crate::chunk::EngineChoice;
use crate::messages::answer::MessageInProgress;
use crate::receipt::Metered;
use crate::responses::answer::ResponseInProgress;
use crate::said::Untold;

/// What the answer is told as.
#[derive(Debug)]
pub enum Telling {
    /// OpenAI's Responses API.
    Response(Box<ResponseInProgress>),
    /// Anthropic's Messages API.
    Message(Box<MessageInProgress>),
}

impl Telling {
    /// Takes what an event of the engine adds, or all of a plain answer; appends the events that tell it. How many bytes of what was said
    /// are told: what is not cannot be charged.
    ///
    /// # Errors
    /// [`Untold`], also when there is not one choice.
    pub fn tell(&mut self, choices: &[EngineChoice<'_>], events: &mut Vec<u8>) -> Result<u64, Untold> {
        match self {
            Self::Response(response) => response.tell(choices, events),
            Self::Message(message) => message.tell(choices, events),
        }
    }

    /// The whole answer, once a plain one was said.
    #[must_use]
    pub fn whole(self, metered: &Metered) -> String {
        match self {
            Self::Response(response) => response.whole(metered),
            Self::Message(message) => message.whole(metered),
        }
    }

    /// Appends the last events of a stream.
    pub fn end(&mut self, metered: &Metered, events: &mut Vec<u8>) {
        match self {
            Self::Response(response) => response.end(metered, events),
            Self::Message(message) => message.end(metered, events),
        }
    }
}
