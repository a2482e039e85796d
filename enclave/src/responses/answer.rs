//! An answer in the words of OpenAI's Responses API: a row of items. All of an item is repeated when it is done.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::receipt::Metered;
use crate::responses::item;
use crate::said::Untold;
use crate::telling::{Answer, Kind, Part, Words};

/// A response as it is told.
#[derive(Debug)]
pub struct ResponseWords {
    id: String,
    model: String,
    created: u64,
    echo: Arc<str>,
    sequence: u64,
}

impl ResponseWords {
    /// Of this id and model, made at this time (Unix seconds), with these members of the request repeated.
    #[must_use]
    pub fn new(id: &str, model: &str, created: u64, echo: Arc<str>) -> Self {
        Self { id: id.to_owned(), model: model.to_owned(), created, echo, sequence: 0 }
    }

    fn digits(&self) -> &str {
        self.id.strip_prefix("resp_").unwrap_or(&self.id)
    }

    fn item_id(&self, index: usize, part: &Part) -> String {
        format!("{}_{}{index}", item::prefix(part.kind), self.digits())
    }

    /// Appends one event.
    fn event(&mut self, name: &str, mut members: Value, events: &mut Vec<u8>) {
        set(&mut members, "type", json!(name));
        set(&mut members, "sequence_number", json!(self.sequence));
        self.sequence = self.sequence.saturating_add(1);
        events.extend_from_slice(format!("event: {name}\ndata: {members}\n\n").as_bytes());
    }

    /// Appends an event that has the whole response in it.
    fn response_event(&mut self, name: &str, done: Option<(&Answer, &Metered)>, events: &mut Vec<u8>) {
        let (response, number) = (self.as_json(done), self.sequence);
        self.sequence = self.sequence.saturating_add(1);
        let data = format!("{{\"type\":\"{name}\",\"sequence_number\":{number},\"response\":{response}}}");
        events.extend_from_slice(format!("event: {name}\ndata: {data}\n\n").as_bytes());
    }

    fn as_json(&self, done: Option<(&Answer, &Metered)>) -> String {
        let incomplete = done.and_then(|(answer, _)| incomplete(answer));
        let status = match (done, incomplete) {
            (None, _) => "in_progress",
            (Some(_), None) => "completed",
            (Some(_), Some(_)) => "incomplete",
        };
        let parts = done.iter().flat_map(|(answer, _)| &answer.parts).enumerate();
        let output: Vec<Value> = parts.map(|(index, part)| item::whole(&self.item_id(index, part), part)).collect();
        let response = json!({
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "model": self.model,
            "status": status,
            "error": null,
            "incomplete_details": incomplete.map(|reason| json!({"reason": reason})),
            "output": output,
            "usage": done.map(|(_, metered)| usage(metered)),
            "store": false,
            "background": false,
            "previous_response_id": null,
            "truncation": "disabled",
        })
        .to_string();
        let members = response.strip_suffix('}').unwrap_or_default();
        format!("{members},{}}}", self.echo)
    }
}

impl Words for ResponseWords {
    fn repeats_parts(&self) -> bool {
        true
    }

    fn call_id(&self, number: u64) -> String {
        format!("call_{}{number}", self.digits())
    }

    fn arguments(&self, said: String, _is_cut: bool) -> Result<String, Untold> {
        Ok(said)
    }

    fn begin(&mut self, events: &mut Vec<u8>) {
        for name in ["response.created", "response.in_progress"] {
            self.response_event(name, None, events);
        }
    }

    fn start(&mut self, index: usize, part: &Part, events: &mut Vec<u8>) {
        let id = self.item_id(index, part);
        let added = json!({"output_index": index, "item": item::begun(&id, part)});
        self.event("response.output_item.added", added, events);
        if !matches!(part.kind, Kind::Call(_)) {
            let content = item::content(part.kind, "");
            let added = json!({"item_id": id, "output_index": index, "content_index": 0, "part": content});
            self.event("response.content_part.added", added, events);
        }
    }

    fn add(&mut self, index: usize, part: &Part, text: &str, events: &mut Vec<u8>) {
        let mut delta = json!({"item_id": self.item_id(index, part), "output_index": index, "delta": text});
        place(part.kind, &mut delta);
        self.event(&format!("response.{}.delta", item::text_event(part.kind)), delta, events);
    }

