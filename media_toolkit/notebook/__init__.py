"""What a notebook shows, and the sample pictures (`SAMPLE_MEDIA`, a folder) that it begins with."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
# A checkout keeps sample_media/ beside the package; a wheel carries it inside.
_PARENT = _PACKAGE.parent if (_PACKAGE.parent / "sample_media").is_dir() else _PACKAGE
SAMPLE_MEDIA: Path = _PARENT / "sample_media"
