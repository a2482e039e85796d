#!/usr/bin/env bash
# Stands in for rustc on the workspace's own crates: adds the instrumentation libFuzzer reads. Stable compilers offer the
# passes; dependencies are left alone, so the counters printed are those of this project's code.
set -euo pipefail
rustc="$1"; shift
case " $* " in
  *" --crate-name build_script"*) exec "$rustc" "$@" ;;
esac
exec "$rustc" "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares
