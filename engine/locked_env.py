"""A Python environment of hash-pinned wheels, kept in a folder; shared by what tests and benches install from the package index."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from errors import EngineError
from install import Artefact, Step, ensure, pip_install, run_tool

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class LockedEnvironment:
    """Which wheels, and how to speak of them."""

    name: str
    contents: str
    lock: Path

    def artefact(self) -> Artefact:
        """An empty environment, then the locked wheels; pip itself stays outside."""

        def create(target: Path, _cache: Path) -> None:
            run_tool("creating the environment", [sys.executable, "-m", "venv", "--without-pip", target])

        def install(target: Path, _cache: Path) -> None:
            pip_install(self.lock, target / "lib" / f"python{VERSION}" / "site-packages")

        steps = (Step(f"{self.name} environment", create), Step(self.contents, install))
        return Artefact(f"{self.name}-py{VERSION}", steps, (self.lock,), probe="bin/python")

    def main(self, description: str) -> int:
        """Make sure the environment exists under `--dir` and print its interpreter: the only line on standard output."""
        parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--dir", type=Path, required=True, help="folder to keep the environment in")
        folder = parser.parse_args().dir.absolute()
        artefact = self.artefact()
        try:
            ensure(folder, [artefact])
        except EngineError as error:
            print(f"{self.name}: error: {error}", file=sys.stderr)
            return 1
        print(folder / artefact.name / artefact.probe)
        return 0
