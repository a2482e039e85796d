//! CBOR in its deterministic form (RFC 8949 §4.2.1), as much of it as signed reference values use.
//!
//! Decides: whether bytes are one item in the only form that item has: definite lengths, shortest heads, map keys in
//! bytewise order and so never twice, UTF-8 texts, nothing trailing. Depth and number of items are bounded before anything
//! is allocated. Floats, undefined and other simple values do not occur in what we read and are refused.

use crate::reader::Reader;

/// Deepest nesting read; reference values need nine levels.
const DEPTH_MAX: usize = 16;

/// Most items read from one text.
const ITEMS_MAX: usize = 65_536;

/// Why bytes are not one item in deterministic form.
pub(super) type Problem = &'static str;

/// An item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Unsigned(u64),
    /// The value is −1 − n.
    Negative(u64),
    Bytes(Vec<u8>),
    Text(String),
    Array(Vec<Value>),
    /// Pairs, in any order when encoded and in key order when decoded.
    Map(Vec<(Value, Value)>),
    Tag(u64, Box<Value>),
    Bool(bool),
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn tag(number: u64, value: Self) -> Self {
        Self::Tag(number, Box::new(value))
    }

    /// A map with small numbers as keys.
    pub(super) fn numbered<const N: usize>(pairs: [(u64, Self); N]) -> Self {
        Self::Map(pairs.into_iter().map(|(key, value)| (Self::Unsigned(key), value)).collect())
    }

    /// The value under a small number; `None` too when this is no map.
    pub(super) fn get(&self, key: u64) -> Option<&Self> {
        let Self::Map(pairs) = self else { return None };
        pairs.iter().find(|(known, _)| *known == Self::Unsigned(key)).map(|(_, value)| value)
    }

    pub(super) fn as_unsigned(&self) -> Option<u64> {
        if let Self::Unsigned(number) = self { Some(*number) } else { None }
    }

    pub(super) fn as_bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    pub(super) fn as_tagged(&self, number: u64) -> Option<&Self> {
        if let Self::Tag(got, value) = self { (*got == number).then_some(value) } else { None }
    }

    /// The deterministic form.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Unsigned(number) => head(out, 0, *number),
            Self::Negative(number) => head(out, 1, *number),
            Self::Bytes(bytes) => {
                head(out, 2, length(bytes.len()));
                out.extend_from_slice(bytes);
            }
            Self::Text(text) => {
                head(out, 3, length(text.len()));
                out.extend_from_slice(text.as_bytes());
            }
            Self::Array(items) => {
                head(out, 4, length(items.len()));
                items.iter().for_each(|item| item.write(out));
            }
            Self::Map(pairs) => {
                head(out, 5, length(pairs.len()));
                let mut pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.encode(), value)).collect();
                pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
                for (key, value) in pairs {
                    out.extend_from_slice(&key);
                    value.write(out);
                }
            }
            Self::Tag(number, value) => {
                head(out, 6, *number);
                value.write(out);
            }
            Self::Bool(value) => out.push(if *value { TRUE } else { FALSE }),
        }
    }

    /// Read one item and nothing else.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Problem> {
        let mut decoder = Decoder { fields: Reader::new(bytes), items: 0 };
        let value = decoder.item(0)?;
        if decoder.fields.is_empty() { Ok(value) } else { Err("bytes follow the item") }
    }
}

const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;

fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Major type and argument, in the fewest bytes.
fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let bytes = argument.to_be_bytes();
    let [.., b4, b5, b6, b7] = bytes;
    let major = major << 5;
    match argument {
        0..=23 => out.push(major | b7),
        24..=0xff => out.extend([major | 24, b7]),
        0x100..=0xffff => out.extend([major | 25, b6, b7]),
        0x1_0000..=0xffff_ffff => out.extend([major | 26, b4, b5, b6, b7]),
        _ => {
            out.push(major | 27);
            out.extend(bytes);
        }
    }
}

struct Decoder<'a> {
    fields: Reader<'a>,
    items: usize,
}

