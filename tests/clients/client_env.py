#!/usr/bin/env python3
"""Make a Python environment with the official OpenAI client, hash-pinned, and print its interpreter.

usage: client_env.py --dir DIR

Standard output is one line, the path of the interpreter. The second call does nothing but print.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "engine"))

from locked_env import LockedEnvironment  # noqa: E402

CLIENT = LockedEnvironment("openai", "OpenAI client (5 MB)", HERE / "requirements.lock")

if __name__ == "__main__":
    sys.exit(CLIENT.main(__doc__))
