//! Binary HTTP messages (RFC 9292): requests as they come out of an envelope, answers as they go into one.
//!
//! On entry the bytes are hostile, though sealed: anybody can seal. On exit of [`read_request`] there is a request that the routes take as
//! if it had come by HTTP. Sections are read in place and within the limits that HTTP has here.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, StatusCode, Uri};

use crate::limits::{HEADER_BYTES_MAX, HEADERS_MAX};

/// It is not a request that may be served.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a binary HTTP request")]
pub struct NotARequest;

type Read<T> = Result<T, NotARequest>;

/// Framing indicators (RFC 9292 §3.3).
const KNOWN_LENGTH_REQUEST: u64 = 0;
const INDETERMINATE_LENGTH_REQUEST: u64 = 2;
const INDETERMINATE_LENGTH_RESPONSE: u8 = 3;

/// Takes a variable-length integer (RFC 9000 §16) off the front. `None` when it is not all there.
pub fn take_varint(input: &mut &[u8]) -> Option<u64> {
    let (first, _) = input.split_first()?;
    let (bytes, rest) = input.split_at_checked(1 << (first >> 6))?;
    *input = rest;
    let number = bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte));
    // Without the two bits that told its length.
    Some(number & (u64::MAX >> (66 - 8 * bytes.len())))
}

/// Appends a variable-length integer in its shortest form. Lengths of buffers are far below its greatest.
pub fn put_varint(number: usize, out: &mut Vec<u8>) {
    let number = u64::try_from(number).unwrap_or(u64::MAX);
    let (bytes, mark) = match number {
        0..=0x3f => (1, 0),
        0x40..=0x3fff => (2, 1),
        0x4000..=0x3fff_ffff => (4, 2),
        _ => (8, 3),
    };
    let marked = number | (mark << (8 * bytes - 2));
    out.extend_from_slice(marked.to_be_bytes().get(8 - bytes..).unwrap_or_default());
}

fn number(input: &mut &[u8]) -> Read<u64> {
    take_varint(input).ok_or(NotARequest)
}

fn take<'a>(input: &mut &'a [u8], length: u64) -> Read<&'a [u8]> {
    let (taken, rest) =
        usize::try_from(length).ok().and_then(|length| input.split_at_checked(length)).ok_or(NotARequest)?;
    *input = rest;
    Ok(taken)
}

fn prefixed<'a>(input: &mut &'a [u8]) -> Read<&'a [u8]> {
    let length = number(input)?;
    take(input, length)
}

/// Reads a request of either framing. What may be left out at the end of a message (§3.8) may be missing, and zeros may follow.
///
/// # Errors
/// [`NotARequest`].
pub fn read_request(mut input: &[u8]) -> Read<Request<Bytes>> {
    let input = &mut input;
    let known_length = match number(input)? {
        KNOWN_LENGTH_REQUEST => true,
        INDETERMINATE_LENGTH_REQUEST => false,
        _ => return Err(NotARequest),
    };
    let method = Method::from_bytes(prefixed(input)?).map_err(|_| NotARequest)?;
    if prefixed(input)? != b"https" {
        return Err(NotARequest);
    }
    // It named this node to the relay; here it says nothing.
    let _authority = prefixed(input)?;
    let path = PathAndQuery::try_from(prefixed(input)?).map_err(|_| NotARequest)?;
    if !path.as_str().starts_with('/') {
        return Err(NotARequest);
    }
    let (headers, content) = if known_length { known_length_rest(input)? } else { indeterminate_length_rest(input)? };
    if input.iter().any(|byte| *byte != 0) {
        return Err(NotARequest);
    }
    let mut request = Request::new(content.into());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(path);
    *request.headers_mut() = headers;
    Ok(request)
}

fn known_length_rest(input: &mut &[u8]) -> Read<(HeaderMap, Vec<u8>)> {
    let mut fields = prefixed(input)?;
    let mut headers = Fields::default();
    while !fields.is_empty() {
        let length = number(&mut fields)?;
        headers.add(length, &mut fields)?;
    }
    let content = if input.is_empty() { &[] } else { prefixed(input)? };
    // Trailers say nothing that is read.
    if !input.is_empty() {
        prefixed(input)?;
    }
    Ok((headers.fields, content.to_vec()))
}

fn indeterminate_length_rest(input: &mut &[u8]) -> Read<(HeaderMap, Vec<u8>)> {
    let headers = terminated_fields(input)?;
    let mut content = Vec::new();
    loop {
        if input.is_empty() {
            return Ok((headers, content));
        }
        match number(input)? {
            0 => break,
            length => content.extend_from_slice(take(input, length)?),
        }
    }
    if !input.is_empty() {
        terminated_fields(input)?;
    }
    Ok((headers, content))
}

fn terminated_fields(input: &mut &[u8]) -> Read<HeaderMap> {
    let mut fields = Fields::default();
    loop {
        match number(input)? {
            0 => return Ok(fields.fields),
            length => fields.add(length, input)?,
        }
    }
}

#[derive(Default)]
struct Fields {
    fields: HeaderMap,
    bytes: u64,
}

impl Fields {
    /// Reads a field whose name has this length.
    fn add(&mut self, name_length: u64, input: &mut &[u8]) -> Read<()> {
        let name = take(input, name_length)?;
        let value = prefixed(input)?;
        let bytes = u64::try_from(name.len().saturating_add(value.len())).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.fields.len() >= HEADERS_MAX || self.bytes > u64::from(HEADER_BYTES_MAX) {
            return Err(NotARequest);
        }
        // In lower case only, as the format has it; what begins with a colon is no name.
        let name = HeaderName::from_lowercase(name).map_err(|_| NotARequest)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| NotARequest)?;
        self.fields.append(name, value);
        Ok(())
    }
}

