//! The engine's life: when it is started again after it ended, and when it is ended because it lives and answers nothing.
//!
//! Decides nothing about what it answers; that is the guardian's canary. Not trusted: the engine, which owns its socket and its
//! directory. What it says is read up to twelve bytes, in a bounded time, and a socket that is a link to another is not followed. An
//! engine that never answered is left alone, since loading a model takes as long as it takes, and the guardian serves nobody until then.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Signal, pidfd_send_signal};

/// Where the engine of an image listens.
pub const ENGINE_SOCKET: &str = "/run/engine/engine.sock";

/// How often in a row an engine that ended is started again, and the first pause before it, which then doubles.
const RESTARTS_MAX: u32 = 5;
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// What ended before an engine that ran for so long does not count.
const RAN_WELL: Duration = Duration::from_secs(600);

/// How often the engine is asked, how long one answer may take, and after how many questions without one in a row it is ended.
const ASK_EVERY: Duration = Duration::from_secs(10);
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);
const SILENT_MAX: u32 = 6;

/// vLLM's and llama.cpp's path for it; from an engine that has none, another status below 500 is as good.
const QUESTION: &[u8] = b"GET /health HTTP/1.1\r\nhost: engine\r\nconnection: close\r\n\r\n";
/// `HTTP/1.1 200`.
const STATUS_LEN: usize = 12;

/// How often the engine has ended.
#[derive(Debug, Default)]
pub struct Restarts(u32);

impl Restarts {
    /// It ended after it ran for so long. The pause before it is started again; none, if it ended too often.
    pub fn ended(&mut self, ran: Duration) -> Option<Duration> {
        if ran >= RAN_WELL {
            self.0 = 0;
        }
        if self.0 == RESTARTS_MAX {
            return None;
        }
        let pause = RESTART_PAUSE.saturating_mul(2_u32.saturating_pow(self.0));
        self.0 = self.0.saturating_add(1);
        Some(pause)
    }
}

/// How an engine is watched.
#[derive(Debug, Clone)]
pub struct Watch {
    socket: PathBuf,
    every: Duration,
    patience: Duration,
    silent_max: u32,
}

