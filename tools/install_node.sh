#!/usr/bin/env bash
# The tests run the official Node SDK; where there is no node or npm, Debian's are installed.
set -euo pipefail
command -v node >/dev/null && command -v npm >/dev/null && exit 0
sudo=$([ "$(id -u)" = 0 ] || echo sudo)
echo "Installing nodejs and npm for the tests with the Node SDK."
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
