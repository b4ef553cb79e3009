#!/usr/bin/env bash
# The tests of the store run through PgBouncer too; where it is missing, Debian's is installed.
set -euo pipefail
[ -x /usr/sbin/pgbouncer ] || command -v pgbouncer >/dev/null && exit 0
sudo=$([ "$(id -u)" = 0 ] || echo sudo)
echo "Installing pgbouncer for the tests of the store."
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends pgbouncer >/dev/null
