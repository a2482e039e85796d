#!/usr/bin/env python3
"""Make a Python environment with schemathesis, hash-pinned, and print its interpreter.

usage: api_env.py --dir DIR

Standard output is one line, the path of the interpreter. The second call does nothing but print.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "engine"))

from locked_env import LockedEnvironment  # noqa: E402

API = LockedEnvironment("schemathesis", "schemathesis (20 MB)", HERE / "api.lock")

if __name__ == "__main__":
    sys.exit(API.main(__doc__))
