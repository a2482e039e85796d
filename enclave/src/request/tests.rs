//! What is let through, and what is refused by its name.

use super::{Endpoint, parse};

fn code(endpoint: Endpoint, body: &str) -> (&'static str, Option<String>) {
    let problem = parse(endpoint, body.as_bytes()).unwrap_err();
    (problem.code, problem.param)
}

#[test]
fn a_prompt_is_one_text_and_its_length_bounds_its_price() {
    let body = r#"{"model":"m","prompt":["Once upon a time"],"stream":true,"logprobs":5,"stop":"\n","user":"someone"}"#;
    let request = parse(Endpoint::Completions, body.as_bytes()).unwrap();
    assert_eq!(request.forward.get("prompt").unwrap(), "Once upon a time");
    assert_eq!((request.prompt_tokens_bound, request.completion_tokens_max), (16 + 64, Some(16)), "as OpenAI");
    assert!(request.stream && !request.forward.contains_key("user"));
    assert_eq!(request.stop_bytes, 1);
    let longest = format!(r#"{{"model":"m","prompt":"a","stop":["b","{}"]}}"#, "a".repeat(256));
    assert_eq!(parse(Endpoint::Completions, longest.as_bytes()).unwrap().stop_bytes, 256);
    assert!(
        parse(Endpoint::Completions, longest.replace("\"b\"", &format!("\"{}\"", "b".repeat(257))).as_bytes()).is_err()
    );
    let (invalid, unknown) = ("request.invalid", "request.unknown_parameter");
    for (members, expected, param) in [
        ("", invalid, "prompt"),
        (r#","prompt":null"#, invalid, "prompt"),
        (r#","prompt":[]"#, invalid, "prompt"),
        (r#","prompt":"""#, invalid, "prompt"),
        (r#","prompt":"a","stop":"""#, invalid, "stop"),
        (r#","prompt":"a","stop":["a","b","c","d","e"]"#, invalid, "stop"),
        (r#","prompt":"a","stop":["a",1]"#, invalid, "stop"),
        (r#","prompt":["a","b"]"#, invalid, "prompt"),
        (r#","prompt":[1,2,3]"#, invalid, "prompt"),
        (r#","prompt":[[1,2,3]]"#, invalid, "prompt"),
        (r#","prompt":"a","logprobs":6"#, invalid, "logprobs"),
        (r#","prompt":"a","logprobs":true"#, invalid, "logprobs"),
        (r#","prompt":"a","max_tokens":0"#, invalid, "max_tokens"),
        (r#","prompt":"a","echo":true"#, unknown, "echo"),
        (r#","prompt":"a","best_of":2"#, unknown, "best_of"),
        (r#","prompt":"a","suffix":"b"#, invalid, "body"),
        (r#","prompt":"a","suffix":"b""#, unknown, "suffix"),
        (r#","prompt":"a","messages":[]"#, unknown, "messages"),
        (r#","prompt":"a","prompt_embeds":"b""#, unknown, "prompt_embeds"),
        (r#","prompt":"a","max_completion_tokens":2"#, unknown, "max_completion_tokens"),
    ] {
        let body = format!("{{\"model\":\"m\"{members}}}");
        assert_eq!(code(Endpoint::Completions, &body), (expected, Some(param.to_owned())), "{body}");
    }
}

#[test]
fn accepts_what_the_official_clients_send() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"stream":true,
        "stream_options":{"include_usage":true},"max_tokens":7,"temperature":0,"seed":7,"user":"someone"}"#;
    let request = parse(Endpoint::Chat, body.as_bytes()).unwrap();
    assert!(request.stream && request.include_usage && request.obfuscate);
    let plain = body.replace("\"include_usage\"", "\"include_obfuscation\":false,\"include_usage\"");
    assert!(!parse(Endpoint::Chat, plain.as_bytes()).unwrap().obfuscate);
    assert_eq!(request.completion_tokens_max, Some(7));
    assert!(!request.forward.contains_key("user"), "caller identity stays here");
    assert!(request.prompt_tokens_bound > 64);
}

#[test]
fn refuses_every_wrong_shape_with_the_parameter_named() {
    let invalid = "request.invalid";
    let unknown = "request.unknown_parameter";
    let table: &[(&str, &str, &str)] = &[
        ("", invalid, "body"),
        ("[]", invalid, "body"),
        (r#"{"messages":[{"role":"user","content":"x"}]}"#, invalid, "model"),
        (r#"{"model":"m"}"#, invalid, "messages"),
        (r#"{"model":"m","messages":[]}"#, invalid, "messages"),
        (r#"{"model":"m","messages":["x"]}"#, invalid, "messages[0]"),
        (r#"{"model":"m","messages":[{"role":"root","content":"x"}]}"#, invalid, "messages[0]"),
        (r#"{"model":"m","messages":[{"role":"user","content":"x","extra":1}]}"#, invalid, "messages[0]"),
        (
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://x"}}]}]}"#,
            invalid,
            "messages[0]",
        ),
        (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"stream":"yes"}"#, invalid, "stream"),
        (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":0}"#, invalid, "max_tokens"),
        (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":-1}"#, invalid, "max_tokens"),
        (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"n":5}"#, invalid, "n"),
        (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"top_logprobs":21}"#, invalid, "top_logprobs"),
        (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"top_logprobs":-1}"#, invalid, "top_logprobs"),
        (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":"hot"}"#, invalid, "temperature"),
        (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"cache_salt":"mine"}"#, unknown, "cache_salt"),
        (
            r#"{"model":"m","messages":[{"role":"user","content":"x"}],"chat_template":"{{x}}"}"#,
            unknown,
            "chat_template",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":"x"}],"stream_options":{"continuous_usage_stats":true}}"#,
            unknown,
            "stream_options.continuous_usage_stats",
        ),
    ];
    for (body, expected, param) in table {
        assert_eq!(code(Endpoint::Chat, body), (*expected, Some((*param).to_owned())), "{body}");
    }
}
