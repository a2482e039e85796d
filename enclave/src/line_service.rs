//! A service on a socket: one JSON line asked, one JSON line answered, connection closed. Nobody trusts what one says.

use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::config::ServiceAddress;
use crate::vsock::{self, VsockAddress};

/// Characters of what a service says that are passed on to this node's own log.
const WORDS_MAX: usize = 300;

/// As much of a service's words as is passed on.
#[must_use]
pub fn shortened(words: &str) -> String {
    words.chars().take(WORDS_MAX).collect()
}

/// Where the service is.
#[derive(Debug)]
pub enum LineService {
    /// On this machine.
    Socket(PathBuf),
    /// On another machine, usually the host.
    Vsock(VsockAddress),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The service cannot be reached or broke off.
    #[error("talk to the service: {0}")]
    Io(#[source] std::io::Error),
    /// What it said is no answer.
    #[error("the service said what is no answer: {0}")]
    Line(#[source] serde_json::Error),
}

impl LineService {
    /// At a port of another machine.
    #[must_use]
    pub fn vsock(cid: u32, port: u32) -> Self {
        Self::Vsock(VsockAddress { cid, port })
    }

    /// As configured.
    #[must_use]
    pub fn from_config(address: &ServiceAddress) -> Self {
        match address {
            ServiceAddress::Socket(path) => Self::Socket(path.clone()),
            ServiceAddress::Vsock { cid, port } => Self::vsock(*cid, *port),
        }
    }

    /// Asks, and reads an answer of at most so many bytes. There is no limit in time.
    ///
    /// # Errors
    /// When the service cannot be reached, or does not answer in the form that is expected.
    pub async fn ask<Q: Serialize, A: DeserializeOwned>(&self, question: &Q, bytes_max: u64) -> Result<A, AskError> {
        let connected = match self {
            Self::Socket(path) => UnixStream::connect(path).await,
            Self::Vsock(address) => vsock::connect(*address).await,
        };
        ask(connected.map_err(AskError::Io)?, question, bytes_max).await
    }
}

async fn ask<S, Q, A>(mut stream: S, question: &Q, bytes_max: u64) -> Result<A, AskError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    Q: Serialize,
    A: DeserializeOwned,
{
    let mut line = serde_json::to_vec(question).map_err(AskError::Line)?;
    line.push(b'\n');
    stream.write_all(&line).await.map_err(AskError::Io)?;
    let mut line = String::new();
    BufReader::new(stream).take(bytes_max).read_line(&mut line).await.map_err(AskError::Io)?;
    serde_json::from_str(&line).map_err(AskError::Line)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use platform_service::{Answer, Question};

    use super::{AskError, ask};

    /// What a service that answers `answer` was asked, and what the client made of it.
    async fn asked(answer: &str) -> (String, Result<Answer, AskError>) {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let service = async move {
            let mut question = [0; 147];
            theirs.read_exact(&mut question).await.unwrap();
            theirs.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(question.to_vec()).unwrap()
        };
        let asked = Question::ReportData("ab".repeat(64));
        tokio::join!(service, ask(ours, &asked, 4096))
    }

    #[tokio::test]
    async fn one_line_is_asked_and_refusals_are_told_apart() {
        let (question, refused) = asked("{\"error\":{\"message\":\"no\"}}\n").await;
        assert_eq!(question, format!("{{\"report_data\":\"{}\"}}\n", "ab".repeat(64)));
        assert!(matches!(refused, Ok(Answer::Error { message }) if message == "no"));
        for cut in ["", "{\"report\":", "{}\n", "{\"surprise\":{}}\n"] {
            assert!(matches!(asked(cut).await.1, Err(AskError::Line(_))), "{cut:?}");
        }
    }
}
