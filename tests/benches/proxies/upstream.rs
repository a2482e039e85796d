//! The engine's place: the same event stream for every request, one write per event, on a Unix socket. A process of its own, so that
//! its time is nobody else's.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use acceptance::processes::Process;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// Events with text in one answer; a chunk with the counts and `[DONE]` follow.
pub(crate) const TOKENS: usize = 64;

/// Tokens of the prompt, as it counts them.
const PROMPT_TOKENS: usize = 31;

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";

/// Starts it in a process of its own. Dropping that ends it.
pub(crate) fn start(socket: &Path, pace: Duration) -> anyhow::Result<Process> {
    let _ = std::fs::remove_file(socket);
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("upstream").arg(socket).arg(pace.as_micros().to_string());
    let mut process = Process::start("upstream", &mut command)?;
    process.wait_until(Duration::from_secs(10), |_| std::os::unix::net::UnixStream::connect(socket).is_ok())?;
    Ok(process)
}

/// Serves for ever.
pub(crate) async fn serve(socket: &Path, pace: Duration) -> anyhow::Result<()> {
    let answer = std::sync::Arc::new(answer());
    let listener = UnixListener::bind(socket)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let answer = std::sync::Arc::clone(&answer);
        tokio::spawn(async move { drop(connection(stream, &answer, pace).await) });
    }
}

/// The chunks of an answer, as vLLM sends them with the counts in each.
fn answer() -> Vec<Vec<u8>> {
    let members = "\"id\":\"chatcmpl-0123456789abcdef01234567\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\
                   \"model\":\"bench\"";
    let usage = |made: usize| {
        format!(
            "\"usage\":{{\"prompt_tokens\":{PROMPT_TOKENS},\"total_tokens\":{},\"completion_tokens\":{made}}}",
            PROMPT_TOKENS + made
        )
    };
    let token = |made: usize| {
        let finish = if made == TOKENS { "\"stop\"" } else { "null" };
        format!(
            "{{{members},\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" word\"}},\"logprobs\":null,\
             \"finish_reason\":{finish},\"token_ids\":null}}],{}}}",
            usage(made)
        )
    };
    let last = format!("{{{members},\"choices\":[],{}}}", usage(TOKENS));
    let events = (1..=TOKENS).map(token).chain([last, "[DONE]".to_owned()]);
    let chunk = |event: String| {
        let event = format!("data: {event}\n\n");
        format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
    };
    events.map(chunk).chain([b"0\r\n\r\n".to_vec()]).collect()
}

async fn connection(mut stream: UnixStream, answer: &[Vec<u8>], pace: Duration) -> std::io::Result<()> {
    let mut seen = Vec::new();
    loop {
        let Some((head, end)) = whole_request(&seen) else {
            let mut piece = [0; 8192];
            match stream.read(&mut piece).await? {
                0 => return Ok(()),
                count => seen.extend_from_slice(&piece[..count]),
            }
            continue;
        };
        seen.drain(..end);
        if head.starts_with("GET ") {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await?;
            continue;
        }
        stream.write_all(HEAD).await?;
        for chunk in answer {
            if !pace.is_zero() {
                tokio::time::sleep(pace).await;
            }
            stream.write_all(chunk).await?;
        }
    }
}

/// Head, and where the body ends, once both are there.
fn whole_request(seen: &[u8]) -> Option<(String, usize)> {
    let head = seen.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&seen[..head]).into_owned();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    let end = head + length.unwrap_or(0);
    (seen.len() >= end).then_some((text, end))
}
