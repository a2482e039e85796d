#!/usr/bin/env bash
# Installs the test authority for certificates (ACME) that tests start for themselves. Takes root; without it those tests say SKIP.
set -euo pipefail
if command -v pebble >/dev/null && command -v pebble-challtestsrv >/dev/null; then exit 0; fi
if [ "$(id -u)" != 0 ]; then
    echo "SKIP pebble: the authority is not installed (as root: apt-get install pebble)"
    exit 0
fi
echo "installing package: pebble"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends pebble >/dev/null
