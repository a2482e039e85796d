#!/usr/bin/env bash
# Compiles the contracts with the hash-pinned compiler of npm and prints the path of the result. Usage: compile.sh DIR.
# Installs once; compiles again only when a source, the script or the lock file changed. Offline after the installation.
set -euo pipefail
from="$(cd "$(dirname "$0")" && pwd)"
mkdir -p "$1"
to="$(cd "$1" && pwd)"
command -v npm >/dev/null || { echo "needs Node 20 or newer with npm, for the Solidity compiler" >&2; exit 1; }
exec 9>"$to/lock"
flock 9
mkdir -p "$to/node"
if ! cmp -s "$from/node/package-lock.json" "$to/node/installed"; then
    cp "$from/node/package.json" "$from/node/package-lock.json" "$to/node"
    (cd "$to/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
    cp "$from/node/package-lock.json" "$to/node/installed"
fi
cp "$from/node/compile.mjs" "$to/node"
cd "$from/solidity"
sources=(*.sol doubles/*.sol)
digest="$(sha256sum "${sources[@]}" "$from/node/compile.mjs" "$from/node/package-lock.json" | sha256sum)"
if [ ! -e "$to/contracts.json" ] || [ "$digest" != "$(cat "$to/compiled" 2>/dev/null)" ]; then
    node "$to/node/compile.mjs" "$to/contracts.json" "$PWD" "${sources[@]}" >&2
    printf '%s' "$digest" >"$to/compiled"
fi
echo "$to/contracts.json"
