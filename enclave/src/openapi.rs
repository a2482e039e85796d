//! The description of the API that `GET /openapi.json` gives. Tests hold it against the route table and the allow-lists, and send
//! requests made from it.

/// The document, for a node that serves this model.
#[must_use]
pub fn document(model: &str) -> String {
    let name = serde_json::Value::String(model.to_owned()).to_string();
    include_str!("openapi.json").replace("\"MODEL\"", &name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::document;
    use crate::endpoint::Endpoint;
    use crate::request;

    fn parsed() -> Value {
        serde_json::from_str(&document("a \"model\"")).unwrap()
    }

    #[test]
    fn it_names_the_model_that_is_served() {
        let model = parsed().pointer("/components/schemas/Model/enum").unwrap().clone();
        assert_eq!(model, serde_json::json!(["a \"model\""]));
    }

    #[test]
    fn it_describes_every_route_and_no_other() {
        let table = [include_str!("routes.rs"), include_str!("sealed/ohttp.rs")].concat();
        let mut routes = BTreeSet::new();
        for line in table.lines().filter_map(|line| line.trim().strip_prefix(".route(")) {
            let path = match line.split(['"', ',']).collect::<Vec<_>>().as_slice() {
                ["Endpoint::Chat.path()", ..] => Endpoint::Chat.path(),
                ["Endpoint::Completions.path()", ..] => Endpoint::Completions.path(),
                ["Endpoint::Responses.path()", ..] => Endpoint::Responses.path(),
                ["", path, ..] => path,
                other => panic!("{other:?}"),
            };
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
        ];
        for (endpoint, schema) in schemas {
            let properties = document.pointer(&format!("/components/schemas/{schema}/properties")).unwrap();
            let described: BTreeSet<&str> = properties.as_object().unwrap().keys().map(String::as_str).collect();
            let allowed: BTreeSet<&str> = request::members(endpoint).into_iter().collect();
            assert_eq!(described, allowed, "{schema}");
        }
    }
}
