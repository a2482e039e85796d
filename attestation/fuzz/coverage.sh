#!/usr/bin/env bash
# Line coverage of `attestation` under the committed corpus and the library's own tests, file by file.
# Needs llvm-profdata and llvm-cov of the compiler's own LLVM version (Debian: apt-get install llvm-22, as root).
set -euo pipefail
cd "$(dirname "$0")/../.."
version=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
for tool in llvm-profdata llvm-cov; do
  command -v "$tool-$version" >/dev/null || {
    echo "SKIP coverage: $tool-$version is not installed (apt-get install llvm-$version, as root)"; exit 0; }
done
out="$PWD/target/coverage"
rm -rf "$out/raw"; mkdir -p "$out/raw"
export LLVM_PROFILE_FILE="$out/raw/%p-%m.profraw" RUSTFLAGS="-Cinstrument-coverage" CARGO_TARGET_DIR="$out/build"
cargo nextest run -p attestation -p attestation-testing -p attestation-fuzz --locked --status-level fail
binaries=$(cargo test -p attestation -p attestation-testing -p attestation-fuzz --locked --no-run --message-format=json 2>/dev/null \
  | python3 -c 'import json,sys
for line in sys.stdin:
    item = json.loads(line)
    if item.get("executable") and item.get("profile", {}).get("test"): print("-object", item["executable"])' | sed '1s/^-object //')
"llvm-profdata-$version" merge -sparse "$out"/raw/*.profraw -o "$out/all.profdata"
# shellcheck disable=SC2086
"llvm-cov-$version" report $binaries -instr-profile="$out/all.profdata" -sources attestation/src \
  | awk '/\.rs|^TOTAL/ {printf "%-34s %6s lines  %8s covered\n", $1, $8, $10}'
