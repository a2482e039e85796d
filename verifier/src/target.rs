//! The address of a node, as a user writes it.
//!
//! Decides: which host and port to dial. Trusts on entry: the user's command line. Holds on exit: an `https` address without
//! path, user or query. The name in it routes packets; it proves nothing about who answers.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;
use http::uri::Scheme;
use rustls_pki_types::ServerName;

/// Port of a node's address that names none.
pub const PORT_DEFAULT: u16 = 443;

/// Why a text is not a node's address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetError {
    /// The text is no URL at all.
    #[error("{got:?} is not a URL")]
    NotAUrl {
        /// What was given.
        got: String,
    },
    /// Only attested TLS is spoken.
    #[error("{got:?} is not an https URL")]
    NotHttps {
        /// What was given.
        got: String,
    },
    /// A path, query or user name has no meaning here.
    #[error("{got:?} has more than a host and a port")]
    Extra {
        /// What was given.
        got: String,
    },
    /// The host is neither a DNS name nor an IP address.
    #[error("{got:?} does not name a host")]
    Host {
        /// What was given.
        got: String,
    },
}

/// A node's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeUrl {
    host: String,
    port: u16,
    server_name: ServerName<'static>,
}

impl NodeUrl {
    /// What the socket is opened to; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the handshake names. No certificate is compared with it.
    #[must_use]
    pub fn server_name(&self) -> ServerName<'static> {
        self.server_name.clone()
    }

    /// `host:port` as requests carry it.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for NodeUrl {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let got = || text.to_owned();
        // A bare `host:port` is read as https: nothing else is spoken.
        let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let uri: Uri = full.parse().map_err(|_| TargetError::NotAUrl { got: got() })?;
        if uri.scheme() != Some(&Scheme::HTTPS) {
            return Err(TargetError::NotHttps { got: got() });
        }
        let authority = uri.authority().ok_or_else(|| TargetError::NotAUrl { got: got() })?;
        if authority.as_str().contains('@')
            || !matches!(uri.path(), "" | "/")
            || uri.query().is_some()
            || text.contains('#')
        {
            return Err(TargetError::Extra { got: got() });
        }
        // `Authority::port` is silent about a port that is not one, so its text is read here.
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => PORT_DEFAULT,
            Some(rest) => {
                rest.strip_prefix(':').and_then(parse_port).ok_or_else(|| TargetError::NotAUrl { got: got() })?
            }
            None => return Err(TargetError::NotAUrl { got: got() }),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let server_name = match host.parse::<IpAddr>() {
            Ok(address) => ServerName::from(address),
            Err(_) => ServerName::try_from(host.clone()).map_err(|_| TargetError::Host { got: got() })?,
        };
        Ok(Self { host, port, server_name })
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_addresses() {
        for (text, authority) in [
            ("https://node.example", "node.example:443"),
            ("https://node.example/", "node.example:443"),
            ("https://node.example:8443", "node.example:8443"),
            ("node.example:8443", "node.example:8443"),
            ("localhost:1", "localhost:1"),
            ("https://127.0.0.1:9", "127.0.0.1:9"),
            ("https://[::1]:9", "[::1]:9"),
        ] {
            let url: NodeUrl = text.parse().unwrap();
            assert_eq!(url.authority(), authority, "{text}");
            assert_eq!(url.to_string(), format!("https://{authority}"));
            assert_eq!(url.to_string().parse::<NodeUrl>().unwrap(), url);
        }
    }

    #[test]
    fn refused_addresses() {
        for text in [
            "",
            "http://node.example",
            "ftp://x",
            "https://",
            "https://user@x",
            "https://x/v1",
            "https://x?q=1",
            "https://x/#a",
            "https://x:99999",
            "https://x:",
            "https://a b",
            "https://-",
        ] {
            assert!(text.parse::<NodeUrl>().is_err(), "{text:?} was accepted: {:?}", text.parse::<NodeUrl>());
        }
    }
}
