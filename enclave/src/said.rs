//! What an engine says in a chat, as far as it is told in another form: text, thoughts, calls.

use serde::Deserialize;

/// It cannot be told in another form.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not what an engine says in a chat")]
pub struct Untold;

/// A message of the assistant, or what was added to one.
#[derive(Debug, Deserialize)]
pub struct Said {
    /// Text.
    pub content: Option<String>,
    /// Thoughts, as vLLM calls them now …
    pub reasoning: Option<String>,
    /// … and as it did, and llama.cpp does.
    pub reasoning_content: Option<String>,
    /// Calls of functions.
    pub tool_calls: Option<Vec<SaidCall>>,
}

/// A call of a function, or a piece of one.
#[derive(Debug, Deserialize)]
pub struct SaidCall {
    /// Which call, in a stream.
    pub index: Option<u64>,
    /// Comes with its first piece.
    pub id: Option<String>,
    /// Name and arguments.
    pub function: Option<SaidFunction>,
}

/// Name and arguments, or a piece of those.
#[derive(Debug, Deserialize)]
pub struct SaidFunction {
    /// Comes with the first piece.
    pub name: Option<String>,
    /// JSON, in pieces.
    pub arguments: Option<String>,
}
