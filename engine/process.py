"""Starts an engine on a Unix socket, waits until it answers, and ends it with all its children.

An engine runs in a session of its own, so that its process group can be ended as a whole: vLLM is
three processes. A process is remembered by its id *and* its start time, because ids are reused.
"""

import contextlib
import http.client
import json
import os
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from errors import EngineError

POLL_SECONDS = 0.05
PROBE_SECONDS = 5.0
STOP_GRACE_SECONDS = 10.0
LOG_TAIL_LINES = 20
SCRATCH_NAME_MAX = 37  # a slash and a UUID
SOCKET_PATH_MAX = 107  # bytes in sockaddr_un.sun_path, less the terminating zero
PRIVATE_UMASK = 0o077  # the socket and the log belong to the caller alone


@dataclass(frozen=True)
class ProcessId:
    """A process that cannot be confused with a later one of the same id."""

    pid: int
    started: int  # clock ticks after boot, /proc/PID/stat field 22

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """The process that has this id now; a zombie counts as gone."""
        fields = stat_fields(pid)
        return None if fields is None or fields[0] in "ZX" else cls(pid, int(fields[19]))

    @classmethod
    def parse(cls, text: str) -> "ProcessId":
        """The inverse of `str`."""
        pid, started = text.split(":")
        return cls(int(pid), int(started))

    def __str__(self) -> str:
        return f"{self.pid}:{self.started}"

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return ProcessId.of(self.pid) == self


def stat_fields(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the state on; the name before them may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


# --- process groups --------------------------------------------------------------------------


def group_members(group: int) -> list[int]:
    """Living processes of a group."""
    members = []
    for entry in os.listdir("/proc"):
        fields = stat_fields(int(entry)) if entry.isdigit() else None
        if fields and int(fields[2]) == group and fields[0] not in "ZX":
            members.append(int(entry))
    return members


def signal_group(group: int, number: int) -> None:
    """Send a signal to a group that may have ended meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def end_group(leader: ProcessId, grace_seconds: float = STOP_GRACE_SECONDS) -> bool:
    """End the group a process leads; returns whether there was anything to end.

    When the id belongs to another process by now, that one is left alone. When the leader is gone
    but its group is not, the kernel cannot have reused the id, so the rest is still ours.
    """
    current = ProcessId.of(leader.pid)
    if current not in (leader, None) or not group_members(leader.pid):
        return False
    signal_group(leader.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while group_members(leader.pid):
        if time.monotonic() > deadline:
            signal_group(leader.pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
    return True


# --- sockets ---------------------------------------------------------------------------------


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self) -> None:
        """Connect to the socket file instead of a host and port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def listener_pid(self) -> int:
        """The process that called listen() on the socket, as the kernel recorded it."""
        credentials = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return struct.unpack("3i", credentials)[0]


def is_healthy(path: Path, group: int) -> bool:
    """Whether an engine of this process group answers GET /health with 200.

    The group matters: of two engines started on one path at the same time only one gets it, and
    the other must not take that one's answer for its own.
    """
    connection = UnixConnection(path, PROBE_SECONDS)
    try:
        connection.connect()
        if os.getpgid(connection.listener_pid()) != group:
            return False
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def is_listening(path: Path) -> bool:
    """Whether some process accepts connections on a socket file."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def prepare_socket(path: Path) -> None:
    """Make the folder private and the path free, without taking it from a running engine."""
    if len(os.fsencode(path)) > SOCKET_PATH_MAX:
        raise EngineError(f"socket path is longer than {SOCKET_PATH_MAX} bytes: {path}", "choose a shorter folder")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise EngineError(f"{path} exists and is not a socket")
    if is_listening(path):
        raise EngineError(f"a process already listens on {path}", "stop it, or choose another --socket")
    path.unlink()


def scratch_folder(path: Path) -> Path | None:
    """A private temporary folder beside the socket, for the sockets vLLM's processes share.

    Nothing when its path would be too long for those; they then go where the system puts them.
    """
    folder = path.with_name(f"{path.name}.tmp")
    if len(os.fsencode(folder)) + SCRATCH_NAME_MAX > SOCKET_PATH_MAX:
        return None
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def release_socket(path: Path) -> None:
    """Remove what an ended engine left behind, unless another one serves the path by now."""
    if path.is_socket() and is_listening(path):
        return
    path.unlink(missing_ok=True)
    shutil.rmtree(path.with_name(f"{path.name}.tmp"), ignore_errors=True)


# --- start -----------------------------------------------------------------------------------


def spawn(command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen:
    """Start an engine in its own session, its output going to a private log file."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        return subprocess.Popen(
            command,
            env=environment,
            cwd=environment["HOME"],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=PRIVATE_UMASK,
        )
    finally:
        os.close(descriptor)


