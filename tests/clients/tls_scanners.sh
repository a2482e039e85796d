#!/usr/bin/env bash
# Installs the scanners that read what the guardian's TLS offers: sslyze, hash-pinned, and testssl.sh, which takes root once.
# Usage: tls_scanners.sh DIR. Prints sslyze's interpreter.
set -euo pipefail
lock="$(cd "$(dirname "$0")" && pwd)/tls.lock"
mkdir -p "$1"
to="$(cd "$1" && pwd)/sslyze"
if ! command -v testssl >/dev/null; then
    if [ "$(id -u)" != 0 ]; then
        echo "needs root once: apt-get install testssl.sh" >&2
        exit 1
    fi
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends testssl.sh bsdextrautils dnsutils >/dev/null
fi
if ! cmp -s "$lock" "$to/installed"; then
    python3 -m venv "$to"
    "$to/bin/python" -m pip install --quiet --require-hashes -r "$lock" >&2
    cp "$lock" "$to/installed"
fi
echo "$to/bin/python"
