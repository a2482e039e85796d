//! Length-prefixed strings for everything hashed or signed that is not JSON (protocol.md §1).
//!
//! Holds on exit: two different field lists never have the same bytes, because every field carries its length.

/// `lp(tag) ‖ lp(field) ‖ …`, built field by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lp(Vec<u8>);

impl Lp {
    /// Start with the tag that names what is being hashed or signed.
    #[must_use]
    pub fn new(tag: &str) -> Self {
        Self(Vec::new()).bytes(tag.as_bytes())
    }

    /// Append one field.
    ///
    /// # Panics
    /// If the field is longer than 4 GiB, which no caller can hold.
    #[must_use]
    pub fn bytes(mut self, field: &[u8]) -> Self {
        let length = u32::try_from(field.len()).expect("invariant: a length-prefixed field is shorter than 4 GiB");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(field);
        self
    }

    /// Append an integer as an 8-byte big-endian field.
    #[must_use]
    pub fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// The finished string.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_as_specified() {
        let bytes = Lp::new("ab").bytes(b"").u64(258).finish();
        assert_eq!(bytes, [0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 1, 2]);
    }

    #[test]
    fn moving_a_byte_between_fields_changes_the_string() {
        assert_ne!(Lp::new("t").bytes(b"ab").bytes(b"c").finish(), Lp::new("t").bytes(b"a").bytes(b"bc").finish());
    }
}
