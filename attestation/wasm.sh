#!/usr/bin/env bash
# Build the attestation library for wasm32-unknown-unknown. One command does it where the target and clang are installed:
#   command -v clang >/dev/null || { echo "SKIP wasm: clang is not installed (apt-get install clang, as root)"; exit 0; }
cargo build -p attestation --target wasm32-unknown-unknown
# Elsewhere this asks rustup for the target first, and says SKIP when it cannot be had. The cryptography there is ring's,
# which compiles C for the web with clang (apt-get install clang, as root).
set -euo pipefail
cd "$(dirname "$0")/.."
target=wasm32-unknown-unknown
if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
  if ! command -v rustup >/dev/null || ! rustup target add "$target" >/dev/null 2>&1; then
    echo "SKIP wasm: the target $target is not installed and cannot be fetched from here (rustup target add $target)"
    exit 0
  fi
fi
command -v clang >/dev/null || { echo "SKIP wasm: clang is not installed (apt-get install clang, as root)"; exit 0; }
cargo build -p attestation --target "$target" --locked
echo "ok   wasm: target/$target/debug/libattestation.rlib"
