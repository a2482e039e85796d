//! What an engine says, as far as the guardian reads it: answers and events of both dialects.
//!
//! On entry JSON of an engine, which may be hostile. On exit its counts, and choices with OpenAI's members only, as they came: engines
//! add members of their own, some of which (token ids, timings) tell more than was asked. Nothing is copied that is only passed on.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Number;
use serde_json::value::RawValue;

use crate::inference::Usage;
use crate::limits::CHOICES_MAX;

/// A plain answer, or one event of a stream.
#[derive(Debug, Deserialize)]
pub struct EngineChunk<'a> {
    #[serde(borrow, default, deserialize_with = "few_choices")]
    choices: Vec<EngineChoice<'a>>,
    usage: Option<Counts>,
    timings: Option<Timings>,
    error: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Counts {
    prompt_tokens: Option<Number>,
    completion_tokens: Option<Number>,
}

/// llama.cpp's counts, which each of its events has.
#[derive(Debug, Deserialize)]
struct Timings {
    prompt_n: Option<Number>,
    cache_n: Option<Number>,
    predicted_n: Option<Number>,
}

/// One choice. Its parts are passed on as they are.
#[derive(Debug, Deserialize)]
pub struct EngineChoice<'a> {
    #[serde(borrow)]
    index: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
}

/// At most as many choices as anybody may ask for, or null. More are not even read: each would cost more memory than bytes.
fn few_choices<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<EngineChoice<'de>>, D::Error> {
    struct Few;

    impl<'de> Visitor<'de> for Few {
        type Value = Vec<EngineChoice<'de>>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "at most {CHOICES_MAX} choices")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut choices = Vec::new();
            while let Some(choice) = items.next_element()? {
                if choices.len() >= usize::try_from(CHOICES_MAX).unwrap_or(0) {
                    return Err(A::Error::invalid_length(choices.len(), &self));
                }
                choices.push(choice);
            }
            Ok(choices)
        }
    }

    deserializer.deserialize_any(Few)
}

/// It is not what an engine says.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an engine's answer")]
pub struct NotAnAnswer;

fn count(number: Option<&Number>) -> Option<u64> {
    number.and_then(Number::as_u64)
}

impl<'a> EngineChunk<'a> {
    /// Reads an answer or an event.
    ///
    /// # Errors
    /// When it is not JSON of the right shape.
    pub fn parse(json: &'a [u8]) -> Result<Self, NotAnAnswer> {
        serde_json::from_slice(json).map_err(|_| NotAnAnswer)
    }

    /// Reads an event of a stream.
    ///
    /// # Errors
    /// Also when it has a line break in it, which would end the line of the event in which parts of it are passed on.
    pub fn parse_event(data: &'a str) -> Result<Self, NotAnAnswer> {
        if data.contains(['\n', '\r']) { Err(NotAnAnswer) } else { Self::parse(data.as_bytes()) }
    }

    /// Whether it says that the engine failed.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.error.is_some()
    }

    /// Its choices.
    #[must_use]
    pub fn choices(&self) -> &[EngineChoice<'a>] {
        &self.choices
    }

    /// Whether it has `usage`, which a stream has at its end.
    #[must_use]
    pub fn has_usage(&self) -> bool {
        self.usage.is_some()
    }

    /// Token counts: `usage` of both dialects, or llama.cpp's per-token timings.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let counts = |counts: &Counts| {
            let (prompt_tokens, completion_tokens) =
                (count(counts.prompt_tokens.as_ref())?, count(counts.completion_tokens.as_ref())?);
            Some(Usage { prompt_tokens, completion_tokens })
        };
        self.usage.as_ref().and_then(counts).or_else(|| {
            let timings = self.timings.as_ref()?;
            let prompt = count(timings.prompt_n.as_ref())?;
            let prompt_tokens = prompt.saturating_add(count(timings.cache_n.as_ref()).unwrap_or(0));
            Some(Usage { prompt_tokens, completion_tokens: count(timings.predicted_n.as_ref())? })
        })
    }
}

impl<'a> EngineChoice<'a> {
    /// One of its members.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&'a RawValue> {
        match name {
            "index" => self.index,
            "delta" => self.delta,
            "message" => self.message,
            "text" => self.text,
            "finish_reason" => self.finish_reason,
            "logprobs" => self.logprobs,
            _ => None,
        }
    }

    /// Whether it is finished.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finish_reason.is_some_and(|reason| reason.get().starts_with('"'))
    }
}

/// Choices on their way to the client: these members of each, `null` where it has none.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// The choices.
    pub choices: &'a [EngineChoice<'a>],
    /// The members.
    pub members: &'static [&'static str],
}

/// Those in which an engine says something.
const TEXTS: [&str; 3] = ["delta", "message", "text"];

impl Kept<'_> {
    /// Bytes of all text in them, whatever it is called: content, reasoning, arguments of tools. What the client does not get does not
    /// count.
    ///
    /// # Errors
    /// When a text in them is none, or they are nested too deeply.
    pub fn text_bytes(&self) -> Result<u64, NotAnAnswer> {
        let mut sum: u64 = 0;
        for choice in self.choices {
            for name in self.members {
                let Some(part) = choice.part(name) else { continue };
                // Every part is read as clients will read it; only some count.
                let bytes = text_bytes(part)?;
                sum = sum.saturating_add(if TEXTS.contains(name) { bytes } else { 0 });
            }
        }
        Ok(sum)
    }
}

impl Serialize for Kept<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.choices.iter().map(|choice| KeptChoice(choice, self.members)))
    }
}

