#!/usr/bin/env bash
# Fuzz every parser of `attestation`, and those of proofs and keys of `credits`, with libFuzzer, two at a time, and print executions and coverage of each.
#
#   attestation/fuzz/run.sh [executions per target, default 1000000] [target ...]
#
# Seeds are the vectors and the committed corpus. New inputs are kept under target/fuzz; `KEEP=1` merges the ones that
# reach new code into the committed corpus. A crash ends the run with its input's path. Needs a C++ compiler.
set -euo pipefail
cd "$(dirname "$0")/../.."
runs="${1:-1000000}"; shift || true
vectors=tests/vectors
work=target/fuzz
mkdir -p "$work/found" "$work/logs"

echo "== build the fuzzer (instrumented)"
RUSTC_WORKSPACE_WRAPPER="$PWD/attestation/fuzz/instrument.sh" \
  cargo build -p attestation-fuzz --features libfuzzer --profile fuzz --locked --quiet --target-dir "$work/build"
fuzzer="$PWD/$work/build/fuzz/fuzz-attestation"

# seeds TARGET DIR: copy what the vectors hold of a kind, under names that do not collide.
seeds() {
  local target="$1" dir="$2"; shift 2
  mkdir -p "$dir"
  local file
  find "$vectors" attestation/policies -type f \( "$@" \) | while read -r file; do
    cp "$file" "$dir/$(printf '%s' "$file" | sha256sum | cut -c1-16)"
  done
}
seed_all() {
  local seed="$work/seeds"
  rm -rf "$seed"
  seeds snp_report "$seed/snp_report" -path '*/snp/*' -name 'report.bin'
  seeds snp_certificate "$seed/snp_certificate" -path '*/snp/*' -name '*.der'
  seeds snp_crl "$seed/snp_crl" -name '*.crl'
  seeds tdx_quote "$seed/tdx_quote" -name 'quote.bin'
  seeds tdx_collateral "$seed/tdx_collateral" -name '*collateral.json' -o -name '*.coll.json'
  seeds gpu_json "$seed/gpu_json" -path '*/nvidia/*' -name '*.json' -not -name 'index.json'
  seeds rim "$seed/rim" -name '*.xml' -o -name '*.swidtag'
  seeds ocsp "$seed/ocsp" -name 'response.der'
  seeds azure_json "$seed/azure_json" -path '*/azure-vtpm/*' -name 'evidence.json'
  seeds eventlog "$seed/eventlog" -path '*/eventlog/*' -name 'log.bin'
  seeds dstack_log "$seed/dstack_log" -path '*/dstack*' -name '*.json'
  seeds ovmf "$seed/ovmf" -path '*/measurement/*' -name 'ovmf_*.bin'
  seeds policy "$seed/policy" -name '*.toml'
  seeds roots "$seed/roots" -path '*/trust/*' -type f -name '*.der' -o -path '*/trust/*' -name '*.pem'
  # What no vector holds is made and signed here.
  cargo run -p attestation-fuzz --example seeds --locked --quiet -- "$seed"
  # GPU evidence is kept as JSON; its parts are seeds of their own.
  python3 - "$vectors" "$seed" <<'PY'
import base64, hashlib, json, pathlib, sys
vectors, seed = map(pathlib.Path, sys.argv[1:])
for path in sorted(vectors.glob("nvidia/*/*/evidence.json")):
    items = json.loads(path.read_text())
    for item in items if isinstance(items, list) else [items]:
        for target, member in (("gpu_report", "evidence"), ("gpu_chain", "certificate")):
            data = base64.b64decode(item[member])
            folder = seed / target
            folder.mkdir(parents=True, exist_ok=True)
            (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
PY
}
seed_all

one() {
  local target="$1"
  local found="$work/found/$target" seed="$work/seeds/$target" kept="attestation/fuzz/corpus/$target" log="$work/logs/$target"
  mkdir -p "$found" "$seed" "$kept"
  local longest
  longest=$(find "$seed" "$kept" -type f -printf '%s\n' | sort -n | tail -1)
  local max_len=$(( ${longest:-1024} + 512 )); [ "$max_len" -ge 4096 ] || max_len=4096
  if ! FUZZ_TARGET="$target" "$fuzzer" -runs="$runs" -max_len="$max_len" -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 \
      -artifact_prefix="$work/crash-$target-" "$found" "$kept" "$seed" >"$log" 2>&1; then
    echo "FAIL $target: $(grep -m1 -E 'panicked|ERROR|Test unit written' "$log"); see $log"; return 1
  fi
  local total cover executed
  total=$(sed -n 's/.*(\([0-9]*\) inline 8-bit counters).*/\1/p' "$log" | head -1)
  cover=$(grep -oE 'cov: [0-9]+' "$log" | tail -1 | cut -d' ' -f2)
  executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  printf 'ok   %-16s %9s executions  %6s of %s edges of this project reached\n' "$target" "$executed" "$cover" "$total"
  if [ "${KEEP:-0}" = 1 ]; then
    FUZZ_TARGET="$target" "$fuzzer" -merge=1 -max_len=2048 "$kept" "$found" >/dev/null 2>&1 || true
  fi
}
export -f one; export runs work fuzzer KEEP

targets=("$@")
if [ "${#targets[@]}" -eq 0 ]; then
  mapfile -t targets < <(sed -n 's/.*Target { name: "\([a-z_]*\)".*/\1/p' attestation/fuzz/src/targets.rs)
fi
echo "== ${#targets[@]} targets, $runs executions each"
printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} bash -c 'one {}'
