//! What the engine says in a chat → a response and its events.
//!
//! On entry parts of an engine's answer, which may be hostile. On exit OpenAI's members only. An answer is a row of items: what the model
//! thought, what it says, which functions it calls. All of an item is repeated when it is done, so it is kept, within a limit.

use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::chunk::EngineChoice;
use crate::limits::{RESPONSE_BYTES_MAX, RESPONSE_ITEM_BYTES};
use crate::receipt::Metered;
use crate::responses::item::{Item, Kind};
use crate::said::{Said, SaidCall, Untold};

/// A response as it grows.
#[derive(Debug)]
pub struct ResponseInProgress {
    id: String,
    model: String,
    created: u64,
    echo: Arc<str>,
    items: Vec<Item>,
    /// Whether the last item is still being said.
    open: bool,
    /// What it takes in memory, roughly.
    bytes: usize,
    /// Bytes of text that were told.
    told: u64,
    finish_reason: Option<String>,
    begun: bool,
    sequence: u64,
}

impl ResponseInProgress {
    /// A response that says nothing yet.
    #[must_use]
    pub fn new(id: &str, model: &str, created: u64, echo: Arc<str>) -> Self {
        Self {
            id: id.to_owned(),
            model: model.to_owned(),
            created,
            echo,
            items: Vec::new(),
            open: false,
            bytes: 0,
            told: 0,
            finish_reason: None,
            begun: false,
            sequence: 0,
        }
    }

    /// The whole response, once a plain answer was said.
    #[must_use]
    pub fn whole(mut self, metered: &Metered) -> String {
        self.close(&mut Vec::new());
        self.as_json(Some(metered))
    }

    /// Takes what an event of the engine adds, or all of a plain answer; appends the events that tell it. How many bytes of what was said
    /// are told: what is not cannot be charged.
    ///
    /// # Errors
    /// [`Untold`], also when there is not one choice.
    pub fn tell(&mut self, choices: &[EngineChoice<'_>], events: &mut Vec<u8>) -> Result<u64, Untold> {
        let [choice] = choices else { return Err(Untold) };
        let said = choice.part("delta").or_else(|| choice.part("message")).ok_or(Untold)?;
        self.said(said, choice.part("finish_reason"), events)
    }

    fn said(
        &mut self,
        delta: &RawValue,
        finish_reason: Option<&RawValue>,
        events: &mut Vec<u8>,
    ) -> Result<u64, Untold> {
        let told_before = self.told;
        self.begin(events);
        let said: Said = serde_json::from_str(delta.get()).map_err(|_| Untold)?;
        for (kind, text) in
            [(Kind::Reasoning, said.reasoning.or(said.reasoning_content)), (Kind::Message, said.content)]
        {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                self.open(kind, events)?;
                self.add(&text, events)?;
            }
        }
        for (position, call) in said.tool_calls.unwrap_or_default().into_iter().enumerate() {
            let number = call.index.or_else(|| u64::try_from(position).ok()).ok_or(Untold)?;
            self.call(number, call, events)?;
        }
        if let Some(reason) = finish_reason {
            let reason: Option<String> = serde_json::from_str(reason.get()).map_err(|_| Untold)?;
            self.finish_reason = reason.or(self.finish_reason.take());
        }
        Ok(self.told.saturating_sub(told_before))
    }

    /// Appends the last events.
    pub fn end(&mut self, metered: &Metered, events: &mut Vec<u8>) {
        self.begin(events);
        self.close(events);
        self.response_event("response.completed", Some(metered), events);
    }

