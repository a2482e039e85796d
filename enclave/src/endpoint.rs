//! The inference endpoints of the OpenAI API, and all that differs between them.

/// Where a call came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/completions`: a prompt as it is, without a chat template.
    Completions,
}

impl Endpoint {
    /// Its path, at the guardian and at the engine.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
        }
    }

    /// How ids of answers start.
    #[must_use]
    pub fn id_prefix(self) -> &'static str {
        match self {
            Self::Chat => "chatcmpl",
            Self::Completions => "cmpl",
        }
    }

    /// What a plain answer calls itself.
    #[must_use]
    pub fn object(self) -> &'static str {
        match self {
            Self::Chat => "chat.completion",
            Self::Completions => "text_completion",
        }
    }

    /// What an event of a stream calls itself.
    #[must_use]
    pub fn chunk_object(self) -> &'static str {
        match self {
            Self::Chat => "chat.completion.chunk",
            Self::Completions => "text_completion",
        }
    }

    /// Members of a choice that OpenAI documents.
    #[must_use]
    pub fn choice_members(self) -> &'static [&'static str] {
        match self {
            Self::Chat => &["index", "message", "finish_reason", "logprobs"],
            Self::Completions => &["index", "text", "finish_reason", "logprobs"],
        }
    }

    /// The same for an event of a stream.
    #[must_use]
    pub fn chunk_choice_members(self) -> &'static [&'static str] {
        match self {
            Self::Chat => &["index", "delta", "finish_reason", "logprobs"],
            Self::Completions => &["index", "text", "finish_reason", "logprobs"],
        }
    }
}
