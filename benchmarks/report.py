"""Each benchmark's part of `results.md`, replaced by the run that makes it anew."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).with_name("results.md")


def write_part(title: str, command: str, text: str) -> None:
    """Write `text` under the heading `title`; other parts stay as they are."""
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    part = f"## {title}\n\n`{command}`, {date}, {machine}; medians.\n\n{text}\n"
    known = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else "# Results\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if pattern.search(known):
        known = pattern.sub(lambda _: f"{part}\n", known).rstrip() + "\n"
    else:
        known = f"{known.rstrip()}\n\n{part}"
    RESULTS.write_text(known, encoding="utf-8")
