//! PEM: the textual form certificates travel in (RFC 7468).
//!
//! Decides: whether text is certificates and nothing else. What the certificates say is decided elsewhere.

use x509_parser::pem::Pem;

use super::{ChainFault, Link};

const LABEL: &str = "CERTIFICATE";
const BEGIN: &[u8] = b"-----BEGIN";
const FIRST_LINE: &[u8] = b"-----BEGIN CERTIFICATE-----";
const LAST_LINE: &[u8] = b"-----END CERTIFICATE-----";

/// Whether bytes look like PEM rather than DER.
pub(crate) fn is_pem(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(BEGIN)
}

/// The certificates of a PEM text in their order, 1 to `maximum`, with nothing but white space (and at most one
/// terminating NUL, as in quotes) between and after them.
pub(crate) fn pem_chain(link: Link, text: &[u8], maximum: usize) -> Result<Vec<Vec<u8>>, ChainFault> {
    let malformed = || ChainFault::Malformed { link };
    let text = text.strip_suffix(&[0]).unwrap_or(text);
    let mut rest = text.trim_ascii();
    let mut chain = Vec::new();
    while !rest.is_empty() {
        let begins = [b"\n".as_slice(), b"\r\n"]
            .iter()
            .any(|end| rest.strip_prefix(FIRST_LINE).is_some_and(|rest| rest.starts_with(end)));
        if chain.len() == maximum || !begins {
            return Err(malformed());
        }
        let (pem, read) = Pem::read(std::io::Cursor::new(rest)).map_err(|_| malformed())?;
        if pem.label != LABEL {
            return Err(malformed());
        }
        let (whole, after) = rest.split_at_checked(read).ok_or_else(malformed)?;
        if !whole.trim_ascii_end().ends_with(LAST_LINE) {
            return Err(malformed());
        }
        rest = after.trim_ascii_start();
        chain.push(pem.contents);
    }
    if chain.is_empty() { Err(malformed()) } else { Ok(chain) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";

    #[test]
    fn only_certificates_and_white_space_are_a_chain() {
        let chain = |text: &str| pem_chain(Link::Pck, text.as_bytes(), 2);
        assert_eq!(chain(ONE).unwrap(), vec![vec![0, 1, 2]]);
        assert_eq!(chain(&[ONE, "\n", ONE, "\0"].concat()).unwrap().len(), 2);
        for bad in [
            String::new(),
            "x".to_owned(),
            [ONE, "x"].concat(),
            ["x", ONE].concat(),
            [ONE, ONE, ONE].concat(),
            ONE.replace("CERTIFICATE", "PRIVATE KEY"),
            ONE.replace("-----END", ""),
            ONE.replace("-----BEGIN CERTIFICATE-----\n", "-----BEGINjunk\njunk\n-----BEGIN CERTIFICATE-----\n"),
            ONE.replace("BEGIN CERTIFICATE-----", "BEGIN CERTIFICATE-----x"),
            ONE.replace("END CERTIFICATE-----", "END CERTIFICATE-----x"),
        ] {
            assert!(chain(&bad).is_err(), "{bad:?}");
        }
    }
}
