//! Reading DER front to back, without copying (X.690).
//!
//! Decides: whether the next value has a given tag and its length in the fewest bytes. Every read is exact; `None` is
//! anything else.

/// Tags of the values that are read.
pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTETS: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
/// `[0]` EXPLICIT.
pub(crate) const CONTEXT_0: u8 = 0xa0;

/// DER still to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// All of `bytes` is to be read.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the next value has this tag.
    pub(crate) fn next_is(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    /// The content of the next value, which must have this tag.
    pub(crate) fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&[got, first], rest) = self.0.split_first_chunk::<2>()?;
        // The fewest bytes: no long form for what fits a shorter one (X.690 §10.1).
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81 => {
                let (&[low], rest) = rest.split_first_chunk::<1>()?;
                (usize::from((low >= 0x80).then_some(low)?), rest)
            }
            0x82 => {
                let (&[high, low], rest) = rest.split_first_chunk::<2>()?;
                (usize::from(u16::from_be_bytes([(high > 0).then_some(high)?, low])), rest)
            }
            0x83 => {
                let (&[high, middle, low], rest) = rest.split_first_chunk::<3>()?;
                let length = u32::from_be_bytes([0, (high > 0).then_some(high)?, middle, low]);
                (usize::try_from(length).ok()?, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (got == tag).then_some(content)
    }

    /// The next value as it stands, tag and length included.
    pub(crate) fn whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.0;
        self.value(tag)?;
        before.get(..before.len().checked_sub(self.0.len())?)
    }
}

#[cfg(test)]
mod tests {
    use super::{Der, INTEGER, OCTETS};

    #[test]
    fn only_the_shortest_length_is_read() {
        let value = |bytes: &[u8]| Der::new(bytes).value(OCTETS).map(<[u8]>::len);
        let long = |header: &[u8], length: usize| [header, &vec![7; length]].concat();
        assert_eq!(value(&[4, 0]), Some(0));
        assert_eq!(value(&long(&[4, 0x7f], 0x7f)), Some(0x7f));
        assert_eq!(value(&long(&[4, 0x81, 0x80], 0x80)), Some(0x80));
        assert_eq!(value(&long(&[4, 0x82, 1, 0], 0x100)), Some(0x100));
        assert_eq!(value(&long(&[4, 0x83, 1, 0, 0], 0x1_0000)), Some(0x1_0000));
        for bad in [
            vec![],
            vec![4],
            vec![4, 1],
            vec![INTEGER, 0],
            long(&[4, 0x81, 0x7f], 0x7f),
            long(&[4, 0x82, 0, 0x80], 0x80),
            long(&[4, 0x83, 0, 1, 0], 0x100),
            long(&[4, 0x84, 0, 1, 0, 0], 0x1_0000),
            vec![4, 0x80, 0, 0],
        ] {
            assert_eq!(value(&bad), None, "{:?}", bad.get(..4));
        }
        let mut two = Der::new(&[4, 1, 9, 2, 1, 8]);
        assert_eq!(two.whole(OCTETS), Some(&[4, 1, 9][..]));
        assert!(two.next_is(INTEGER) && !two.is_empty());
        assert_eq!(two.value(INTEGER), Some(&[8][..]));
        assert!(two.is_empty());
    }
}
