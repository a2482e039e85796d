//! RFC 8785 JSON canonicalisation, restricted to what we sign (protocol.md §1).
//!
//! Decides: the one byte string that stands for a JSON value made of objects, arrays, strings, booleans, null and
//! integers of magnitude ≤ 2^53−1. Floats are refused: their canonical form is the hard part of RFC 8785 and
//! nothing we sign has one. On exit two values have equal bytes exactly when they are equal.

use serde::Serialize;
use serde_json::{Map, Number, Value};

/// 2^53−1: the largest integer every JSON reader represents exactly (RFC 7493 §2.2).
pub const SAFE_INTEGER_MAX: u64 = 9_007_199_254_740_991;

/// Why a value has no canonical form here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JcsError {
    /// A number has a fraction or an exponent.
    #[error("a signed value may not hold a float")]
    Float,
    /// An integer is beyond ±(2^53−1).
    #[error("a signed integer may not exceed 2^53-1")]
    IntegerTooLarge,
    /// The value could not be represented as JSON at all.
    #[error("value is not representable as JSON")]
    Serialize(#[source] serde_json::Error),
}

/// The canonical bytes of `value`.
///
/// # Errors
/// Refuses floats, integers beyond 2^53−1, and types that are not JSON.
pub fn to_jcs<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, JcsError> {
    let value = serde_json::to_value(value).map_err(JcsError::Serialize)?;
    require_signable(&value)?;
    Ok(canonical_bytes(&value))
}

/// Refuse numbers outside the restricted set.
fn require_signable(value: &Value) -> Result<(), JcsError> {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
        Value::Number(number) => require_safe_integer(number),
        Value::Array(items) => items.iter().try_for_each(require_signable),
        Value::Object(members) => members.values().try_for_each(require_signable),
    }
}

fn require_safe_integer(number: &Number) -> Result<(), JcsError> {
    let magnitude = match (number.as_u64(), number.as_i64()) {
        (Some(unsigned), _) => unsigned,
        (None, Some(signed)) => signed.unsigned_abs(),
        (None, None) => return Err(JcsError::Float),
    };
    if magnitude > SAFE_INTEGER_MAX { Err(JcsError::IntegerTooLarge) } else { Ok(()) }
}

/// Write `value` canonically. The caller has excluded floats, or holds a value that cannot contain one.
pub(crate) fn canonical_bytes(value: &Value) -> Vec<u8> {
    let mut out = String::new();
    write_value(value, &mut out);
    out.into_bytes()
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => write_object(members, out),
    }
}

fn write_object(members: &Map<String, Value>, out: &mut String) {
    // RFC 8785 §3.2.3: names are ordered by their UTF-16 code units, which differs from UTF-8 order above U+D7FF.
    let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
    sorted.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
    out.push('{');
    for (position, (name, value)) in sorted.into_iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write_string(name, out);
        out.push(':');
        write_value(value, out);
    }
    out.push('}');
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        // RFC 8785 §3.2.2.2: two-character escapes where JSON has them, lowercase \u00xx for other controls.
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if u32::from(control) < 0x20 => {
                out.push_str("\\u");
                out.push_str(&format!("{:04x}", u32::from(control)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn text(value: &Value) -> String {
        String::from_utf8(to_jcs(value).unwrap()).unwrap()
    }

    #[test]
    fn rfc_8785_string_escapes() {
        // RFC 8785 §3.2.2, the `string` member of the example.
        let value: Value =
            serde_json::from_str(r#"{"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/"}"#).unwrap();
        assert_eq!(text(&value), r#"{"string":"€$\u000f\nA'B\"\\\\\"/"}"#);
        assert_eq!(text(&json!("\u{8}\u{c}\t\r\u{7f}\u{1}")), "\"\\b\\f\\t\\r\u{7f}\\u0001\"");
    }

    #[test]
    fn rfc_8785_names_sort_by_utf16_code_unit() {
        // RFC 8785 §3.2.3: U+1F600 is a surrogate pair and sorts before U+FB33, unlike in UTF-8.
        let value: Value = serde_json::from_str(
            r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
                "\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#,
        )
        .unwrap();
        let order = ["Carriage Return", "One", "Control", "Latin Small", "Euro Sign", "Emoji", "Hebrew"];
        let written = text(&value);
        let positions: Vec<usize> = order.iter().map(|name| written.find(name).unwrap()).collect();
        assert!(positions.is_sorted(), "{written}");
    }

    #[test]
    fn literals_arrays_and_integers() {
        assert_eq!(
            text(&json!([null, true, false, 0, -1, {"b": [], "a": {}}])),
            r#"[null,true,false,0,-1,{"a":{},"b":[]}]"#
        );
        assert_eq!(text(&json!(9_007_199_254_740_991_u64)), "9007199254740991");
        assert_eq!(text(&json!(-9_007_199_254_740_991_i64)), "-9007199254740991");
    }

    #[test]
    fn floats_and_unsafe_integers_are_refused() {
        for (value, unsafe_integer) in [
            (json!(1.5), false),
            (json!([{"a": 1e300}]), false),
            (json!(1.0), false),
            (json!(9_007_199_254_740_992_u64), true),
            (json!(-9_007_199_254_740_992_i64), true),
            (json!(i64::MIN), true),
            (json!(u64::MAX), true),
        ] {
            match to_jcs(&value) {
                Err(JcsError::Float) => assert!(!unsafe_integer, "{value}"),
                Err(JcsError::IntegerTooLarge) => assert!(unsafe_integer, "{value}"),
                other => panic!("{value}: {other:?}"),
            }
        }
    }

    fn arb_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_form_is_a_fixed_point(value in arb_value()) {
            let once = to_jcs(&value).unwrap();
            let reread: Value = serde_json::from_slice(&once).unwrap();
            prop_assert_eq!(&reread, &value);
            prop_assert_eq!(to_jcs(&reread).unwrap(), once);
        }
    }
}