    fn begin(&mut self, events: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            for name in ["response.created", "response.in_progress"] {
                self.response_event(name, None, events);
            }
        }
    }

    /// Takes a piece of a call; its name and id come with its first.
    fn call(&mut self, number: u64, call: SaidCall, events: &mut Vec<u8>) -> Result<(), Untold> {
        let kind = Kind::Call(number);
        let (name, arguments) = call.function.map_or((None, None), |function| (function.name, function.arguments));
        if !self.is_open(kind) {
            // A call that was left is not taken up again.
            if self.items.iter().any(|item| item.kind == kind) {
                return Err(Untold);
            }
            let (call_id, name) = (call.id.unwrap_or_default(), name.filter(|name| !name.is_empty()).ok_or(Untold)?);
            self.told(call_id.len().saturating_add(name.len()))?;
            self.start(kind, call_id, name, events)?;
        }
        match arguments.filter(|arguments| !arguments.is_empty()) {
            Some(arguments) => self.add(&arguments, events),
            None => Ok(()),
        }
    }

    fn is_open(&self, kind: Kind) -> bool {
        self.open && self.items.last().is_some_and(|item| item.kind == kind)
    }

    fn open(&mut self, kind: Kind, events: &mut Vec<u8>) -> Result<(), Untold> {
        if self.is_open(kind) { Ok(()) } else { self.start(kind, String::new(), String::new(), events) }
    }

    fn start(&mut self, kind: Kind, call_id: String, name: String, events: &mut Vec<u8>) -> Result<(), Untold> {
        // Each costs memory, however little it says.
        self.count(RESPONSE_ITEM_BYTES)?;
        self.close(events);
        let index = self.items.len();
        let digits = self.id.strip_prefix("resp_").unwrap_or(&self.id);
        let item = Item { kind, id: format!("{}_{digits}{index}", kind.prefix()), text: String::new(), call_id, name };
        let added = json!({"output_index": index, "item": item.as_json("in_progress", true)});
        let part = json!({"item_id": item.id, "output_index": index, "content_index": 0, "part": item.part("")});
        self.items.push(item);
        self.open = true;
        self.event("response.output_item.added", added, events);
        if !matches!(kind, Kind::Call(_)) {
            self.event("response.content_part.added", part, events);
        }
        Ok(())
    }

    /// So much text is told.
    fn told(&mut self, bytes: usize) -> Result<(), Untold> {
        self.told = self.told.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.count(bytes)
    }

    fn count(&mut self, bytes: usize) -> Result<(), Untold> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > RESPONSE_BYTES_MAX { Err(Untold) } else { Ok(()) }
    }

    fn add(&mut self, text: &str, events: &mut Vec<u8>) -> Result<(), Untold> {
        self.told(text.len())?;
        let index = self.items.len().saturating_sub(1);
        let item = self.items.last_mut().ok_or(Untold)?;
        item.text.push_str(text);
        let kind = item.kind;
        let mut delta = json!({"item_id": item.id, "output_index": index, "delta": text});
        place(kind, &mut delta);
        self.event(&format!("response.{}.delta", kind.text_event()), delta, events);
        Ok(())
    }

    /// Ends the item that is being said.
    fn close(&mut self, events: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let index = self.items.len().saturating_sub(1);
        let Some(item) = self.items.last() else { return };
        let kind = item.kind;
        let whole = if matches!(kind, Kind::Call(_)) { "arguments" } else { "text" };
        let mut done = json!({"item_id": item.id, "output_index": index, whole: item.text});
        if matches!(kind, Kind::Call(_)) {
            set(&mut done, "name", json!(item.name));
        }
        place(kind, &mut done);
        let part =
            json!({"item_id": item.id, "output_index": index, "content_index": 0, "part": item.part(&item.text)});
        let item = json!({"output_index": index, "item": item.as_json("completed", false)});
        self.event(&format!("response.{}.done", kind.text_event()), done, events);
        if !matches!(kind, Kind::Call(_)) {
            self.event("response.content_part.done", part, events);
        }
        self.event("response.output_item.done", item, events);
    }

    /// Appends one event.
    fn event(&mut self, name: &str, mut members: Value, events: &mut Vec<u8>) {
        set(&mut members, "type", json!(name));
        set(&mut members, "sequence_number", json!(self.sequence));
        self.sequence = self.sequence.saturating_add(1);
        events.extend_from_slice(format!("event: {name}\ndata: {members}\n\n").as_bytes());
    }

    /// Appends an event that has the whole response in it.
    fn response_event(&mut self, name: &str, metered: Option<&Metered>, events: &mut Vec<u8>) {
        let (response, number) = (self.as_json(metered), self.sequence);
        self.sequence = self.sequence.saturating_add(1);
        let data = format!("{{\"type\":\"{name}\",\"sequence_number\":{number},\"response\":{response}}}");
        events.extend_from_slice(format!("event: {name}\ndata: {data}\n\n").as_bytes());
    }

    fn incomplete(&self) -> Option<&'static str> {
        match self.finish_reason.as_deref() {
            Some("length") => Some("max_output_tokens"),
            Some("content_filter") => Some("content_filter"),
            _ => None,
        }
    }

    fn as_json(&self, metered: Option<&Metered>) -> String {
        let incomplete = metered.and(self.incomplete());
        let status = match (metered, incomplete) {
            (None, _) => "in_progress",
            (Some(_), None) => "completed",
            (Some(_), Some(_)) => "incomplete",
        };
        let output: Vec<Value> = match metered {
            None => Vec::new(),
            Some(_) => self.items.iter().map(|item| item.as_json("completed", false)).collect(),
        };
        let response = json!({
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "model": self.model,
            "status": status,
            "error": null,
            "incomplete_details": incomplete.map(|reason| json!({"reason": reason})),
            "output": output,
            "usage": metered.map(usage),
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

/// Where in its item a text is, and OpenAI's empty list beside what is said.
fn place(kind: Kind, event: &mut Value) {
    match kind {
        Kind::Call(_) => {}
        Kind::Reasoning => set(event, "content_index", json!(0)),
        Kind::Message => {
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

    use super::{ResponseInProgress, Untold};
    use crate::limits::{RESPONSE_BYTES_MAX, RESPONSE_ITEM_BYTES};
    use crate::receipt::Metered;

    fn raw(value: &Value) -> Box<RawValue> {
        RawValue::from_string(value.to_string()).unwrap()
    }

    fn metered() -> Metered {
        Metered { prompt_tokens: 3, completion_tokens: 4, cost: credits::Credits::ZERO }
    }

    fn fresh() -> ResponseInProgress {
        ResponseInProgress::new("resp_01", "m", 7, "\"tools\":[]".into())
    }

    /// Names and members of events.
    fn told(deltas: &[Value]) -> Vec<(String, Value)> {
        let (mut response, mut events) = (fresh(), Vec::new());
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
            {"id": "c1", "function": {"name": "g", "arguments": "{}"}},
        ]});
        let whole = |message: &Value| -> Value {
            let mut response = fresh();
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
            let (mut response, mut events) = (fresh(), Vec::new());
            let told: Result<(), Untold> =
                deltas.iter().try_for_each(|delta| response.said(&raw(delta), None, &mut events).map(drop));
            assert_eq!(told, Err(Untold));
        }
    }

    #[test]
    fn only_what_is_told_counts() {
        let (mut response, mut events) = (fresh(), Vec::new());
        let mut told = |delta: Value| {
            events.clear();
            (response.said(&raw(&delta), None, &mut events).unwrap(), events.is_empty())
        };
        assert_eq!(told(json!({"content": "four"})), (4, false));
        assert_eq!(told(json!({"junk": "x".repeat(1000), "role": "assistant"})), (0, true));
        assert_eq!(told(json!({"content": "", "reasoning": null, "tool_calls": []})), (0, true));
    }
}