struct KeptChoice<'a>(&'a EngineChoice<'a>, &'static [&'static str]);

impl Serialize for KeptChoice<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(choice, members) = self;
        let mut map = serializer.serialize_map(Some(members.len()))?;
        for name in *members {
            map.serialize_entry(name, &choice.part(name))?;
        }
        map.end()
    }
}

fn text_bytes(part: &RawValue) -> Result<u64, NotAnAnswer> {
    let mut reader = serde_json::Deserializer::from_str(part.get());
    TextBytes.deserialize(&mut reader).map_err(|_| NotAnAnswer)
}

/// Counts the bytes of all strings in a value; names of members do not count.
#[derive(Clone, Copy)]
struct TextBytes;

impl<'de> DeserializeSeed<'de> for TextBytes {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TextBytes {
    type Value = u64;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<u64, E> {
        Ok(u64::try_from(text.len()).unwrap_or(u64::MAX))
    }

    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_bool<E>(self, _: bool) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_u64<E>(self, _: u64) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_i64<E>(self, _: i64) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_f64<E>(self, _: f64) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<u64, A::Error> {
        let mut sum: u64 = 0;
        while let Some(bytes) = items.next_element_seed(self)? {
            sum = sum.saturating_add(bytes);
        }
        Ok(sum)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<u64, A::Error> {
        let mut sum: u64 = 0;
        // Names are read like texts, so that what is none is refused.
        while members.next_key_seed(self)?.is_some() {
            sum = sum.saturating_add(members.next_value_seed(self)?);
        }
        Ok(sum)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::{Value, json};

    use super::{EngineChunk, Kept, NotAnAnswer};
    use crate::inference::Usage;

    fn usage(value: &Value) -> Option<Usage> {
        EngineChunk::parse(value.to_string().as_bytes()).unwrap().usage()
    }

    #[test]
    fn reads_counts_of_both_dialects() {
        let counts = Usage { prompt_tokens: 31, completion_tokens: 4 };
        assert_eq!(usage(&json!({"usage": {"prompt_tokens": 31, "completion_tokens": 4}})), Some(counts));
        assert_eq!(usage(&json!({"timings": {"prompt_n": 30, "cache_n": 1, "predicted_n": 4}})), Some(counts));
        assert_eq!(usage(&json!({"usage": null, "choices": null})), None);
        assert_eq!(usage(&json!({"usage": {"prompt_tokens": -1, "completion_tokens": 4}})), None);
        assert_eq!(usage(&json!({"usage": {"prompt_tokens": 1.5, "completion_tokens": 4}})), None);
    }

    fn text_bytes(json: &str, members: &'static [&'static str]) -> Result<u64, NotAnAnswer> {
        Kept { choices: EngineChunk::parse(json.as_bytes()).unwrap().choices(), members }.text_bytes()
    }

    #[test]
    fn text_of_every_kind_counts_and_names_do_not_nor_what_is_not_kept() {
        let bytes = |choice: Value| {
            text_bytes(&json!({"choices": [choice]}).to_string(), &["index", "delta", "text", "logprobs"])
        };
        assert_eq!(bytes(json!({"index": 0, "delta": {"content": "four", "reasoning_content": "é"}})), Ok(6));
        let tools =
            json!({"delta": {"tool_calls": [{"function": {"arguments": "{}"}, "index": 7}]}, "logprobs": {"x": "no"}});
        assert_eq!(bytes(tools), Ok(2));
        assert_eq!(bytes(json!({"text": "a\"b\n", "logprobs": {"tokens": ["no"]}, "finish_reason": "stop"})), Ok(4));
        assert_eq!(
            bytes(json!({"message": {"content": "hidden"}, "delta": {"content": null, "refusal": true}})),
            Ok(0)
        );
    }

    #[test]
    fn members_are_kept_as_they_came_and_no_others() {
        let answer = r#"{"id": "x", "choices": [{"token_ids": [1], "delta": {"content":"\u00e9"}, "finish_reason": "stop", "index": 1e0}]}"#;
        let chunk = EngineChunk::parse(answer.as_bytes()).unwrap();
        let choice = chunk.choices().first().unwrap();
        assert!(choice.is_finished() && !chunk.is_error() && !chunk.has_usage());
        let members = &["index", "delta", "finish_reason", "logprobs"];
        let kept = serde_json::to_string(&Kept { choices: chunk.choices(), members }).unwrap();
        assert_eq!(kept, r#"[{"index":1e0,"delta":{"content":"\u00e9"},"finish_reason":"stop","logprobs":null}]"#);
    }

    #[test]
    fn what_could_break_an_event_or_its_reader_is_refused() {
        for bad in [
            "{\"choices\": [{\"delta\": {\n}}]}",
            "{\"choices\": [{\"delta\": {\"a\":\r1}}]}",
            "{\"choices\": [{\"delta\": {}, \"delta\": {}}]}",
            "{\"choices\": {}}",
            "{\"choices\": [{}, {}, {}, {}, {}]}",
            "{\"choices\": [{}]} {}",
            "[]",
            "",
        ] {
            assert!(matches!(EngineChunk::parse_event(bad), Err(NotAnAnswer)), "{bad}");
        }
        let deep = format!("{{\"choices\": [{{\"delta\": {}{}}}]}}", "[".repeat(200), "]".repeat(200));
        for unread in [r#"{"choices": [{"delta": "\ud800"}]}"#, r#"{"choices": [{"logprobs": {"\ud800": 1}}]}"#, &deep]
        {
            assert_eq!(text_bytes(unread, &["delta", "logprobs"]), Err(NotAnAnswer), "{unread}");
        }
    }
}
