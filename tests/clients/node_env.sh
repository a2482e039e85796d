#!/usr/bin/env bash
# Installs clients for JavaScript, hash-pinned, beside the programs that try them, and prints the path of one of those.
# Usage: node_env.sh DIR [PROGRAM]. The second call does nothing but copy and print.
set -euo pipefail
from="$(cd "$(dirname "$0")/node" && pwd)"
mkdir -p "$1"
to="$(cd "$1" && pwd)/node"
command -v npm >/dev/null || { echo "needs Node 20.19 or newer with npm, for clients in JavaScript" >&2; exit 1; }
exec 9>"$to.lock"
flock 9
mkdir -p "$to"
if ! cmp -s "$from/package-lock.json" "$to/installed"; then
    cp "$from/package.json" "$from/package-lock.json" "$to"
    (cd "$to" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
    cp "$from/package-lock.json" "$to/installed"
fi
cp "$from"/*.mjs "$to"
echo "$to/${2:-openai_matrix.mjs}"
