#!/usr/bin/env bash
# Says what is missing before anything fails in the middle, with the command that mends it.
set -u
missing=0
need() { # program, how to get it
  command -v "$1" >/dev/null 2>&1 && return
  echo "missing: $1. $2" >&2
  missing=1
}
need cargo "Install Rust 1.95 with rustup."
need gcc "As root: apt-get install gcc"
need python3 "As root: apt-get install python3 python3-venv"
need git "As root: apt-get install git"
if command -v cargo >/dev/null 2>&1 && ! cargo nextest --version >/dev/null 2>&1; then
  echo "installing cargo-nextest for the tests (once, a few minutes)" >&2
  cargo install cargo-nextest --version 0.9.143 --locked || missing=1
fi
if command -v python3 >/dev/null 2>&1; then
  python3 -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null ||
    { echo "missing: CPython 3.11 as python3 (the engine's packages are locked for it); found $(python3 --version 2>&1)" >&2; missing=1; }
  python3 -c 'import venv, ensurepip' 2>/dev/null ||
    { echo "missing: Python's venv module. As root: apt-get install python3-venv" >&2; missing=1; }
fi
exit "$missing"