/// The beginning of an answer whose length is not known yet.
#[must_use]
pub fn response_head(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut out = vec![INDETERMINATE_LENGTH_RESPONSE];
    put_varint(usize::from(status.as_u16()), &mut out);
    put_fields(headers, &mut out);
    out
}

/// A part of its content. An empty one would end it, and is none.
#[must_use]
pub fn content(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().saturating_add(8));
    if !bytes.is_empty() {
        put_varint(bytes.len(), &mut out);
        out.extend_from_slice(bytes);
    }
    out
}

/// The end of the content, and of the answer.
#[must_use]
pub fn end(trailers: &HeaderMap) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(0, &mut out);
    put_fields(trailers, &mut out);
    out
}

fn put_fields(fields: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in fields {
        for part in [name.as_str().as_bytes(), value.as_bytes()] {
            put_varint(part.len(), out);
            out.extend_from_slice(part);
        }
    }
    put_varint(0, out);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn prefixed(parts: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for part in parts {
            put_varint(part.len(), &mut out);
            out.extend_from_slice(part);
        }
        out
    }

    fn known(headers: &[&[u8]], content: &[u8]) -> Vec<u8> {
        let control = prefixed(&[b"POST", b"https", b"node", b"/v1/tabs?x=1"]);
        [vec![0], control, prefixed(&[&prefixed(headers)]), prefixed(&[content])].concat()
    }

    #[test]
    fn integers_of_every_length_are_read_as_they_are_written() {
        for number in [0, 1, 0x3f, 0x40, 0x3fff, 0x4000, 0x3fff_ffff, 0x4000_0000, 0x0fff_ffff_ffff_ffff] {
            let mut bytes = Vec::new();
            put_varint(number, &mut bytes);
            let mut input = bytes.as_slice();
            assert_eq!(take_varint(&mut input), u64::try_from(number).ok());
            assert!(input.is_empty());
            assert_eq!(take_varint(&mut bytes.get(..bytes.len() - 1).unwrap()), None, "{number}");
        }
        // RFC 9000 appendix A.1; longer forms than needed are integers too.
        let vectors: [(&[u8], u64); 5] = [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ];
        for (bytes, number) in vectors {
            assert_eq!(take_varint(&mut &bytes[..]), Some(number));
        }
    }

    #[test]
    fn both_framings_give_the_same_request() {
        let control = prefixed(&[b"POST", b"https", b"node", b"/v1/tabs?x=1"]);
        let fields = prefixed(&[b"cloister-tab", b"01"]);
        let indeterminate = [vec![2], control, fields, vec![0], prefixed(&[b"ab", b"cd"]), vec![0, 0]].concat();
        for message in [known(&[b"cloister-tab", b"01"], b"abcd"), indeterminate] {
            for padding in [0, 1, 300] {
                let padded = [message.clone(), vec![0; padding]].concat();
                let request = read_request(&padded).unwrap();
                assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::POST, "/v1/tabs?x=1"));
                assert_eq!(request.headers().get("cloister-tab").unwrap(), "01");
                assert_eq!(&request.body()[..], b"abcd");
            }
        }
    }

    #[test]
    fn what_is_empty_at_the_end_may_be_left_out() {
        let control = prefixed(&[b"GET", b"https", b"", b"/health"]);
        for rest in [vec![0], vec![0, 0], vec![0, 0, 0]] {
            for framing in [0, 2] {
                let request = read_request(&[vec![framing], control.clone(), rest.clone()].concat()).unwrap();
                assert!(request.body().is_empty() && request.headers().is_empty());
            }
        }
    }

    #[test]
    fn what_http_would_refuse_is_refused() {
        let long = vec![b'a'; usize::try_from(HEADER_BYTES_MAX).unwrap()];
        let many: Vec<&[u8]> = vec![b"x"; 2 * HEADERS_MAX + 2];
        for headers in [
            vec![&b"Upper"[..], b"1"],
            vec![b":path", b"/other"],
            vec![b"a\r\nb", b"1"],
            vec![b"a", b"1\r\nb: 2"],
            vec![b"", b"1"],
            vec![b"a"],
            vec![b"a", &long],
            many,
        ] {
            assert_eq!(read_request(&known(&headers, b"")).unwrap_err(), NotARequest, "{headers:?}");
        }
        for control in [
            [&b"GET"[..], b"http", b"", b"/health"],
            [b"G T", b"https", b"", b"/health"],
            [b"GET", b"https", b"", b"health"],
            [b"GET", b"https", b"", b"/a b"],
            [b"GET", b"https", b"", b"https://other/health"],
            [b"GET", b"https", b"", b"/\r\n"],
        ] {
            let message = [vec![0], prefixed(&control), vec![0]].concat();
            assert_eq!(read_request(&message).unwrap_err(), NotARequest, "{control:?}");
        }
        for framing in [1, 3, 4, 64] {
            let mut message = known(&[], b"");
            *message.first_mut().unwrap() = framing;
            assert!(read_request(&message).is_err(), "{framing}");
        }
        assert!(read_request(&[known(&[], b""), vec![0, 0, 1]].concat()).is_err(), "padding is zeros");
    }

    #[test]
    fn nothing_cut_short_or_changed_panics() {
        let message = known(&[b"content-type", b"application/json", b"x", b""], &[b'a'; 70]);
        for length in 0..message.len() {
            let _ = read_request(message.get(..length).unwrap());
            for byte in [0, 1, 0x3f, 0x40, 0x80, 0xc0, 0xff] {
                let mut changed = message.clone();
                *changed.get_mut(length).unwrap() = byte;
                let _ = read_request(&changed);
            }
        }
    }
}
