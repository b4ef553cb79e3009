#!/usr/bin/env bash
# The browser tests need a Chromium or Chrome, and Playwright's driver needs libatomic, which a
# bare Debian lacks; where one is missing, Debian's package is installed.
set -euo pipefail

wanted=()
found=
for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
    [ -n "$name" ] && command -v "$name" >/dev/null && found=yes && break
done
[ -n "$found" ] || wanted+=(chromium)
/sbin/ldconfig -p | grep 'libatomic\.so\.1' >/dev/null || wanted+=(libatomic1)
[ ${#wanted[@]} -eq 0 ] && exit 0

sudo=$([ "$(id -u)" = 0 ] || echo sudo)
echo "Installing ${wanted[*]} for the browser tests."
$sudo apt-get update -qq
$sudo apt-get install -y -qq "${wanted[@]}" >/dev/null
