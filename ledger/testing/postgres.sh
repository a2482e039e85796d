#!/usr/bin/env bash
# Installs the database server that tests start for themselves. Takes root for the package; without it those tests say SKIP.
set -euo pipefail
if compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then exit 0; fi
if [ "$(id -u)" != 0 ]; then
    echo "SKIP postgres: the server is not installed (as root: apt-get install postgresql)"
    exit 0
fi
echo "installing package: postgresql"
apt-get update -qq
# Neither a cluster of the system's own nor a service is wanted.
mkdir -p /etc/postgresql-common
test -e /etc/postgresql-common/createcluster.conf || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
