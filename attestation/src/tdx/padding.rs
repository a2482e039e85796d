//! Where a quote ends. Quoting services hand out a buffer, with zeros behind the quote.

use crate::reader::Reader;

/// TEE type of a TDX quote (TDX DCAP Quote Library, appendix 3).
const TEE_TYPE_TDX: u32 = 0x81;
/// What follows version, key type and TEE type in the header.
const REST_OF_HEADER_LEN: usize = 40;
/// Lengths of the bodies of TD 1.0 and TD 1.5.
const TD_1_0_LEN: usize = 584;
const TD_1_5_LEN: usize = 648;

/// The quote without the zeros behind it: its length is the one its signature data states. Nothing when something else than zeros
/// follows, or when it is no quote. Everything else about it is for its own verification.
#[must_use]
pub fn without_padding(padded: &[u8]) -> Option<&[u8]> {
    let (mut fields, body_len) = body(padded)?;
    fields.take(body_len)?;
    let signature_len = usize::try_from(fields.u32_le()?).ok()?;
    fields.take(signature_len)?;
    let padding = fields.rest();
    let end = padded.len().checked_sub(padding.len())?;
    if padding.iter().all(|byte| *byte == 0) { padded.get(..end) } else { None }
}

/// What follows the header of a quote, and the length of the body it begins with.
pub(crate) fn body(quote: &[u8]) -> Option<(Reader<'_>, usize)> {
    let mut fields = Reader::new(quote);
    let version = fields.u16_le()?;
    let _key_type = fields.u16_le()?;
    if fields.u32_le()? != TEE_TYPE_TDX {
        return None;
    }
    fields.take(REST_OF_HEADER_LEN)?;
    match version {
        4 => Some((fields, TD_1_0_LEN)),
        5 => {
            // Both TD report bodies begin alike.
            let body_type = fields.u16_le()?;
            let body_len = match body_type {
                2 => TD_1_0_LEN,
                3 => TD_1_5_LEN,
                _ => return None,
            };
            (usize::try_from(fields.u32_le()?).ok()? == body_len).then_some((fields, body_len))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::without_padding;

    /// Captured with 70 zeros behind it; the other vector is the same quote without them.
    #[test]
    fn a_quote_ends_where_it_says_and_only_zeros_may_follow() {
        let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors");
        let captured = std::fs::read(format!("{vectors}/eventlog/dstack-quote-report/quote-report.json")).unwrap();
        let captured: serde_json::Value = serde_json::from_slice(&captured).unwrap();
        let padded = hex::decode(captured["quote"].as_str().unwrap()).unwrap();
        let exact = std::fs::read(format!("{vectors}/tdx/real/v4-emr-90c06f-dstack-verifier/quote.bin")).unwrap();
        assert_eq!((padded.len(), exact.len()), (5006, 4936));
        assert_eq!(without_padding(&padded), Some(&exact[..]));
        assert_eq!(without_padding(&exact), Some(&exact[..]));
        let mut other = padded.clone();
        *other.last_mut().unwrap() = 1;
        assert_eq!(without_padding(&other), None);
        assert!((0..exact.len()).all(|end| without_padding(&exact[..end]).is_none()));
    }
}
