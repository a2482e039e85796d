//! Who may use the proxy.
//!
//! Decides: whether a request may spend credits. The proxy listens on loopback, but a web page can make a browser send requests
//! there. So a request is refused when its `Host` is not a loopback name (DNS rebinding) or when a browser says that it comes
//! from a page (`Origin`).

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, StatusCode};

use super::reply::Problem;

/// Refuses requests that a web page made a browser send.
pub(crate) fn admit(headers: &HeaderMap, anywhere: bool) -> Result<(), Problem> {
    let refuse = |code: &str, message: &str| Err(Problem::invalid(StatusCode::FORBIDDEN, code, message));
    if headers.contains_key(ORIGIN) {
        return refuse("proxy.origin_refused", "requests from web pages are refused: this endpoint spends credits");
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if !anywhere && !host.is_some_and(is_loopback_host) {
        return refuse("proxy.host_refused", "the Host header is not a loopback name");
    }
    Ok(())
}

fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if port.is_empty() || port.starts_with(':') => address,
        Some(_) => return false,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_loopback_hosts_and_no_web_pages() {
        for host in ["localhost", "localhost:8787", "LOCALHOST:1", "127.0.0.1:8787", "127.1.2.3", "[::1]:8787", "[::1]"]
        {
            assert!(admit(&headers(&[("host", host)]), false).is_ok(), "{host}");
        }
        for host in
            ["evil.example", "evil.example:8787", "10.0.0.1:8787", "localhost.evil.example", "[::2]:1", "[::1]x", ""]
        {
            assert_eq!(admit(&headers(&[("host", host)]), false).unwrap_err().code, "proxy.host_refused", "{host}");
        }
        assert!(admit(&headers(&[]), false).is_err());
        assert!(admit(&headers(&[("host", "evil.example")]), true).is_ok());
        for anywhere in [false, true] {
            let page = headers(&[("host", "localhost"), ("origin", "https://evil.example")]);
            assert_eq!(admit(&page, anywhere).unwrap_err().code, "proxy.origin_refused");
        }
    }
}
