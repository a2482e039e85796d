//! A strict reader of DER values (X.690), for what no certificate library reads: OCSP responses and DICE extensions.
//!
//! Decides: that tags have one byte, that lengths are definite and as short as possible, and that nothing is read past
//! the end. Trusts nothing on entry.

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;

/// `[number]` with its content constructed.
pub(crate) const fn constructed(number: u8) -> u8 {
    0xa0 | number
}

/// `[number]` with its content primitive.
pub(crate) const fn primitive(number: u8) -> u8 {
    0x80 | number
}

/// One value: its tag, its content, and the bytes of both with the length between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
}

/// The values not yet read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Der<'a> {
    rest: &'a [u8],
}

impl<'a> Der<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Option<()> {
        self.is_empty().then_some(())
    }

    /// The next value, whatever it is.
    pub(crate) fn any(&mut self) -> Option<Value<'a>> {
        const HIGH_TAG_NUMBER: u8 = 0x1f;
        let (tag, after_tag) = self.rest.split_first()?;
        if tag & HIGH_TAG_NUMBER == HIGH_TAG_NUMBER {
            return None;
        }
        let (length, after_length) = length(after_tag)?;
        let (content, rest) = after_length.split_at_checked(length)?;
        let whole = self.rest.get(..self.rest.len().checked_sub(rest.len())?)?;
        self.rest = rest;
        Some(Value { tag: *tag, content, whole })
    }

    /// The content of the next value, which must have this tag.
    pub(crate) fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let value = ahead.any().filter(|value| value.tag == tag)?;
        *self = ahead;
        Some(value.content)
    }

    /// The values inside the next value, which must have this tag.
    pub(crate) fn inside(&mut self, tag: u8) -> Option<Der<'a>> {
        self.content(tag).map(Der::new)
    }

    /// The only value, which must have this tag.
    pub(crate) fn only(&mut self, tag: u8) -> Option<&'a [u8]> {
        let content = self.content(tag)?;
        self.end()?;
        Some(content)
    }
}

/// A definite length in its shortest form, and what follows it.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    const LONG: u8 = 0x80;
    const BYTES_MAX: u8 = 3;
    let (first, rest) = bytes.split_first()?;
    if *first < LONG {
        return Some((usize::from(*first), rest));
    }
    let count = first & !LONG;
    if count == 0 || count > BYTES_MAX {
        return None;
    }
    let (digits, rest) = rest.split_at_checked(usize::from(count))?;
    let value =
        digits.iter().try_fold(0_usize, |value, digit| value.checked_mul(256)?.checked_add(usize::from(*digit)))?;
    let shortest = digits.first() != Some(&0) && value >= usize::from(LONG);
    shortest.then_some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_definite_lengths_are_read() {
        let read = |bytes: &[u8]| Der::new(bytes).any().map(|value| value.content.len());
        assert_eq!(read(&[0x04, 0x00]), Some(0));
        assert_eq!(read(&[0x04, 0x01, 0xff, 0xff]), Some(1));
        let long = [&[0x04, 0x81, 0x80][..], &[0; 0x80]].concat();
        assert_eq!(read(&long), Some(0x80));
        assert_eq!(read(&long[..long.len() - 1]), None);
        for bad in [&[0x04][..], &[], &[0x04, 0x80], &[0x04, 0x81, 0x01, 0], &[0x04, 0x82, 0, 0x80], &[0x1f, 0x01, 0]] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_value_of_another_tag_stays_unread() {
        let mut der = Der::new(&[0x02, 0x01, 0x05]);
        assert_eq!(der.content(OCTET_STRING), None);
        assert_eq!(der.only(INTEGER), Some(&[5][..]));
        assert!(der.is_empty());
    }
}