impl Watch {
    /// Of the engine that listens on this socket.
    pub fn of(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), every: ASK_EVERY, patience: ANSWER_PATIENCE, silent_max: SILENT_MAX }
    }

    /// Asks until the engine, a process file descriptor, has ended, or has answered before and does not any more: then it is killed.
    /// Whether it was. `on_first` is called when it answers for the first time.
    ///
    /// # Errors
    /// When the process can be neither waited for nor killed.
    pub fn kill_when_silent(&self, engine: impl AsFd, on_first: impl FnOnce()) -> io::Result<bool> {
        let mut on_first = Some(on_first);
        let mut silent = 0_u32;
        while !ends_within(&engine, self.every)? {
            if answers(&self.socket, self.patience).unwrap_or(false) {
                silent = 0;
                if let Some(on_first) = on_first.take() {
                    on_first();
                }
            } else if on_first.is_none() {
                // It has answered before.
                silent = silent.saturating_add(1);
            }
            if silent >= self.silent_max {
                pidfd_send_signal(&engine, Signal::KILL)?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn ends_within(engine: &impl AsFd, limit: Duration) -> io::Result<bool> {
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(engine, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether there is a status line of HTTP, and not one that says that the engine is out of order.
fn answers(socket: &Path, patience: Duration) -> io::Result<bool> {
    let until = Instant::now() + patience;
    let mut stream = reach(socket)?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(QUESTION)?;
    let mut status = [0_u8; STATUS_LEN];
    let mut len = 0;
    while let Some(rest) = status.get_mut(len..).filter(|rest| !rest.is_empty()) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(rest)? {
            0 => return Ok(false),
            count => len = len.saturating_add(count),
        }
    }
    Ok(status.starts_with(b"HTTP/1.") && matches!(status.get(8..10), Some([b' ', b'1'..=b'4'])))
}

/// A connection to the very socket of that name. It does not wait for room in the queue of one that nobody accepts from.
fn reach(socket: &Path) -> io::Result<UnixStream> {
    let place = rustix::fs::open(socket, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}", place.as_raw_fd()))?;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let connection = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&connection, &address)?;
    let stream = UnixStream::from(connection);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::process::Command;
    use std::sync::{Arc, Mutex};

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    const SOON: Duration = Duration::from_secs(1);

    fn watch(socket: &Path) -> Watch {
        Watch { socket: socket.to_owned(), every: Duration::from_millis(20), patience: SOON, silent_max: 3 }
    }

    const GOOD: &str = "HTTP/1.1 200 OK\r\n\r\n";
    const BAD: &str = "HTTP/1.1 503 Service Unavailable\r\n\r\n";

    /// What an engine says: some answers first, then always one.
    #[derive(Default)]
    struct Says {
        first: Vec<&'static str>,
        then: &'static str,
        asked: usize,
    }

    /// An engine's socket. What is answered with nothing is kept open.
    fn serve(socket: &Path, says: &Arc<Mutex<Says>>) {
        let (listener, says) = (UnixListener::bind(socket).unwrap(), Arc::clone(says));
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let said = {
                    let mut says = says.lock().unwrap();
                    says.asked += 1;
                    says.first.pop().unwrap_or(says.then)
                };
                // Who asked may have gone.
                let _ = stream.read(&mut [0; 256]).and_then(|_| stream.write_all(said.as_bytes()));
                kept.extend(said.is_empty().then_some(stream));
            }
        });
    }

    fn engine() -> (std::process::Child, std::os::fd::OwnedFd) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let fd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        (child, fd)
    }

    fn wait_for(mut is_true: impl FnMut() -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while !is_true() {
            assert!(Instant::now() < until, "it never came");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn an_engine_that_ends_is_started_again_a_few_times_and_one_that_ran_well_always() {
        let mut restarts = Restarts::default();
        let pauses: Vec<_> = (0..7).map(|_| restarts.ended(SOON).map(|pause| pause.as_secs())).collect();
        assert_eq!(pauses, [Some(1), Some(2), Some(4), Some(8), Some(16), None, None]);
        assert_eq!(restarts.ended(RAN_WELL), Some(RESTART_PAUSE));
        assert_eq!(restarts.ended(SOON), Some(RESTART_PAUSE * 2));
        for _ in 0..100 {
            assert_eq!(restarts.ended(RAN_WELL), Some(RESTART_PAUSE), "once a day for years");
        }
    }

    #[test]
    fn an_answer_is_a_status_line_below_500_in_time() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        assert!(answers(&socket, SOON).is_err(), "nobody listens");
        let says = Arc::new(Mutex::new(Says::default()));
        serve(&socket, &says);
        for (said, is_answer) in [
            (GOOD, true),
            ("HTTP/1.0 404 Not Found\r\n\r\n", true),
            (BAD, false),
            ("HTTP/1.1 500 Internal Server Error\r\n\r\n", false),
            ("HTTP/2 200", false),
            ("HTTP/1.1 2", false),
            ("220 mail.example ESMTP", false),
            ("", false),
        ] {
            says.lock().unwrap().then = said;
            assert_eq!(answers(&socket, SOON).unwrap_or(false), is_answer, "{said:?}");
        }
        says.lock().unwrap().then = GOOD;
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        assert!(answers(&link, SOON).is_err(), "a link to another's socket");
    }

    /// A queue that is full would keep a plain connect waiting for ever.
    #[test]
    fn a_socket_that_nobody_accepts_from_does_not_keep_anybody() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let _listener = UnixListener::bind(&socket).unwrap();
        let begun = Instant::now();
        let waiting: Vec<_> =
            std::iter::repeat_with(|| reach(&socket)).take_while(Result::is_ok).take(10_000).collect();
        assert!(!waiting.is_empty() && waiting.len() < 10_000, "{} fit", waiting.len());
        assert!(!answers(&socket, SOON).unwrap_or(false));
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn an_engine_that_stops_answering_is_killed_and_one_that_only_stutters_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let (mut child, fd) = engine();
        let watching = {
            let watch = watch(&socket);
            std::thread::spawn(move || watch.kill_when_silent(fd, || {}).unwrap())
        };
        let says = Arc::new(Mutex::new(Says { then: BAD, ..Says::default() }));
        let asks_more = |times: usize| {
            let before = says.lock().unwrap().asked;
            wait_for(|| says.lock().unwrap().asked >= before + times);
        };
        // For as long as it never answered it is loading, not silent.
        serve(&socket, &says);
        asks_more(10);
        says.lock().unwrap().then = GOOD;
        asks_more(2);
        for _ in 0..3 {
            says.lock().unwrap().first = vec![GOOD, BAD, BAD];
            asks_more(4);
        }
        assert!(child.try_wait().unwrap().is_none(), "it answered in between");
        says.lock().unwrap().then = "";
        assert!(watching.join().unwrap());
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(9));
    }

    #[test]
    fn an_engine_that_ends_by_itself_is_no_longer_watched() {
        let directory = tempfile::tempdir().unwrap();
        let (mut child, fd) = engine();
        let watch = watch(&directory.path().join("s"));
        let watching = std::thread::spawn(move || watch.kill_when_silent(fd, || panic!("nobody answered")).unwrap());
        child.kill().unwrap();
        assert!(!watching.join().unwrap());
        child.wait().unwrap();
    }
}
