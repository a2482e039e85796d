#!/usr/bin/env bash
# Installs what building and booting the image needs beyond a Rust toolchain. Takes root for packages; says so otherwise.
# Arguments: `build` (what `make image` needs) or `boot` (what `make boot-test` needs).
set -euo pipefail
cd "$(dirname "$0")/.."
declare -A packages=()
need() { command -v "$1" >/dev/null || packages[$2]=1; }

need gpgv gpgv
need unshare util-linux
if [ "${1:-build}" = boot ]; then
    need qemu-system-x86_64 qemu-system-x86
    need swtpm swtpm
    need veritysetup cryptsetup-bin
fi
if [ "${1:-build}" = reproduce ]; then
    need faketime faketime
fi
if [ ${#packages[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ]; then
        echo "installing packages: ${!packages[*]}"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${!packages[@]}" >/dev/null
    else
        echo "needs root once: apt-get install ${!packages[*]}" >&2
        exit 1
    fi
fi
# The vsock device of the boot test runs as a process of its own; it is not linked into anything of ours.
vsock_version=0.3.0
if [ "${1:-build}" = boot ] && [ ! -x target/tools/bin/vhost-device-vsock ]; then
    echo "installing vhost-device-vsock $vsock_version (about a minute)"
    cargo install --quiet --locked --version "=$vsock_version" --root target/tools --target-dir target/tools/build vhost-device-vsock
    rm -rf target/tools/build
fi