    fn close(&mut self, index: usize, part: &Part, events: &mut Vec<u8>) {
        let id = self.item_id(index, part);
        let is_call = matches!(part.kind, Kind::Call(_));
        let whole = if is_call { "arguments" } else { "text" };
        let mut done = json!({"item_id": id, "output_index": index, whole: part.text});
        if is_call {
            set(&mut done, "name", json!(part.name));
        }
        place(part.kind, &mut done);
        self.event(&format!("response.{}.done", item::text_event(part.kind)), done, events);
        if !is_call {
            let content = item::content(part.kind, &part.text);
            let done = json!({"item_id": id, "output_index": index, "content_index": 0, "part": content});
            self.event("response.content_part.done", done, events);
        }
        let done = json!({"output_index": index, "item": item::whole(&id, part)});
        self.event("response.output_item.done", done, events);
    }

    fn end(&mut self, answer: &Answer, metered: &Metered, events: &mut Vec<u8>) {
        self.response_event("response.completed", Some((answer, metered)), events);
    }

    fn whole(&self, answer: &Answer, metered: &Metered) -> String {
        self.as_json(Some((answer, metered)))
    }
}

fn incomplete(answer: &Answer) -> Option<&'static str> {
    match answer.finish_reason.as_deref() {
        Some("length") => Some("max_output_tokens"),
        Some("content_filter") => Some("content_filter"),
        _ => None,
    }
}

