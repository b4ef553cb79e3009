#!/usr/bin/env bash
# Makes .venv and installs requirements.txt into it. Debian ships venv as a package of its own.
set -euo pipefail
python=$(command -v python3.11 || command -v python3)

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    echo "Installing python$version-venv: Debian's Python comes without it."
    $sudo apt-get update -qq
    $sudo apt-get install -y -qq "python$version-venv" >/dev/null
fi

[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "Installing the packages of requirements.txt (a minute or two, once)."
.venv/bin/python -m pip install --quiet --disable-pip-version-check --use-pep517 -r requirements.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
