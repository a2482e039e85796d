#!/usr/bin/env python3
"""Make a Python environment with the programs that evidence and signatures are held against, hash-pinned, and print its interpreter.

usage: peers_env.py --dir DIR

Standard output is one line, the path of the interpreter. The second call does nothing but print.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "engine"))

from locked_env import LockedEnvironment  # noqa: E402

PEERS = LockedEnvironment("peers", "sev-snp-measure, dcap-qvl, http-message-signatures (8 MB)", HERE / "requirements.lock")

if __name__ == "__main__":
    sys.exit(PEERS.main(__doc__))
