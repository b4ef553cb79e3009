#!/usr/bin/env bash
# The browser tests need a Chromium or Chrome; where there is none, Debian's package is installed.
set -euo pipefail
for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
    [ -n "$name" ] && command -v "$name" >/dev/null && exit 0
done
sudo=$([ "$(id -u)" = 0 ] || echo sudo)
echo "Installing chromium for the browser tests."
$sudo apt-get update -qq
$sudo apt-get install -y -qq chromium >/dev/null
