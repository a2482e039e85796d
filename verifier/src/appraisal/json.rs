//! Which of the JSON documents of evidence a file is.
//!
//! Decides: which parser reads it. The parser decides whether it is one.

use serde_json::{Map, Value};

/// Whether this is Azure's vTPM evidence, bare or wrapped.
pub(super) fn is_vtpm(bytes: &[u8]) -> bool {
    let Ok(object) = serde_json::from_slice::<Map<String, Value>>(bytes) else { return false };
    let inner = object.get("evidence").and_then(Value::as_object).unwrap_or(&object);
    inner.contains_key("hcl_report") || inner.contains_key("tpm_quote")
}
