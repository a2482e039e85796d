#!/usr/bin/env python3
"""Make a Python environment with the verifiers attestation is held against, hash-pinned, and print its interpreter.

usage: peers_env.py --dir DIR

Standard output is one line, the path of the interpreter. The second call does nothing but print.
"""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "engine"))

from errors import EngineError  # noqa: E402
from install import Artefact, Step, ensure, pip_install, run_tool  # noqa: E402

LOCK = HERE / "requirements.lock"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def create_environment(target: Path, _cache: Path) -> None:
    """An empty environment; pip itself stays outside."""
    run_tool("creating the environment", [sys.executable, "-m", "venv", "--without-pip", target])


def install_peers(target: Path, _cache: Path) -> None:
    """The locked wheels, where the environment looks for packages."""
    pip_install(LOCK, target / "lib" / f"python{VERSION}" / "site-packages")


PEERS = Artefact(
    f"peers-py{VERSION}",
    (Step("environment for peers", create_environment), Step("sev-snp-measure, dcap-qvl (8 MB)", install_peers)),
    (LOCK,),
    probe="bin/python",
)


def main() -> int:
    """Make sure the environment exists and say where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True, help="folder to keep the environment in")
    folder = parser.parse_args().dir.absolute()
    try:
        ensure(folder, [PEERS])
    except EngineError as error:
        print(f"peers_env: error: {error}", file=sys.stderr)
        return 1
    print(folder / PEERS.name / PEERS.probe)
    return 0


if __name__ == "__main__":
    sys.exit(main())
