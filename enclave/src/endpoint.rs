//! The inference endpoints, and all that differs between them.

/// Where a call came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/completions`: a prompt as it is, without a chat template.
    Completions,
    /// `POST /v1/responses`: a chat in another form.
    Responses,
    /// `POST /v1/messages`: a chat in Anthropic's form.
    Messages,
    /// `POST /v1/embeddings`.
    Embeddings,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Chat, Self::Completions, Self::Responses, Self::Messages, Self::Embeddings];

    /// Its path at the guardian.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
            Self::Embeddings => "/v1/embeddings",
        }
    }

    /// The path at the engine.
    #[must_use]
    pub fn engine_path(self) -> &'static str {
        match self {
            Self::Responses | Self::Messages => Self::Chat.path(),
            other => other.path(),
        }
    }

    /// How ids of answers start.
    #[must_use]
    pub fn id_prefix(self) -> &'static str {
        match self {
            Self::Chat => "chatcmpl-",
            Self::Completions => "cmpl-",
            Self::Responses => "resp_",
            Self::Messages => "msg_",
            Self::Embeddings => "embd-",
        }
    }

    /// What a plain answer calls itself.
    #[must_use]
    pub fn object(self) -> &'static str {
        match self {
            Self::Chat => "chat.completion",
            Self::Completions => "text_completion",
            Self::Responses => "response",
            Self::Messages => "message",
            Self::Embeddings => "list",
        }
    }

    /// What an event of a stream calls itself, where all have one name.
    #[must_use]
    pub fn chunk_object(self) -> &'static str {
        match self {
            Self::Chat => "chat.completion.chunk",
            Self::Completions => "text_completion",
            Self::Responses => "response",
            Self::Messages => "message",
            Self::Embeddings => "list",
        }
    }

    /// Members of an engine's choice that are read.
    #[must_use]
    pub fn choice_members(self) -> &'static [&'static str] {
        match self {
            Self::Chat => &["index", "message", "finish_reason", "logprobs"],
            Self::Responses | Self::Messages => &["message"],
            Self::Embeddings => &[],
            Self::Completions => &["index", "text", "finish_reason", "logprobs"],
        }
    }

    /// The same for an event of a stream.
    #[must_use]
    pub fn chunk_choice_members(self) -> &'static [&'static str] {
        match self {
            Self::Chat => &["index", "delta", "finish_reason", "logprobs"],
            Self::Responses | Self::Messages => &["delta"],
            Self::Embeddings => &[],
            Self::Completions => &["index", "text", "finish_reason", "logprobs"],
        }
    }
}