def wait_ready(engine: subprocess.Popen, path: Path, log: Path, timeout_seconds: float) -> None:
    """Return once the engine is healthy; explain why when it is not going to be."""
    deadline = time.monotonic() + timeout_seconds
    while not is_healthy(path, engine.pid):
        if engine.poll() is not None:
            raise EngineError(f"the engine ended at once\n{log_tail(log)}", exit_hint(engine.returncode, log))
        if time.monotonic() > deadline:
            raise EngineError(
                f"the engine did not answer within {timeout_seconds:.0f} s\n{log_tail(log)}",
                f"the machine may be busy: try a longer --timeout; the whole log is {log}",
            )
        time.sleep(POLL_SECONDS)


def log_tail(log: Path) -> str:
    """The last lines of an engine's log, indented."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    except OSError:
        lines = []
    return "\n".join(f"  | {line}" for line in lines) or "  (its log is empty)"


def exit_hint(code: int, log: Path) -> str:
    """The likely reason for an early exit."""
    text = log.read_text(errors="replace") if log.is_file() else ""
    if code == -signal.SIGILL:
        return "this processor cannot run this build: use --engine portable"
    if code == -signal.SIGKILL or "Cannot allocate memory" in text:
        return "out of memory? vLLM needs about 4 GB, the light engine 0.5 GB"
    if "error while loading shared libraries" in text or "cannot open shared object file" in text:
        return "a system library is missing; `engine.py fetch` names the package"
    return f"exit status {code}; the whole log is {log}"


# --- files and guards ------------------------------------------------------------------------


@dataclass(frozen=True)
class PidFile:
    """Two lines: the process (first the id, then the start time) and the socket it serves."""

    path: Path

    def write(self, leader: ProcessId, served: Path) -> None:
        """Replace the file in one step; a reader never sees half of it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        partial.write_text(f"{leader.pid}\n{leader.started}\n{served}\n")
        partial.rename(self.path)

    def read(self) -> tuple[ProcessId, Path] | None:
        """The process and its socket, or nothing when there is no such file."""
        try:
            pid, started, served = self.path.read_text().splitlines()
            return ProcessId(int(pid), int(started)), Path(served)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise EngineError(f"{self.path} is not a pid file of this program") from error


def leave_guard(watched: ProcessId, leader: ProcessId, served: Path) -> None:
    """Leave a small process behind that ends the engine when the watched process is gone.

    It covers what no handler can: the watched process being killed outright.
    """
    entry = Path(__file__).with_name("engine.py")
    command = [sys.executable, str(entry), "guard", str(watched), str(leader), str(served)]
    subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


def open_pidfd(process: ProcessId) -> int | None:
    """A descriptor that becomes readable when the process ends, or nothing if it has."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    if process.is_alive():
        return descriptor
    os.close(descriptor)
    return None


def guard(watched: ProcessId, leader: ProcessId, served: Path) -> None:
    """Wait for either process to end, then end what is left of the engine.

    When the engine ended first, whoever ended it removes its files: they may be a new engine's by now.
    """
    descriptors = [fd for fd in (open_pidfd(watched), open_pidfd(leader)) if fd is not None]
    if len(descriptors) == 2:
        select.select(descriptors, [], [])
    orphaned = not watched.is_alive()
    end_group(leader)
    if orphaned:
        release_socket(served)


def describe_running(engine: str, build: str, model: str, digest: str, served: Path, pid: int) -> str:
    """The line `start` and `run` print once the engine is ready."""
    return json.dumps(
        {"engine": engine, "build": build, "model": model, "socket": str(served), "pid": pid, "model_sha256": digest}
    )
