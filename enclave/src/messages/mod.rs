//! Anthropic's Messages API, as a form of chat: [`request`] turns what is asked into a chat request, [`answer`] turns what the engine
//! says into a message and its events (docs/decisions/0024).

pub mod answer;
pub mod request;
