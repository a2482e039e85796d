//! The description of the API that `GET /openapi.json` gives. Tests hold it against the route table and the allow-lists, and send
//! requests made from it.

use serde_json::Value;

use crate::config::EngineConfig;
use crate::endpoint::Endpoint;

/// All that some node has.
const DOCUMENT: &str = include_str!("openapi.json");

/// The document, for a node with this engine: its model, and the endpoints that it serves.
#[must_use]
pub fn document(engine: &EngineConfig) -> String {
    let name = Value::String(engine.model.clone()).to_string();
    let all = DOCUMENT.replace("\"MODEL\"", &name);
    let Ok(mut document) = serde_json::from_str::<Value>(&all) else { return all };
    if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) {
        for endpoint in Endpoint::ALL {
            if !engine.makes.serves(endpoint) {
                paths.remove(endpoint.path());
            }
        }
    }
    document.to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::{DOCUMENT, document};
    use crate::config::EngineConfig;
    use crate::endpoint::Endpoint;
    use crate::request;

    fn parsed() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    fn of_engine(makes: &str) -> Value {
        let engine = json!({"dialect": "vllm", "makes": makes, "socket": "/run/engine.sock", "model": "a \"model\"",
            "weights": format!("sha256:{}", "00".repeat(32)), "context_tokens_max": 1});
        let engine: EngineConfig = serde_json::from_value(engine).unwrap();
        serde_json::from_str(&document(&engine)).unwrap()
    }

    #[test]
    fn it_names_the_model_that_is_served_and_what_it_serves() {
        for (makes, has, has_not) in
            [("text", Endpoint::Responses, Endpoint::Embeddings), ("embeddings", Endpoint::Embeddings, Endpoint::Chat)]
        {
            let document = of_engine(makes);
            assert_eq!(document.pointer("/components/schemas/Model/enum").unwrap(), &json!(["a \"model\""]));
            let paths = document.get("paths").unwrap();
            assert!(paths.get(has.path()).is_some() && paths.get(has_not.path()).is_none(), "{makes}");
        }
    }

    #[test]
    fn it_describes_every_route_and_no_other() {
        let table = [include_str!("routes.rs"), include_str!("sealed/ohttp.rs")].concat();
        let mut routes: BTreeSet<String> =
            Endpoint::ALL.into_iter().map(|endpoint| format!("post {}", endpoint.path())).collect();
        for line in table.lines().filter_map(|line| line.trim().strip_prefix(".route(")) {
            let path = line.split('"').nth(1).unwrap();
            let method = if line.contains("post(") { "post" } else { "get" };
            routes.insert(format!("{method} {path}"));
        }
        let document = parsed();
        let paths = document.get("paths").and_then(Value::as_object).unwrap();
        let described: BTreeSet<String> = paths
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
            })
            .collect();
        assert_eq!(routes, described);
        assert!(routes.len() > 10);
    }

    #[test]
    fn it_has_the_members_that_are_allowed_and_no_others() {
        let document = parsed();
        let schemas = [
            (Endpoint::Chat, "ChatRequest"),
            (Endpoint::Completions, "TextRequest"),
            (Endpoint::Responses, "ResponsesRequest"),
            (Endpoint::Messages, "MessagesRequest"),
            (Endpoint::Embeddings, "EmbeddingsRequest"),
        ];
        for (endpoint, schema) in schemas {
            let properties = document.pointer(&format!("/components/schemas/{schema}/properties")).unwrap();
            let described: BTreeSet<&str> = properties.as_object().unwrap().keys().map(String::as_str).collect();
            let allowed: BTreeSet<&str> = request::members(endpoint).into_iter().collect();
            assert_eq!(described, allowed, "{schema}");
        }
    }
}
