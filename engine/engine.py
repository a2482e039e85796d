#!/usr/bin/env python3
"""Fetch, start and stop an LLM engine on a Unix socket: llama.cpp or vLLM, both on the CPU.

  engine.py fetch    --engine light --dir DIR
  engine.py start    --engine light --dir DIR --socket PATH --pid-file FILE
  engine.py stop     --pid-file FILE
  engine.py run      --engine light --dir DIR --socket PATH      in the foreground
  engine.py env      --engine light --dir DIR                    what would be started
  engine.py describe --json                                      versions and digests

Standard output carries data only; progress and errors go to standard error. Exit status: 0 done,
1 failed, 2 wrong usage, 128 + n ended by signal n.
"""

import argparse
import json
import os
import select
import shlex
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import catalog
import install
import process
from catalog import Engine
from errors import EngineError
from process import PidFile, ProcessId
from progress import Progress


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP arrived."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass(frozen=True)
class Running:
    """An engine that is being started or is up."""

    engine: Engine
    leader: ProcessId
    handle: subprocess.Popen
    socket: Path
    log: Path


# --- commands --------------------------------------------------------------------------------


def command_fetch(arguments: argparse.Namespace) -> int:
    """Install what the engine needs."""
    fetch(choose(arguments.engine), arguments.dir)
    return 0


def command_start(arguments: argparse.Namespace) -> int:
    """Start an engine and leave it running."""
    caller = ProcessId.of(os.getppid())
    running = launch(arguments)
    if arguments.parent_death and caller:
        process.leave_guard(caller, running.leader, running.socket)
    announce(arguments, running)
    return 0


def command_run(arguments: argparse.Namespace) -> int:
    """Start an engine and stay until told to stop, or until it ends."""
    if arguments.parent_death and not stdin_is_pipe():
        raise EngineError("--parent-death needs a pipe as standard input", "the engine ends when the pipe closes")

    def guarded_by_this_process(leader: ProcessId, served: Path) -> None:
        if itself := ProcessId.of(os.getpid()):
            process.leave_guard(itself, leader, served)

    running = launch(arguments, guarded_by_this_process)
    try:
        announce(arguments, running)
        return wait_for_end(running, watch_stdin=arguments.parent_death)
    finally:
        clean_up(running, arguments.pid_file)


def command_stop(arguments: argparse.Namespace) -> int:
    """End the engine a pid file names; a stale file is removed and nothing else touched."""
    file = PidFile(arguments.pid_file)
    recorded = file.read()
    if recorded is None:
        note(f"no {arguments.pid_file}: nothing to stop")
        return 0
    leader, served = recorded
    if not process.end_group(leader):
        note(f"process {leader.pid} was not running any more")
    process.release_socket(served)
    file.path.unlink(missing_ok=True)
    return 0


def command_env(arguments: argparse.Namespace) -> int:
    """Print how the engine would be started, in a form a shell can read."""
    engine = choose(arguments.engine)
    socket = arguments.socket or arguments.dir / "engine.sock"
    values = {
        "ENGINE": arguments.engine,
        "BUILD": engine.build,
        "VERSION": engine.version,
        "MODEL": engine.model,
        "MODEL_FILE": str(arguments.dir / engine.model_file),
        "MODEL_SHA256": engine.model_sha256,
        "FETCHED": "yes" if is_fetched(engine, arguments.dir) else "no",
        "COMMAND": shlex.join(engine.command(arguments.dir, socket)),
    }
    for name, value in values.items():
        print(f"{name}={shlex.quote(value)}")
    return 0


def command_describe(arguments: argparse.Namespace) -> int:
    """Print versions and digests of every engine."""
    engines = {name: describe(engine, arguments.dir) for name, engine in catalog.ENGINES.items()}
    if arguments.json:
        print(json.dumps({"model": catalog.MODEL_NAME, "engines": engines}, indent=2))
        return 0
    for name, facts in engines.items():
        print(f"{name}: {facts['package']} {facts['version']}")
        for key, value in facts.items():
            print(f"  {key}: {value}")
    return 0


def command_guard(arguments: argparse.Namespace) -> int:
    """Internal: see `process.leave_guard`."""
    process.guard(arguments.watched, arguments.leader, arguments.served)
    return 0


# --- parts of the commands -------------------------------------------------------------------


def choose(name: str) -> Engine:
    """The build of an engine for this processor; says so when it is not the usual one."""
    engine = catalog.select(name)
    if engine is not catalog.ENGINES[name]:
        note("this processor cannot run the fast llama.cpp build; using the portable one, which is slower")
    return engine


def fetch(engine: Engine, cache: Path) -> None:
    """Install packages, model and system libraries; nothing to do takes milliseconds."""
    packages = install.missing_packages(engine.libraries, engine.tools)
    if packages:
        install.install_system_packages(packages, Progress(1))
    install.ensure(cache, engine.artefacts)


def is_fetched(engine: Engine, cache: Path) -> bool:
    """Whether every artefact is in place."""
    return all(artefact.is_ready(cache) for artefact in engine.artefacts)


def describe(engine: Engine, cache: Path | None) -> dict[str, object]:
    """What is fixed about an engine, and with a cache folder also what is there."""
    facts: dict[str, object] = {
        "build": engine.build,
        "package": engine.package,
        "version": engine.version,
        "lock": f"locks/{engine.lock}",
        "lock_sha256": install.sha256_of(catalog.LOCKS / engine.lock),
        "model": engine.model,
        "gguf_sha256": catalog.GGUF_SHA256,
        "model_sha256": engine.model_sha256,
    }
    if cache:
        facts |= {"model_file": str(cache / engine.model_file), "fetched": is_fetched(engine, cache)}
    return facts


