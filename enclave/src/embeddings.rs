//! `/v1/embeddings`: texts in, vectors out.
//!
//! On entry the members of a request, hostile, and later an engine's answer, not trusted either. On exit texts that may be forwarded and
//! whose length bounds their price, and vectors that are as many as was asked for, all of one length and all numbers. The engine is
//! always asked for bytes: they are a third of the text that numbers would be, and the same for both engines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::inference::EngineError;
use crate::limits::{EMBEDDING_INPUTS_MAX, EMBEDDING_TOKENS_PER_INPUT, TEMPLATE_TOKENS_BASE};
use crate::problem::Problem;
use crate::request::invalid;

/// How the engine is asked, and how a client may ask.
pub const BASE64: &str = "base64";
/// How clients ask that say nothing.
const FLOAT: &str = "float";

/// Members of a request: `model`, those that are read here, and those that are dropped.
pub const MEMBERS: &[&str] = &["model", "input", "encoding_format", "user", "provider", "cloister_tab"];

/// The texts, as a list, and the form of the answer; what they can cost in tokens at most.
pub fn take(members: &Map<String, Value>) -> Result<(Map<String, Value>, u64), Problem> {
    let format = match members.get("encoding_format") {
        None | Some(Value::Null) => FLOAT,
        Some(format) => [FLOAT, BASE64]
            .into_iter()
            .find(|known| format == known)
            .ok_or_else(|| invalid("encoding_format", "must be float or base64"))?,
    };
    let texts = match members.get("input") {
        Some(Value::Array(texts)) => texts.as_slice(),
        Some(text) => std::slice::from_ref(text),
        None => &[],
    };
    if texts.is_empty() || texts.len() > EMBEDDING_INPUTS_MAX {
        return Err(invalid("input", format!("is required: a text, or a list of 1 to {EMBEDDING_INPUTS_MAX} texts")));
    }
    // Token numbers are not taken: their text, which the price's bound is made from, is the engine's secret.
    let lengths: Option<Vec<usize>> = texts.iter().map(|text| text.as_str().map(str::len)).collect();
    let lengths = lengths.filter(|lengths| !lengths.contains(&0));
    let lengths =
        lengths.ok_or_else(|| invalid("input", "must be texts that are not empty; token numbers are not taken"))?;
    let bound = lengths.into_iter().fold(TEMPLATE_TOKENS_BASE, |bound, length| {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        bound.saturating_add(length).saturating_add(EMBEDDING_TOKENS_PER_INPUT)
    });
    let forward = [
        ("input".to_owned(), Value::Array(texts.to_vec())),
        ("encoding_format".to_owned(), Value::String(format.to_owned())),
    ];
    Ok((forward.into_iter().collect(), bound))
}

#[derive(Deserialize)]
struct Said {
    data: Vec<SaidVector>,
    usage: SaidUsage,
}

#[derive(Deserialize)]
struct SaidVector {
    index: usize,
    embedding: String,
}

#[derive(Deserialize)]
struct SaidUsage {
    prompt_tokens: u64,
}

/// The vectors of an answer, as bytes: one for each text, in the order of the texts.
#[derive(Debug, PartialEq, Eq)]
pub struct Vectors {
    bytes: Vec<Vec<u8>>,
    /// Tokens of all texts, as the engine says.
    pub prompt_tokens: u64,
}

impl Vectors {
    /// Reads what the engine said to a request with these members.
    ///
    /// # Errors
    /// [`EngineError::Malformed`] when it is not one vector for each text, all of one length and of finite numbers.
    pub fn parse(said: &[u8], asked: &Map<String, Value>) -> Result<Self, EngineError> {
        let said: Said = serde_json::from_slice(said).map_err(|_| EngineError::Malformed)?;
        let wanted = asked.get("input").and_then(Value::as_array).map_or(0, Vec::len);
        let mut bytes: Vec<Option<Vec<u8>>> = vec![None; wanted];
        for vector in said.data {
            let place = bytes.get_mut(vector.index).filter(|place| place.is_none()).ok_or(EngineError::Malformed)?;
            *place = Some(STANDARD.decode(vector.embedding).map_err(|_| EngineError::Malformed)?);
        }
        let bytes = bytes.into_iter().collect::<Option<Vec<_>>>().ok_or(EngineError::Malformed)?;
        let length = bytes.first().map_or(0, Vec::len);
        let sound = |vector: &Vec<u8>| vector.len() == length && numbers(vector).all(f32::is_finite);
        if length == 0 || length % size_of::<f32>() != 0 || !bytes.iter().all(sound) {
            return Err(EngineError::Malformed);
        }
        Ok(Self { bytes, prompt_tokens: said.usage.prompt_tokens })
    }

