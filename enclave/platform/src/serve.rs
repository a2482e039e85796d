//! A service that a guardian asks about its platform: on Unix sockets, one JSON line asked, one JSON line answered, connection closed.
//! A virtual machine reaches such a socket by vsock, through the program that carries it (`vhost-device-vsock`).

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rustix::fs::{Gid, Mode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Answer, QUESTION_BYTES_MAX, Question};

/// Time for a client to ask it.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Threads that answer on one socket: a question that takes long does not keep others waiting.
const ANSWERING: usize = 4;

/// How a service answers; an error is said to whoever asked.
pub type Answers<'a> = &'a (dyn Fn(Question) -> anyhow::Result<Answer> + Sync);

/// The same of any questions: what is none arrives as an error.
type Lines<'a, Q, A> = &'a (dyn Fn(anyhow::Result<Q>) -> A + Sync);

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The user of the service.
    Owner,
    /// And this group, by its number: for a guardian that is another user.
    Group(u32),
}

/// Answers on all `sockets` until the process is ended; what the operator should know goes to `say`.
///
/// # Errors
/// If a socket cannot be bound.
pub fn serve(
    name: &str,
    sockets: &[PathBuf],
    access: Access,
    say: &(dyn Fn(&str) + Sync),
    answers: Answers<'_>,
) -> anyhow::Result<()> {
    serve_lines(name, sockets, access, say, &|asked: anyhow::Result<Question>| {
        asked.and_then(answers).unwrap_or_else(|error| Answer::Error { message: format!("{error:#}") })
    })
}

/// [`serve`] for questions and answers of another kind.
///
/// # Errors
/// If a socket cannot be bound.
pub fn serve_lines<Q: DeserializeOwned, A: Serialize>(
    name: &str,
    sockets: &[PathBuf],
    access: Access,
    say: &(dyn Fn(&str) + Sync),
    answers: Lines<'_, Q, A>,
) -> anyhow::Result<()> {
    // Whoever may connect gets reports of this machine: the sockets are the owner's from the moment they exist.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let listeners = sockets.iter().map(|socket| listen(socket, access)).collect::<anyhow::Result<Vec<_>>>()?;
    for socket in sockets {
        say(&format!("{name} ready on {}", socket.display()));
    }
    std::thread::scope(|threads| {
        for listener in &listeners {
            for _ in 0..ANSWERING {
                threads.spawn(move || answer_all(answers, say, listener));
            }
        }
    });
    Ok(())
}

fn listen(socket: &Path, access: Access) -> anyhow::Result<UnixListener> {
    if socket.exists() {
        fs::remove_file(socket).with_context(|| format!("remove the stale socket {}", socket.display()))?;
    }
    let listener = UnixListener::bind(socket).with_context(|| format!("listen on {}", socket.display()))?;
    let mode = match access {
        Access::Owner => 0o600,
        Access::Group(group) => {
            rustix::fs::chown(socket, None, Some(Gid::from_raw(group)))
                .with_context(|| format!("give {} to group {group}", socket.display()))?;
            0o660
        }
    };
    fs::set_permissions(socket, fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

fn answer_all<Q: DeserializeOwned, A: Serialize>(
    answers: Lines<'_, Q, A>,
    say: &(dyn Fn(&str) + Sync),
    listener: &UnixListener,
) {
    for stream in listener.incoming() {
        // One client that breaks off must not stop the others.
        if let Ok(stream) = stream
            && let Err(error) = answer(answers, stream)
        {
            say(&format!("request failed: {error:#}"));
        }
    }
}

fn answer<Q: DeserializeOwned, A: Serialize>(answers: Lines<'_, Q, A>, mut stream: UnixStream) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(QUESTION_TIMEOUT))?;
    stream.set_write_timeout(Some(QUESTION_TIMEOUT))?;
    let mut line = String::new();
    BufReader::new((&stream).take(QUESTION_BYTES_MAX)).read_line(&mut line)?;
    let answer = answers(serde_json::from_str(&line).context("not a question"));
    serde_json::to_writer(&mut stream, &answer)?;
    Ok(stream.write_all(b"\n")?)
}
