#!/usr/bin/env python3
"""Make a Python environment for one kind of test, hash-pinned, and print its interpreter.

usage: client_env.py {openai,anthropic,schemathesis} --dir DIR

Standard output is one line, the path of the interpreter. The second call does nothing but print.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "engine"))

from locked_env import LockedEnvironment  # noqa: E402

ENVIRONMENTS = {
    "openai": LockedEnvironment("openai", "OpenAI client (5 MB)", HERE / "requirements.lock"),
    "anthropic": LockedEnvironment("anthropic", "Anthropic client (5 MB)", HERE / "anthropic.lock"),
    "schemathesis": LockedEnvironment("schemathesis", "schemathesis (20 MB)", HERE / "api.lock"),
}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ENVIRONMENTS:
        sys.exit(__doc__)
    sys.exit(ENVIRONMENTS[sys.argv.pop(1)].main(__doc__))