    /// The answer to a request with these members, of this model, at so many tokens. Nothing when it cannot be written.
    #[must_use]
    pub fn answer(&self, asked: &Map<String, Value>, model: &str, prompt_tokens: u64) -> Option<Vec<u8>> {
        let as_bytes = asked.get("encoding_format").is_some_and(|format| format == BASE64);
        let data = self.bytes.iter().enumerate().map(|(index, bytes)| Vector {
            object: "embedding",
            index,
            embedding: if as_bytes {
                Embedding::Bytes(STANDARD.encode(bytes))
            } else {
                Embedding::Numbers(numbers(bytes).collect())
            },
        });
        let usage = Usage { prompt_tokens, total_tokens: prompt_tokens };
        serde_json::to_vec(&Answer { object: "list", data: data.collect(), model, usage }).ok()
    }
}

/// Little-endian, as OpenAI's clients read them.
fn numbers(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes.chunks_exact(size_of::<f32>()).filter_map(|four| four.try_into().ok()).map(f32::from_le_bytes)
}

#[derive(Serialize)]
struct Answer<'a> {
    object: &'static str,
    data: Vec<Vector>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Vector {
    object: &'static str,
    index: usize,
    embedding: Embedding,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Embedding {
    Bytes(String),
    Numbers(Vec<f32>),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{EMBEDDING_INPUTS_MAX, Vectors, take};

    fn members(members: Value) -> Map<String, Value> {
        members.as_object().unwrap().clone()
    }

    #[test]
    fn texts_are_a_list_and_their_length_bounds_their_price() {
        let (forward, bound) = take(&members(json!({"input": "hello"}))).unwrap();
        assert_eq!(
            (Value::Object(forward), bound),
            (json!({"input": ["hello"], "encoding_format": "float"}), 5 + 3 + 64)
        );
        let (forward, bound) = take(&members(json!({"input": ["a", "bc"], "encoding_format": "base64"}))).unwrap();
        assert_eq!((forward.get("encoding_format").unwrap(), bound), (&json!("base64"), 3 + 6 + 64));
        assert!(take(&members(json!({"input": vec!["a"; EMBEDDING_INPUTS_MAX]}))).is_ok());
        for (wrong, param) in [
            (json!({}), "input"),
            (json!({"input": null}), "input"),
            (json!({"input": ""}), "input"),
            (json!({"input": []}), "input"),
            (json!({"input": ["a", ""]}), "input"),
            (json!({"input": ["a", 1]}), "input"),
            (json!({"input": [1, 2]}), "input"),
            (json!({"input": [["a"]]}), "input"),
            (json!({"input": vec!["a"; EMBEDDING_INPUTS_MAX + 1]}), "input"),
            (json!({"input": "a", "encoding_format": "int8"}), "encoding_format"),
            (json!({"input": "a", "encoding_format": 1}), "encoding_format"),
        ] {
            let problem = take(&members(wrong.clone())).unwrap_err();
            assert_eq!((problem.code, problem.param.as_deref()), ("request.invalid", Some(param)), "{wrong}");
        }
    }

    const ONE_TWO: &str = "AACAPwAAAEA=";
    const THREE_FOUR: &str = "AABAQAAAgEA=";

    fn said(first: (u64, &str), second: (u64, &str)) -> Vec<u8> {
        let one =
            |(index, embedding): (u64, &str)| json!({"object": "embedding", "index": index, "embedding": embedding});
        json!({"data": [one(first), one(second)], "usage": {"prompt_tokens": 7, "total_tokens": 7}}).to_string().into()
    }

    #[test]
    fn vectors_are_as_many_as_texts_in_their_order_and_of_numbers() {
        let mut asked = members(json!({"input": ["a", "b"], "encoding_format": "float"}));
        let vectors = Vectors::parse(&said((1, THREE_FOUR), (0, ONE_TWO)), &asked).unwrap();
        assert_eq!(vectors.prompt_tokens, 7);
        let answer: Value = serde_json::from_slice(&vectors.answer(&asked, "m", 5).unwrap()).unwrap();
        let vector =
            |index: u64, embedding: Value| json!({"object": "embedding", "index": index, "embedding": embedding});
        assert_eq!(
            answer,
            json!({"object": "list", "data": [vector(0, json!([1.0, 2.0])), vector(1, json!([3.0, 4.0]))], "model": "m",
                "usage": {"prompt_tokens": 5, "total_tokens": 5}})
        );
        asked.insert("encoding_format".to_owned(), json!("base64"));
        let answer: Value = serde_json::from_slice(&vectors.answer(&asked, "m", 5).unwrap()).unwrap();
        assert_eq!(answer.pointer("/data/1/embedding").unwrap(), THREE_FOUR);
        for wrong in [
            said((0, ONE_TWO), (0, THREE_FOUR)),
            said((0, ONE_TWO), (2, THREE_FOUR)),
            said((0, ONE_TWO), (1, "AACAPw==")),
            said((0, ""), (1, "")),
            said((0, "AAA="), (1, "AAA=")),
            said((0, ONE_TWO), (1, "no base64!")),
            said((0, ONE_TWO), (1, "AACAfwAAAEA=")),
            json!({"data": [], "usage": {"prompt_tokens": 7}}).to_string().into(),
            json!({"data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 7}}).to_string().into(),
            b"{}".to_vec(),
        ] {
            assert!(Vectors::parse(&wrong, &asked).is_err(), "{}", String::from_utf8_lossy(&wrong));
        }
    }
}
