//! As much DER writing as AMD-shaped certificates and revocation lists need (X.690).

use attestation::UnixTime;

pub(crate) const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const IA5_STRING: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Tag, length, content.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    match content.len() {
        0..=0x7f => out.extend(length.last()),
        _ => {
            let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
            let count = u8::try_from(significant.len()).expect("invariant: a usize has at most 8 bytes");
            out.push(0x80 | count);
            out.extend(significant);
        }
    }
    out.extend_from_slice(content);
    out
}

/// A constructed value from its parts.
pub(crate) fn constructed(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(tag, &parts.concat())
}

pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    constructed(SEQUENCE, parts)
}

pub(crate) fn set(parts: &[Vec<u8>]) -> Vec<u8> {
    constructed(SET, parts)
}

/// `[number]` EXPLICIT.
pub(crate) fn explicit(number: u8, content: &[u8]) -> Vec<u8> {
    tlv(0xa0 | number, content)
}

/// A non-negative INTEGER in the fewest bytes.
pub(crate) fn integer(value: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> = value.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    if bytes.first().is_none_or(|high| *high >= 0x80) {
        bytes.insert(0, 0);
    }
    tlv(INTEGER, &bytes)
}

pub(crate) fn boolean(value: bool) -> Vec<u8> {
    tlv(BOOLEAN, &[if value { 0xff } else { 0 }])
}

pub(crate) fn bit_string(bytes: &[u8], unused_bits: u8) -> Vec<u8> {
    tlv(BIT_STRING, &[&[unused_bits], bytes].concat())
}

pub(crate) fn octet_string(bytes: &[u8]) -> Vec<u8> {
    tlv(OCTET_STRING, bytes)
}

pub(crate) fn null() -> Vec<u8> {
    tlv(NULL, &[])
}

pub(crate) fn utf8_string(text: &str) -> Vec<u8> {
    tlv(UTF8_STRING, text.as_bytes())
}

pub(crate) fn ia5_string(text: &str) -> Vec<u8> {
    tlv(IA5_STRING, text.as_bytes())
}

/// An object identifier from its arcs.
pub(crate) fn oid(arcs: &[u64]) -> Vec<u8> {
    let (first, rest) = match arcs {
        [first, second, rest @ ..] => (first * 40 + second, rest),
        _ => unreachable!("an object identifier has at least two arcs"),
    };
    let mut content = base_128(first);
    for arc in rest {
        content.extend(base_128(*arc));
    }
    tlv(OID, &content)
}

fn base_128(mut value: u64) -> Vec<u8> {
    let low_seven = |value: u64| u8::try_from(value & 0x7f).expect("invariant: seven bits fit a byte");
    let mut bytes = vec![low_seven(value)];
    value >>= 7;
    while value > 0 {
        bytes.insert(0, 0x80 | low_seven(value));
        value >>= 7;
    }
    bytes
}

/// A `Time`: UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5).
pub(crate) fn time(at: UnixTime) -> Vec<u8> {
    let (year, month, day) = civil_date(at.0 / 86_400);
    let second_of_day = at.0 % 86_400;
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    let tail = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    if year < 2050 {
        tlv(UTC_TIME, format!("{:02}{tail}", year % 100).as_bytes())
    } else {
        tlv(GENERALIZED_TIME, format!("{year:04}{tail}").as_bytes())
    }
}

/// The proleptic Gregorian date of a day counted from 1970-01-01, by stepping years and months.
pub(crate) fn civil_date(mut days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_match_x690() {
        assert_eq!(integer(0), [2, 1, 0]);
        assert_eq!(integer(0x80), [2, 2, 0, 0x80]);
        assert_eq!(oid(&[1, 2, 840, 113_549]), [6, 6, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]);
        assert_eq!(tlv(4, &[0; 0x80])[..3], [4, 0x81, 0x80]);
        assert_eq!(tlv(4, &[0; 0x100])[..4], [4, 0x82, 1, 0]);
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        let text = |secs| String::from_utf8(time(UnixTime(secs))[2..].to_vec()).unwrap();
        assert_eq!(text(0), "700101000000Z");
        assert_eq!(text(951_782_399), "000228235959Z");
        assert_eq!(text(951_782_400), "000229000000Z");
        assert_eq!(text(1_780_272_000), "260601000000Z");
        assert_eq!(text(2_524_608_000), "20500101000000Z");
    }
}
