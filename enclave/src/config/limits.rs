//! `[limits]`: how much clients may ask for.
//!
//! What is here depends on the machine and on who reaches it, so it is configured, and measured with the rest. The limits that follow from
//! the protocols or keep an engine in bounds are constants of `limits.rs`, as are the defaults and the most that may be configured here.

use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use serde::Deserialize;

use crate::attestation_api::Channel;
use crate::limits;

/// How much clients may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Connections at once, over all entrances.
    pub connections: usize,
    /// Seconds for a TLS handshake.
    pub handshake_secs: u64,
    /// Seconds for the head of an HTTP/1.1 request.
    pub header_secs: u64,
    /// Bytes of a request's head.
    pub header_bytes: u32,
    /// Seconds for the body of a request.
    pub body_secs: u64,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Seconds without a request after which a connection is closed.
    pub idle_secs: u64,
    /// Requests at once on one HTTP/2 connection.
    pub streams_per_connection: u32,
    /// Reports that one connection may ask for.
    pub attestations_per_connection: u32,
    /// Spend proofs that are verified or wait for it.
    pub proofs_pending: usize,
    /// Of these, so many of one connection.
    pub proofs_per_connection: usize,
    /// Tabs that are open at once.
    pub tabs: usize,
    /// Requests at once under one tab.
    pub requests_per_tab: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS_MAX,
            handshake_secs: limits::HANDSHAKE_TIMEOUT.as_secs(),
            header_secs: limits::HEADER_READ_TIMEOUT.as_secs(),
            header_bytes: limits::HEADER_BYTES_MAX,
            body_secs: limits::REQUEST_BODY_TIMEOUT.as_secs(),
            body_bytes: limits::REQUEST_BODY_BYTES_MAX,
            idle_secs: limits::CONNECTION_IDLE_TIMEOUT.as_secs(),
            streams_per_connection: limits::STREAMS_PER_CONNECTION_MAX,
            attestations_per_connection: limits::ATTESTATIONS_PER_CONNECTION_MAX,
            proofs_pending: limits::PROOFS_PENDING_MAX,
            proofs_per_connection: limits::PROOFS_PENDING_PER_CONNECTION_MAX,
            tabs: limits::TABS_MAX,
            requests_per_tab: limits::REQUESTS_PER_TAB_MAX,
        }
    }
}

impl LimitsConfig {
    /// Those of the connection that a request came on.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get::<Arc<Channel>>().map(|channel| *channel.limits()).unwrap_or_default()
    }

    /// Seconds for a TLS handshake.
    pub(crate) const fn handshake(&self) -> Duration {
        Duration::from_secs(self.handshake_secs)
    }

    /// Seconds for the head of a request.
    pub(crate) const fn header(&self) -> Duration {
        Duration::from_secs(self.header_secs)
    }

    /// Seconds for the body of a request.
    pub(crate) const fn body(&self) -> Duration {
        Duration::from_secs(self.body_secs)
    }

    /// Seconds without a request.
    pub(crate) const fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_secs)
    }

    /// The field that is out of range, and its range. Below it nobody is served; above it memory and time are not what was tested.
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let size = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let (body, header) = (size(self.body_bytes), u64::from(self.header_bytes));
        let rows = [
            ("limits.connections", size(self.connections), 1..=65_536, "must be 1 to 65536"),
            ("limits.handshake_secs", self.handshake_secs, 1..=60, "must be 1 to 60"),
            ("limits.header_secs", self.header_secs, 1..=60, "must be 1 to 60"),
            ("limits.header_bytes", header, 8192..=16_384, "must be 8192 to 16384"),
            ("limits.body_secs", self.body_secs, 1..=300, "must be 1 to 300"),
            ("limits.body_bytes", body, 4096..=1 << 20, "must be 4096 to 1048576"),
            ("limits.idle_secs", self.idle_secs, 1..=3600, "must be 1 to 3600"),
            ("limits.streams_per_connection", self.streams_per_connection.into(), 1..=1024, "must be 1 to 1024"),
            (
                "limits.attestations_per_connection",
                self.attestations_per_connection.into(),
                1..=1024,
                "must be 1 to 1024",
            ),
            ("limits.proofs_pending", size(self.proofs_pending), 1..=16_384, "must be 1 to 16384"),
            ("limits.proofs_per_connection", size(self.proofs_per_connection), 1..=1024, "must be 1 to 1024"),
            ("limits.tabs", size(self.tabs), 1..=100_000, "must be 1 to 100000"),
            ("limits.requests_per_tab", self.requests_per_tab.into(), 1..=64, "must be 1 to 64"),
        ];
        let wrong = rows.into_iter().find(|(_, number, range, _)| !range.contains(number));
        wrong.map_or(Ok(()), |(field, _, _, problem)| Err((field, problem)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::LimitsConfig;

    fn read(text: &str) -> Result<LimitsConfig, String> {
        let limits: LimitsConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        limits.check().map_err(|(field, problem)| format!("{field} {problem}"))?;
        Ok(limits)
    }

    #[test]
    fn what_is_not_named_has_its_default() {
        assert_eq!(read("").unwrap(), LimitsConfig::default());
        let limits = read("connections = 100\nrequests_per_tab = 1").unwrap();
        assert_eq!((limits.connections, limits.requests_per_tab), (100, 1));
        assert_eq!(LimitsConfig { connections: 16_384, requests_per_tab: 8, ..limits }, LimitsConfig::default());
    }

    #[test]
    fn each_has_a_range() {
        let named = format!("{:?}", LimitsConfig::default());
        let fields: Vec<&str> =
            named.split(['{', ',']).filter_map(|part| part.split_once(':')).map(|(name, _)| name.trim()).collect();
        assert_eq!(fields.len(), 13, "{fields:?}");
        for field in fields {
            for value in ["0", "4000000000"] {
                let refused = read(&format!("{field} = {value}")).unwrap_err();
                assert!(refused.starts_with(&format!("limits.{field} must be")), "{refused}");
            }
        }
        assert!(read("conections = 1").unwrap_err().contains("unknown field"));
    }
}
