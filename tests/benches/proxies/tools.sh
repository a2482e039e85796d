#!/usr/bin/env bash
# Installs the proxies that the guardian is held against. Takes root for packages; says so otherwise.
set -euo pipefail
if command -v nginx >/dev/null && command -v haproxy >/dev/null; then exit 0; fi
if [ "$(id -u)" != 0 ]; then
    echo "needs root once: apt-get install nginx-light haproxy" >&2
    exit 1
fi
echo "installing packages: nginx-light haproxy"
apt-get update -qq
# The run level keeps the packages from starting their services.
RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light haproxy >/dev/null