def launch(
    arguments: argparse.Namespace, on_spawn: Callable[[ProcessId, Path], None] = lambda leader, served: None
) -> Running:
    """Fetch if need be, start, wait until ready; on any failure nothing keeps running."""
    engine, served = choose(arguments.engine), arguments.socket
    log = arguments.log or served.with_name(f"{served.name}.log")
    require_unused(arguments.pid_file)
    fetch(engine, arguments.dir)
    install.require_digest(arguments.dir / engine.model_file, engine.model_sha256)
    process.prepare_socket(served)
    scratch = process.scratch_folder(served)
    environment = engine.environment(arguments.dir) | ({"TMPDIR": str(scratch)} if scratch else {})
    handle = process.spawn(engine.command(arguments.dir, served), environment, log)
    # A child that died this early is a zombie: its start time no longer matters.
    leader = ProcessId.of(handle.pid) or ProcessId(handle.pid, 0)
    running = Running(engine, leader, handle, served, log)
    try:
        if arguments.pid_file:
            PidFile(arguments.pid_file).write(leader, served)
        on_spawn(leader, served)
        process.wait_ready(handle, served, log, arguments.timeout or engine.ready_seconds)
    except BaseException:
        clean_up(running, arguments.pid_file)
        raise
    return running


def require_unused(pid_file: Path | None) -> None:
    """Refuse to overwrite the record of an engine that still runs."""
    recorded = PidFile(pid_file).read() if pid_file else None
    if recorded and recorded[0].is_alive():
        raise EngineError(f"{pid_file} names a running engine", f"engine.py stop --pid-file {pid_file}")


def announce(arguments: argparse.Namespace, running: Running) -> None:
    """Print the one line a caller waits for."""
    line = process.describe_running(
        arguments.engine,
        running.engine.build,
        running.engine.model,
        running.engine.model_sha256,
        running.socket,
        running.leader.pid,
    )
    print(line, flush=True)


def wait_for_end(running: Running, watch_stdin: bool) -> int:
    """Block until a signal, the end of standard input, or the end of the engine."""
    ended = os.pidfd_open(running.handle.pid)
    watched = [ended, *([sys.stdin.fileno()] if watch_stdin else [])]
    while True:
        readable, _, _ = select.select(watched, [], [])
        if ended in readable:
            running.handle.wait()
            hint = process.exit_hint(running.handle.returncode, running.log)
            raise EngineError(f"the engine ended by itself\n{process.log_tail(running.log)}", hint)
        if not os.read(sys.stdin.fileno(), 4096):  # whatever is written to us means nothing; only the end does
            return 0


def clean_up(running: Running, pid_file: Path | None) -> None:
    """End the engine and remove its files, even when a second signal comes meanwhile."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    process.end_group(running.leader)
    running.handle.wait()
    process.release_socket(running.socket)
    if pid_file:
        pid_file.unlink(missing_ok=True)


def stdin_is_pipe() -> bool:
    """Whether somebody holds the other end of standard input."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def note(text: str) -> None:
    """A message for the person watching."""
    print(f"engine: {text}", file=sys.stderr, flush=True)


# --- command line ----------------------------------------------------------------------------

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupt(number: int, _frame: FrameType | None) -> None:
    """Turn a signal into an exception, so that every `finally` runs."""
    raise Interrupted(number)


def absolute(text: str) -> Path:
    """A path that stays right when the engine runs in another folder."""
    return Path(os.path.abspath(text))


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    target = argparse.ArgumentParser(add_help=False)
    target.add_argument("--engine", choices=list(catalog.ENGINES), required=True)
    target.add_argument("--dir", type=absolute, required=True, help="cache folder, normally target/engine")

    serving = argparse.ArgumentParser(add_help=False)
    serving.add_argument("--socket", type=absolute, required=True, help="Unix socket to serve on")
    serving.add_argument("--log", type=absolute, help="log file (default: the socket path with .log added)")
    serving.add_argument("--pid-file", type=absolute, help="record the process for `stop`")
    serving.add_argument("--timeout", type=float, help="seconds to wait until it answers")
    serving.add_argument("--parent-death", action="store_true", help="end the engine when the caller ends")

    def add(
        name: str, action: Callable[[argparse.Namespace], int], *parents: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=action.__doc__, parents=list(parents))
        command.set_defaults(action=action)
        return command

    add("fetch", command_fetch, target)
    add("start", command_start, target, serving)
    add("run", command_run, target, serving)
    add("stop", command_stop).add_argument("--pid-file", type=absolute, required=True)
    add("env", command_env, target).add_argument("--socket", type=absolute)
    describing = add("describe", command_describe)
    describing.add_argument("--json", action="store_true")
    describing.add_argument("--dir", type=absolute, help="also say what is in this cache folder")
    guarding = add("guard", command_guard)
    guarding.add_argument("watched", type=ProcessId.parse)
    guarding.add_argument("leader", type=ProcessId.parse)
    guarding.add_argument("served", type=absolute)
    return parser


def main() -> int:
    """Run the command line of this process."""
    if sys.version_info < (3, 11):
        sys.exit("engine.py needs Python 3.11 or later")
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup and shell background jobs ignore some
            signal.signal(number, interrupt)
    return run_command(sys.argv[1:])


def run_command(words: list[str]) -> int:
    """Run one command and turn its outcome into an exit status."""
    arguments = build_parser().parse_args(words)
    try:
        return arguments.action(arguments)
    except EngineError as error:
        note(f"error: {error}")
        return 1
    except Interrupted as interruption:
        note(f"stopped by {signal.Signals(interruption.number).name}")
        return 128 + interruption.number


if __name__ == "__main__":
    sys.exit(main())
