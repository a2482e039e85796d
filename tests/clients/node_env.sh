#!/usr/bin/env bash
# Installs the official OpenAI client for JavaScript, hash-pinned, beside the program that tries it, and prints that program's path.
# Usage: node_env.sh DIR. The second call does nothing but copy and print.
set -euo pipefail
from="$(cd "$(dirname "$0")/node" && pwd)"
mkdir -p "$1"
to="$(cd "$1" && pwd)/openai-node"
command -v npm >/dev/null || { echo "needs Node 20 or newer with npm, for the official JavaScript client" >&2; exit 1; }
exec 9>"$to.lock"
flock 9
mkdir -p "$to"
if ! cmp -s "$from/package-lock.json" "$to/installed"; then
    cp "$from/package.json" "$from/package-lock.json" "$to"
    (cd "$to" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
    cp "$from/package-lock.json" "$to/installed"
fi
cp "$from/openai_matrix.mjs" "$to"
echo "$to/openai_matrix.mjs"
