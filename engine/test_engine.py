#!/usr/bin/env python3
"""Tests of the engine scripts: no network, no engine, under two seconds.

usage: python3 engine/test_engine.py
"""

import base64
import contextlib
import hashlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import catalog
import engine as cli
import install
import process
import relock
from errors import EngineError
from install import Artefact, Step
from process import PidFile, ProcessId
from progress import Progress

WAIT_SECONDS = 10


class Scratch(unittest.TestCase):
    """A test with a folder of its own and silent progress."""

    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.messages = self.enterContext(contextlib.redirect_stderr(io.StringIO()))

    def sleeper(self, command: str = "sleep 60") -> subprocess.Popen:
        """A process group that does nothing, gone at the end of the test."""
        started = subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, start_new_session=True)
        self.addCleanup(started.stdout.close)
        self.addCleanup(started.wait)
        self.addCleanup(process.signal_group, started.pid, signal.SIGKILL)
        return started

    def eventually(self, condition: Callable[[], bool]) -> None:
        """Wait for something that takes a moment."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            self.assertLess(time.monotonic(), deadline, "did not happen in time")
            time.sleep(0.01)


class Locks(unittest.TestCase):
    """Every lock pins exact versions by digest and names no index."""

    def test_every_requirement_is_pinned_and_hashed(self) -> None:
        for name, lock in relock.LOCKS.items():
            lines = [line for line in lock.path.read_text().splitlines() if not line.startswith("#")]
            text = "\n".join(lines).replace("\\\n", "")
            for requirement in text.splitlines():
                with self.subTest(lock=name, requirement=requirement[:40]):
                    self.assertRegex(requirement, r"^[a-z0-9-]+==[^\s;*]+( +--hash=sha256:[0-9a-f]{64})+$")

    def test_locks_hold_what_they_are_resolved_from(self) -> None:
        for name, lock in relock.LOCKS.items():
            text = lock.path.read_text()
            for requirement in lock.requirements + lock.overrides:
                with self.subTest(lock=name):
                    self.assertRegex(text, rf"(?m)^{re.escape(requirement)} \\$")

    def test_no_dropped_package_is_locked(self) -> None:
        for lock in relock.LOCKS.values():
            pins = re.findall(r"^([^\s#]+)==", lock.path.read_text(), re.M)
            self.assertEqual([pin for pin in pins if re.fullmatch(lock.dropped, pin)], [])

    def test_every_engine_has_a_version(self) -> None:
        for engine in catalog.ENGINES.values():
            self.assertRegex(engine.version, r"^\d+\.")


class Installing(Scratch):
    """pip refuses what the lock does not name, and nothing is left behind."""

    def wheel(self) -> str:
        """Make a minimal wheel in the folder pip searches; returns its digest."""
        files = {
            "sample/__init__.py": b"",
            "sample-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n",
            "sample-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "sample-1.0.dist-info/RECORD"
        rows = [f"{name},sha256={self.record_digest(data)},{len(data)}" for name, data in files.items()]
        path = self.folder / "sample-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in (files | {record: "\n".join([*rows, f"{record},,"]).encode()}).items():
                archive.writestr(name, data)
        return install.sha256_of(path)

    @staticmethod
    def record_digest(data: bytes) -> str:
        return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()

    def install(self, digest: str) -> Path:
        """Install the sample wheel under the given digest; returns the cache."""
        lock = self.folder / "sample.lock"
        lock.write_text(f"sample==1.0 \\\n    --hash=sha256:{digest}\n")
        cache = self.folder / "cache"
        step = Step("sample", lambda target, _cache: install.pip_install(lock, target))
        settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.folder), "PIP_CONFIG_FILE": os.devnull}
        with mock.patch.dict(os.environ, settings):
            install.ensure(cache, [Artefact("sample", (step,), (lock,), probe="sample/__init__.py")])
        return cache

    def test_the_named_wheel_is_installed(self) -> None:
        cache = self.install(self.wheel())
        self.assertTrue((cache / "sample" / "sample" / "__init__.py").is_file())

    def test_another_wheel_is_refused_and_leaves_nothing(self) -> None:
        self.wheel()
        with self.assertRaisesRegex(EngineError, "not in the lock"):
            self.install("0" * 64)
        self.assertEqual(os.listdir(self.folder / "cache"), [".lock"])

    def test_a_changed_file_is_refused(self) -> None:
        file = self.folder / "model"
        file.write_bytes(b"weights")
        install.require_digest(file, hashlib.sha256(b"weights").hexdigest())
        with self.assertRaisesRegex(EngineError, "not the pinned file"):
            install.require_digest(file, hashlib.sha256(b"other").hexdigest())


class SystemPackages(Scratch):
    """What only root can install is named exactly."""

    def test_missing_ones_are_found(self) -> None:
        libraries = {"libc.so.6": "libc6", "libdoes-not-exist.so.1": "libmissing1"}
        tools = {"sh": "dash", "does-not-exist": "missing-tool"}
        self.assertEqual(install.missing_packages(libraries, tools), ["libmissing1", "missing-tool"])

    def test_without_root_the_command_is_printed(self) -> None:
        with mock.patch("os.geteuid", return_value=1000), self.assertRaises(EngineError) as caught:
            install.install_system_packages(["libnuma1"], Progress(1))
        self.assertIn("needs root: sudo apt-get install -y --no-install-recommends libnuma1", str(caught.exception))


class Stamps(Scratch):
    """An artefact is built once per content of its inputs, and is whole or absent."""

    def setUp(self) -> None:
        super().setUp()
        self.built = 0
        self.lock = self.folder / "lock"
        self.lock.write_text("one")
        self.cache = self.folder / "cache"

    def artefact(self, build: Callable[[Path, Path], None] | None = None) -> Artefact:
        def count(target: Path, _cache: Path) -> None:
            self.built += 1
            (target / "file").write_text(self.lock.read_text())

        return Artefact("thing", (Step("thing", build or count),), (self.lock,), probe="file")

    def test_second_time_nothing_is_built(self) -> None:
        self.assertTrue(install.ensure(self.cache, [self.artefact()]))
        self.assertFalse(install.ensure(self.cache, [self.artefact()]))
        self.assertEqual(self.built, 1)

    def test_a_changed_lock_builds_again(self) -> None:
        install.ensure(self.cache, [self.artefact()])
        self.lock.write_text("two")
        self.assertTrue(install.ensure(self.cache, [self.artefact()]))
        self.assertEqual((self.cache / "thing" / "file").read_text(), "two")
        self.assertEqual(sorted(os.listdir(self.cache)), [".lock", "thing"])

    def test_a_missing_probe_builds_again(self) -> None:
        install.ensure(self.cache, [self.artefact()])
        (self.cache / "thing" / "file").unlink()
        self.assertTrue(install.ensure(self.cache, [self.artefact()]))

    def test_an_interrupted_build_leaves_nothing(self) -> None:
        def interrupted(target: Path, _cache: Path) -> None:
            (target / "file").write_text("half")
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            install.ensure(self.cache, [self.artefact(interrupted)])
        self.assertEqual(os.listdir(self.cache), [".lock"])

    def test_a_leftover_of_a_killed_build_is_replaced(self) -> None:
        leftover = self.cache / "thing.partial-1"
        leftover.mkdir(parents=True)
        (leftover / "file").write_text("half")
        install.ensure(self.cache, [self.artefact()])
        self.assertEqual((self.cache / "thing" / "file").read_text(), "one")
        self.assertEqual(sorted(os.listdir(self.cache)), [".lock", "thing"])

    def test_concurrent_callers_build_once(self) -> None:
        callers = [threading.Thread(target=install.ensure, args=(self.cache, [self.artefact()])) for _ in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        self.assertEqual(self.built, 1)


class Stopping(Scratch):
    """Only the recorded process is ended, and all of its group."""

    def stop(self, leader: ProcessId) -> int:
        """Run the stop command on a pid file naming a process."""
        self.file = self.folder / "pid"
        PidFile(self.file).write(leader, self.folder / "sock")
        return cli.run_command(["stop", "--pid-file", str(self.file)])

    def test_ends_the_whole_group(self) -> None:
        group = self.sleeper("sleep 60 & sleep 60")
        self.eventually(lambda: len(process.group_members(group.pid)) == 3)
        self.assertEqual(self.stop(ProcessId.of(group.pid)), 0)
        self.assertEqual(process.group_members(group.pid), [])
        self.assertFalse(self.file.exists())

    def test_kills_what_ignores_the_signal(self) -> None:
        group = self.sleeper("trap '' TERM; echo ready; while :; do sleep 60; done")
        group.stdout.readline()
        self.assertTrue(process.end_group(ProcessId.of(group.pid), grace_seconds=0.1))
        self.assertEqual(process.group_members(group.pid), [])

    def test_a_reused_id_is_left_alone(self) -> None:
        bystander = self.sleeper()
        stale = ProcessId(bystander.pid, ProcessId.of(bystander.pid).started - 1)
        self.assertEqual(self.stop(stale), 0)
        self.assertIn("was not running", self.messages.getvalue())
        self.assertIsNone(bystander.poll())
        self.assertFalse(self.file.exists())

    def test_no_pid_file_is_no_error(self) -> None:
        self.assertEqual(cli.run_command(["stop", "--pid-file", str(self.folder / "none")]), 0)

    def test_a_foreign_pid_file_is_refused(self) -> None:
        foreign = self.folder / "pid"
        foreign.write_text("1\n")
        self.assertEqual(cli.run_command(["stop", "--pid-file", str(foreign)]), 1)
        self.assertTrue(foreign.exists())

    def test_the_guard_ends_the_engine_after_its_caller(self) -> None:
        caller, engine = self.sleeper(), self.sleeper()
        process.leave_guard(ProcessId.of(caller.pid), ProcessId.of(engine.pid), self.folder / "sock")
        self.assertIsNone(engine.poll())
        caller.kill()
        self.eventually(lambda: engine.poll() is not None)


class Starting(Scratch):
    """A socket path is taken over only from the dead, and failures are explained."""

    def setUp(self) -> None:
        super().setUp()
        self.path = self.folder / "run" / "engine.sock"

    def listen(self) -> socket.socket:
        self.path.parent.mkdir(exist_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen()
        return listener

    def test_the_folder_is_private(self) -> None:
        process.prepare_socket(self.path)
        self.assertEqual(self.path.parent.stat().st_mode & 0o777, 0o700)

    def test_a_stale_socket_is_removed(self) -> None:
        self.listen().close()
        process.prepare_socket(self.path)
        self.assertFalse(self.path.exists())

    def test_a_served_socket_is_refused(self) -> None:
        with self.listen(), self.assertRaisesRegex(EngineError, "already listens"):
            process.prepare_socket(self.path)

    def test_an_ordinary_file_is_refused(self) -> None:
        self.path.parent.mkdir()
        self.path.write_text("precious")
        with self.assertRaisesRegex(EngineError, "not a socket"):
            process.prepare_socket(self.path)

    def test_a_path_too_long_for_a_socket_is_refused(self) -> None:
        with self.assertRaisesRegex(EngineError, "longer than 107"):
            process.prepare_socket(self.folder / ("x" * 107))

    def test_an_early_end_shows_the_log(self) -> None:
        log = self.folder / "log"
        environment = {"HOME": str(self.folder), "PATH": os.environ["PATH"]}
        child = process.spawn(["sh", "-c", "echo broken; exit 3"], environment, log)
        with self.assertRaisesRegex(EngineError, r"(?s)broken.*exit status 3"):
            process.wait_ready(child, self.path, log, WAIT_SECONDS)

    def test_another_engine_on_the_path_does_not_count(self) -> None:
        with self.listen():
            self.assertFalse(process.is_healthy(self.path, group=os.getpgid(0) + 1))


class Selecting(unittest.TestCase):
    """The light engine falls back to the build that runs everywhere."""

    def test_by_processor(self) -> None:
        for flags, expected in ((catalog.FAST_BUILD_CPU_FLAGS, catalog.FAST), ({"avx2"}, catalog.SLOW)):
            self.assertIs(catalog.select("light", set(flags)), expected)

    def test_named_builds_stay(self) -> None:
        self.assertIs(catalog.select("portable", set(catalog.FAST_BUILD_CPU_FLAGS)), catalog.SLOW)
        self.assertIs(catalog.select("vllm", set()), catalog.REAL_VLLM)

    def test_embeddings_have_the_same_builds(self) -> None:
        for flags, expected in (
            (catalog.FAST_BUILD_CPU_FLAGS, catalog.FAST_EMBEDDINGS),
            ({"avx2"}, catalog.SLOW_EMBEDDINGS),
        ):
            engine = catalog.select("light-embeddings", set(flags))
            self.assertIs(engine, expected)
            self.assertIn("--embeddings", engine.command(Path("/cache"), Path("/run/engine.sock")))
        engine = catalog.select("vllm-embeddings", set())
        self.assertEqual((engine.model, engine.model_sha256), (catalog.MINILM_NAME, catalog.MINILM_SHA256))

    def test_no_engine_shares_a_cache_between_callers(self) -> None:
        command = catalog.llama_command(Path("/cache"), Path("/run/engine.sock"))
        for flag in ("--offline", "--no-slots", "--no-cache-prompt"):
            self.assertIn(flag, command)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]])
