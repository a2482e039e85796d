//! What an engine says in a chat, as far as it is told in another form: text, thoughts, calls.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

use crate::limits::{RESPONSE_BYTES_MAX, RESPONSE_ITEM_BYTES};

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
    #[serde(default, deserialize_with = "few_calls")]
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

/// As many as an answer may have, or null. More are not even read: each would cost more memory than bytes.
fn few_calls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<SaidCall>>, D::Error> {
    struct Few;

    impl<'de> Visitor<'de> for Few {
        type Value = Option<Vec<SaidCall>>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of calls")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut calls = Vec::new();
            while let Some(call) = items.next_element()? {
                if calls.len() >= RESPONSE_BYTES_MAX / RESPONSE_ITEM_BYTES {
                    return Err(A::Error::invalid_length(calls.len(), &self));
                }
                calls.push(call);
            }
            Ok(Some(calls))
        }
    }

    deserializer.deserialize_any(Few)
}
