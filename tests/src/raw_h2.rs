//! HTTP/2 frame by frame (RFC 9113 §4), for what no library sends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls;

/// Frame types (RFC 9113 §6).
pub mod kind {
    /// HEADERS
    pub const HEADERS: u8 = 1;
    /// RST_STREAM
    pub const RST_STREAM: u8 = 3;
    /// SETTINGS
    pub const SETTINGS: u8 = 4;
    /// GOAWAY
    pub const GOAWAY: u8 = 7;
    /// CONTINUATION
    pub const CONTINUATION: u8 = 9;
}

/// END_STREAM and END_HEADERS of a HEADERS frame.
pub const ENDS: u8 = 0x1 | 0x4;

/// Opens a connection: TLS, preface, empty settings.
///
/// # Errors
/// When the node does not speak HTTP/2.
pub async fn connect(port: u16) -> anyhow::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = rustls::pki_types::ServerName::try_from("cloister.invalid")?;
    let mut tls = TlsConnector::from(tls::client_config(b"h2")?).connect(name, stream).await?;
    tls.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
    tls.write_all(&frame(kind::SETTINGS, 0, 0, &[])).await?;
    Ok(tls)
}

/// One frame.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = length.get(1..).unwrap_or_default().to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The header block of `GET /health`: indexed fields of the static table, and one literal (RFC 7541 §6).
#[must_use]
pub fn get_health() -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x04, 0x07];
    block.extend(b"/health");
    block.extend([0x01, 0x04]);
    block.extend(b"node");
    block
}

/// A literal field without indexing, of any size (RFC 7541 §6.2.2, §5.1).
#[must_use]
pub fn field(name: &str, value_bytes: usize) -> Vec<u8> {
    let mut field = vec![0x00];
    field.extend(length(name.len()));
    field.extend(name.as_bytes());
    field.extend(length(value_bytes));
    field.resize(field.len() + value_bytes, b'x');
    field
}

/// An integer with a 7-bit prefix.
fn length(mut value: usize) -> Vec<u8> {
    let byte = |value: usize| u8::try_from(value).unwrap_or(u8::MAX);
    if value < 127 {
        return vec![byte(value)];
    }
    let mut bytes = vec![127];
    value -= 127;
    while value >= 128 {
        bytes.push(byte(value % 128) | 128);
        value /= 128;
    }
    bytes.push(byte(value));
    bytes
}

/// Reads until the node closes the connection: the error code of its GOAWAY, if it sent one. `None` when it is still open after
/// `time`.
pub async fn until_closed(reader: &mut (impl AsyncReadExt + Unpin), time: Duration) -> Option<Option<u32>> {
    let read = async {
        let mut seen = Vec::new();
        // However the connection ends, what came before counts.
        let _ = reader.read_to_end(&mut seen).await;
        seen
    };
    let seen = tokio::time::timeout(time, read).await.ok()?;
    let mut rest = &seen[..];
    let mut code = None;
    while let Some((head, after)) = rest.split_first_chunk::<9>() {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        if head[3] == kind::GOAWAY {
            code = after.get(4..8).and_then(|code| code.try_into().ok()).map(u32::from_be_bytes);
        }
        rest = after.get(length..).unwrap_or_default();
    }
    Some(code)
}
