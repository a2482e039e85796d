#!/usr/bin/env python3
"""Stand-ins for the CUDA libraries that a CPU-only PyTorch never calls.

The x86_64 Linux wheels of PyTorch on the package index are linked against 2.2 GB of CUDA
libraries. The dynamic loader insists that each of them exists and offers every versioned symbol,
although a CPU-only process calls none. This script reads what `libtorch*.so` asks for and
compiles one tiny library per missing soname with exactly those symbols. A stub function returns
an error code (999, `cudaErrorUnknown`), so a call that does happen fails loudly instead of
computing nonsense.

usage: slim_stubs.py SITE_PACKAGES      (needs gcc, nm and readelf)
"""

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

STUB_RETURN = 999
CUDA_SONAME = re.compile(r"lib(cu|nccl|nvrtc|nvshmem|cudnn)")

# Installed for real (nvidia-cuda-runtime is small), or loaded only when a driver exists.
NOT_STUBBED = {"libcudart.so.13", "libcuda.so.1"}

# These libraries do not version their symbols, so their names are recognised by prefix.
UNVERSIONED_PREFIX = {
    "libcufile.so.0": "cuFile",
    "libcurand.so.10": "curand",
    "libcusparseLt.so.0": "cusparseLt",
    "libnccl.so.2": "nccl",
    "libnvshmem_host.so.3": "nvshmem",
}


@dataclass
class Imports:
    """What a set of shared libraries expects from others."""

    sonames: set[str] = field(default_factory=set)
    provider: dict[str, str] = field(default_factory=dict)  # version node -> soname that defines it
    versioned: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # version node -> symbols
    unversioned: set[str] = field(default_factory=set)


def output_of(*command: str) -> str:
    """Standard output of a command that must succeed."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def read_versions(library: Path, imports: Imports) -> None:
    """Record which soname defines each version node (`readelf -V`, section .gnu.version_r)."""
    soname = None
    for line in output_of("readelf", "-VW", str(library)).splitlines():
        if match := re.search(r"File: (\S+)", line):
            soname = match[1]
        elif soname and (match := re.search(r"Name: (\S+)", line)):
            imports.provider[match[1]] = soname


def read_undefined(library: Path, imports: Imports) -> None:
    """Record each undefined symbol under its version node, if it has one."""
    for line in output_of("nm", "-D", "--undefined-only", str(library)).splitlines():
        symbol, _, version = line.split()[-1].partition("@")
        if version:
            imports.versioned[version.lstrip("@")].add(symbol)
        else:
            imports.unversioned.add(symbol)


def read_imports(libraries: list[Path]) -> Imports:
    """Everything the given libraries need from elsewhere."""
    imports = Imports()
    for library in libraries:
        dynamic = output_of("readelf", "-dW", str(library))
        imports.sonames.update(re.findall(r"NEEDED.*\[(.*?)\]", dynamic))
        read_versions(library, imports)
        read_undefined(library, imports)
    return imports


def symbols_of(soname: str, imports: Imports) -> dict[str, list[str]]:
    """Symbols to define in one stub, by version node; the node "" holds the unversioned ones."""
    nodes = {
        version: sorted(imports.versioned[version])
        for version, provider in imports.provider.items()
        if provider == soname and imports.versioned.get(version)
    }
    prefix = UNVERSIONED_PREFIX.get(soname)
    plain = sorted(s for s in imports.unversioned if prefix and s.startswith(prefix))
    return nodes | ({"": plain} if plain else {})


def version_script(nodes: dict[str, list[str]]) -> str:
    """A linker version script that exports every symbol under its node."""
    named = {version: symbols for version, symbols in nodes.items() if version}
    if not named:
        return "{ global: *; };\n"
    return "".join(f"{version} {{ global: {'; '.join(symbols)}; }};\n" for version, symbols in named.items())


def compile_stub(soname: str, nodes: dict[str, list[str]], folder: Path) -> int:
    """Build one stub library; returns how many symbols it has."""
    symbols = sorted({symbol for group in nodes.values() for symbol in group})
    source = "".join(f"int {symbol}(void) {{ return {STUB_RETURN}; }}\n" for symbol in symbols)
    with tempfile.TemporaryDirectory() as scratch:
        code, script = Path(scratch, "stub.c"), Path(scratch, "stub.map")
        code.write_text(source or "int stub_without_symbols;\n")
        script.write_text(version_script(nodes))
        output_of(
            "gcc", "-shared", "-fPIC", "-O1", "-w", "-fno-builtin", f"-Wl,-soname,{soname}",
            f"-Wl,--version-script={script}", "-o", str(folder / soname), str(code),
        )  # fmt: skip
    return len(symbols)


def build_stubs(site_packages: Path) -> dict[str, int]:
    """Build every missing CUDA library next to libtorch; returns soname -> symbol count."""
    folder = site_packages / "torch" / "lib"
    libraries = sorted(p for p in folder.iterdir() if re.fullmatch(r"lib(torch|c10|caffe2).*\.so", p.name))
    imports = read_imports(libraries)
    wanted = sorted(s for s in imports.sonames if CUDA_SONAME.match(s) and s not in NOT_STUBBED)
    return {soname: compile_stub(soname, symbols_of(soname, imports), folder) for soname in wanted}


def main() -> int:
    """Build the stubs and say what was built."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    for soname, count in build_stubs(Path(sys.argv[1])).items():
        print(f"{soname} {count}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
