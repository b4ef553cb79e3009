"""Ten pictures in the public domain, to begin with."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_BESIDE = _PACKAGE.parent / "sample_media"

#: Their folder: beside the package in a checkout, inside it in a wheel.
SAMPLE_MEDIA: Path = _BESIDE if _BESIDE.is_dir() else _PACKAGE / "sample_media"
