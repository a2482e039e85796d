//! OpenAI's Responses API, as a form of chat: [`request`] turns what is asked into a chat request, [`answer`] turns what the engine says
//! into a response and its events.
//!
//! Nothing is stored, so nothing can be referred to: a conversation is sent whole each time. The same front for both engines, one of which
//! has no such API, keeps limits, prices and the allow-list in one place (docs/decisions/0022).

pub mod answer;
mod item;
pub mod request;