/// Where in its item a text is, and OpenAI's empty list beside what is said.
fn place(kind: Kind, event: &mut Value) {
    match kind {
        Kind::Call(_) => {}
        Kind::Thoughts => set(event, "content_index", json!(0)),
        Kind::Text => {
            set(event, "content_index", json!(0));
            set(event, "logprobs", json!([]));
        }
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

fn usage(metered: &Metered) -> Value {
    json!({
        "input_tokens": metered.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": metered.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": metered.prompt_tokens.saturating_add(metered.completion_tokens),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::ResponseWords;
    use crate::limits::{RESPONSE_BYTES_MAX, RESPONSE_ITEM_BYTES};
    use crate::receipt::Metered;
    use crate::said::Untold;
    use crate::telling::Telling;

    fn raw(value: &Value) -> Box<RawValue> {
        RawValue::from_string(value.to_string()).unwrap()
    }

    fn metered() -> Metered {
        Metered { prompt_tokens: 3, completion_tokens: 4, cost: credits::Credits::ZERO }
    }

    fn fresh(is_plain: bool) -> Telling {
        Telling::new(Box::new(ResponseWords::new("resp_01", "m", 7, "\"tools\":[]".into())), is_plain)
    }

    /// Names and members of events.
    fn told(deltas: &[Value]) -> Vec<(String, Value)> {
        let (mut response, mut events) = (fresh(false), Vec::new());
        for delta in deltas {
            response.said(&raw(delta), None, &mut events).unwrap();
        }
        response.said(&raw(&json!({})), Some(&raw(&json!("length"))), &mut events).unwrap();
        response.end(&metered(), &mut events);
        let text = String::from_utf8(events).unwrap();
        let event = |event: &str| {
            let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(data.get("type").unwrap(), name);
            (name.strip_prefix("response.").unwrap().to_owned(), data)
        };
        let events: Vec<_> = text.split_terminator("\n\n").map(event).collect();
        for (number, (_, data)) in events.iter().enumerate() {
            assert_eq!(data.get("sequence_number"), Some(&json!(number)));
        }
        events
    }

    #[test]
    fn thoughts_text_and_calls_are_items_one_after_the_other() {
        let call = |index: u64, id: Value, name: Value, arguments: &str| {
            let function = json!({"name": name, "arguments": arguments});
            json!({"tool_calls": [{"index": index, "id": id, "function": function}]})
        };
        let events = told(&[
            json!({"role": "assistant", "content": ""}),
            json!({"reasoning_content": "Hm."}),
            json!({"content": "Let me "}),
            json!({"content": "look."}),
            call(0, json!("c0"), json!("weather"), ""),
            call(0, Value::Null, Value::Null, "{\"a\""),
            call(0, Value::Null, Value::Null, ":1}"),
            call(1, json!("c1"), json!("time"), "{}"),
        ]);
        let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
        let expected = "created in_progress \
            output_item.added content_part.added reasoning_text.delta reasoning_text.done content_part.done output_item.done \
            output_item.added content_part.added output_text.delta output_text.delta output_text.done content_part.done output_item.done \
            output_item.added function_call_arguments.delta function_call_arguments.delta function_call_arguments.done output_item.done \
            output_item.added function_call_arguments.delta function_call_arguments.done output_item.done completed";
        assert_eq!(names, expected.split_whitespace().collect::<Vec<_>>());
        let (_, last) = events.last().unwrap();
        let response = last.get("response").unwrap();
        assert_eq!(response.pointer("/status").unwrap(), "incomplete");
        assert_eq!(response.pointer("/incomplete_details/reason").unwrap(), "max_output_tokens");
        assert_eq!(response.pointer("/usage/total_tokens").unwrap(), 7);
        let output: Vec<Value> = response.get("output").unwrap().as_array().unwrap().clone();
        let items: Vec<&str> = output.iter().map(|item| item.get("id").unwrap().as_str().unwrap()).collect();
        assert_eq!(items, ["rs_010", "msg_011", "fc_012", "fc_013"]);
        assert_eq!(output.get(1).unwrap().pointer("/content/0/text").unwrap(), "Let me look.");
        let first = output.get(2).unwrap();
        assert_eq!(
            (first.get("call_id").unwrap(), first.get("arguments").unwrap()),
            (&json!("c0"), &json!("{\"a\":1}"))
        );
    }

    #[test]
    fn a_plain_answer_has_the_same_items() {
        let message = json!({"content": "Yes.", "reasoning": "Hm.", "tool_calls": [
            {"id": "c0", "function": {"name": "f", "arguments": "{}"}},
            {"function": {"name": "g", "arguments": "{}"}},
        ]});
        let whole = |message: &Value| -> Value {
            let mut response = fresh(true);
            response.said(&raw(message), Some(&raw(&json!("tool_calls"))), &mut Vec::new()).unwrap();
            serde_json::from_str(&response.whole(&metered())).unwrap()
        };
        let response = whole(&message);
        let types: Vec<&str> = response
            .get("output")
            .unwrap()
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item.get("type").unwrap().as_str().unwrap())
            .collect();
        assert_eq!(types, ["reasoning", "message", "function_call", "function_call"]);
        let calls = [2, 3].map(|index| response.pointer(&format!("/output/{index}/call_id")).unwrap().clone());
        assert_eq!(calls, ["c0", "call_011"]);
        assert_eq!(response.get("status").unwrap(), "completed");
        let empty = whole(&json!({"content": null}));
        assert_eq!(empty.get("tools").unwrap(), &json!([]));
        assert_eq!(empty.get("output").unwrap(), &json!([]));
    }

    #[test]
    fn what_a_hostile_engine_says_is_no_response() {
        let call = |index: u64, name: Value| json!({"tool_calls": [{"index": index, "function": {"name": name, "arguments": "x"}}]});
        let long = json!({"content": "x".repeat(RESPONSE_BYTES_MAX + 1)});
        let many: Vec<Value> = (0..RESPONSE_BYTES_MAX / RESPONSE_ITEM_BYTES + 1)
            .map(|number| json!({"index": number, "function": {"name": "f"}}))
            .collect();
        let rows = [
            vec![json!({"tool_calls": many})],
            vec![call(0, json!(""))],
            vec![json!([])],
            vec![json!({"content": 1})],
            vec![json!({"tool_calls": {}})],
            vec![call(0, Value::Null)],
            vec![call(0, json!("f")), call(1, json!("g")), call(0, json!("f"))],
            vec![long],
        ];
        for deltas in rows {
            let (mut response, mut events) = (fresh(false), Vec::new());
            let told: Result<(), Untold> =
                deltas.iter().try_for_each(|delta| response.said(&raw(delta), None, &mut events).map(drop));
            assert_eq!(told, Err(Untold));
        }
    }

    #[test]
    fn only_what_is_told_counts() {
        let (mut response, mut events) = (fresh(false), Vec::new());
        let mut told = |delta: Value| {
            events.clear();
            (response.said(&raw(&delta), None, &mut events).unwrap(), events.is_empty())
        };
        assert_eq!(told(json!({"content": "four"})), (4, false));
        assert_eq!(told(json!({"junk": "x".repeat(1000), "role": "assistant"})), (0, true));
        assert_eq!(told(json!({"content": "", "reasoning": null, "tool_calls": []})), (0, true));
    }
}