impl Decoder<'_> {
    fn item(&mut self, depth: usize) -> Result<Value, Problem> {
        if depth >= DEPTH_MAX {
            return Err("items are nested too deeply");
        }
        self.items = self.items.saturating_add(1);
        if self.items > ITEMS_MAX {
            return Err("there are too many items");
        }
        let initial = self.fields.u8().ok_or(CUT_OFF)?;
        let (major, short) = (initial >> 5, initial & 0x1f);
        if major == 7 {
            return match initial {
                FALSE => Ok(Value::Bool(false)),
                TRUE => Ok(Value::Bool(true)),
                _ => Err("a float or a simple value other than true and false occurs"),
            };
        }
        let argument = self.argument(short)?;
        match major {
            0 => Ok(Value::Unsigned(argument)),
            1 => Ok(Value::Negative(argument)),
            2 => Ok(Value::Bytes(self.string(argument)?.to_vec())),
            3 => {
                let text = std::str::from_utf8(self.string(argument)?).map_err(|_| "a text is not UTF-8")?;
                Ok(Value::text(text))
            }
            // A count is no promise: each item takes at least a byte, and is read before it is kept.
            4 => (0..argument).map(|_| self.item(depth + 1)).collect::<Result<_, _>>().map(Value::Array),
            5 => self.map(argument, depth),
            _ => Ok(Value::tag(argument, self.item(depth + 1)?)),
        }
    }

    fn argument(&mut self, short: u8) -> Result<u64, Problem> {
        let (value, least) = match short {
            0..=23 => return Ok(u64::from(short)),
            24 => (self.fields.u8().map(u64::from), 24),
            25 => (self.fields.u16_be().map(u64::from), 0x100),
            26 => (self.fields.u32_be().map(u64::from), 0x1_0000),
            27 => (self.fields.u64_be(), 0x1_0000_0000),
            _ => return Err("a length is indefinite or reserved"),
        };
        let value = value.ok_or(CUT_OFF)?;
        if value < least { Err("a number is not in its shortest form") } else { Ok(value) }
    }

    fn string(&mut self, length: u64) -> Result<&[u8], Problem> {
        usize::try_from(length).ok().and_then(|length| self.fields.take(length)).ok_or(CUT_OFF)
    }

    fn map(&mut self, count: u64, depth: usize) -> Result<Value, Problem> {
        let mut pairs = Vec::new();
        let mut last: Option<Vec<u8>> = None;
        for _ in 0..count {
            let before = self.fields.rest();
            let key = self.item(depth + 1)?;
            let used = before.len().saturating_sub(self.fields.rest().len());
            let encoded = before.get(..used).unwrap_or_default().to_vec();
            if last.as_ref().is_some_and(|last| *last >= encoded) {
                return Err("map keys are not in order, or one occurs twice");
            }
            last = Some(encoded);
            pairs.push((key, self.item(depth + 1)?));
        }
        Ok(Value::Map(pairs))
    }
}

const CUT_OFF: Problem = "an item is cut off";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(Value::Unsigned),
            any::<u64>().prop_map(Value::Negative),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
            ".{0,12}".prop_map(Value::Text),
            any::<bool>().prop_map(Value::Bool),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::btree_map(any::<u16>(), inner.clone(), 0..6).prop_map(|pairs| {
                    Value::Map(pairs.into_iter().map(|(key, value)| (Value::Unsigned(key.into()), value)).collect())
                }),
                (any::<u64>(), inner).prop_map(|(number, value)| Value::tag(number, value)),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in any_value()) {
            let bytes = value.encode();
            prop_assert_eq!(Value::decode(&bytes).unwrap().encode(), bytes);
        }

        #[test]
        fn what_is_read_is_written_the_same(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = Value::decode(&bytes) {
                prop_assert_eq!(value.encode(), bytes);
            }
        }
    }

    /// RFC 8949 appendix A, the rows this subset has.
    #[test]
    fn the_rfcs_examples() {
        let rows: &[(&str, Value)] = &[
            ("00", Value::Unsigned(0)),
            ("1818", Value::Unsigned(24)),
            ("1903e8", Value::Unsigned(1000)),
            ("1a000f4240", Value::Unsigned(1_000_000)),
            ("1b000000e8d4a51000", Value::Unsigned(1_000_000_000_000)),
            ("1bffffffffffffffff", Value::Unsigned(u64::MAX)),
            ("20", Value::Negative(0)),
            ("3903e7", Value::Negative(999)),
            ("f5", Value::Bool(true)),
            ("c11a514b67b0", Value::tag(1, Value::Unsigned(1_363_896_240))),
            ("4401020304", Value::Bytes(vec![1, 2, 3, 4])),
            ("62c3bc", Value::text("\u{fc}")),
            ("83010203", Value::Array(vec![Value::Unsigned(1), Value::Unsigned(2), Value::Unsigned(3)])),
            ("a201020304", Value::numbered([(1, Value::Unsigned(2)), (3, Value::Unsigned(4))])),
        ];
        for (text, value) in rows {
            let bytes = hex::decode(text).unwrap();
            assert_eq!(Value::decode(&bytes).as_ref(), Ok(value), "{text}");
            assert_eq!(value.encode(), bytes, "{text}");
        }
    }

    #[test]
    fn every_other_spelling_is_refused() {
        let rows = [
            ("", CUT_OFF),
            ("1817", "a number is not in its shortest form"),
            ("190018", "a number is not in its shortest form"),
            ("1a0000ffff", "a number is not in its shortest form"),
            ("1b00000000ffffffff", "a number is not in its shortest form"),
            ("5f42010243030405ff", "a length is indefinite or reserved"),
            ("9fff", "a length is indefinite or reserved"),
            ("1c", "a length is indefinite or reserved"),
            ("a203040102", "map keys are not in order, or one occurs twice"),
            ("a201020103", "map keys are not in order, or one occurs twice"),
            ("f6", "a float or a simple value other than true and false occurs"),
            ("f97e00", "a float or a simple value other than true and false occurs"),
            ("61ff", "a text is not UTF-8"),
            ("0000", "bytes follow the item"),
            ("5bffffffffffffffff00", CUT_OFF),
            ("9bffffffffffffffff00", CUT_OFF),
            ("81818181818181818181818181818181818100", "items are nested too deeply"),
        ];
        for (text, problem) in rows {
            assert_eq!(Value::decode(&hex::decode(text).unwrap()), Err(problem), "{text}");
        }
        assert_eq!(Value::decode(&[0x80]), Ok(Value::Array(Vec::new())));
        let many = [vec![0x9a, 0, 2, 0, 0], vec![0; 0x2_0000]].concat();
        assert_eq!(Value::decode(&many), Err("there are too many items"));
    }
}
