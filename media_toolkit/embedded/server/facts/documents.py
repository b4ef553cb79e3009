"""PDF, SVG and HEIC as Pillow images, painted by a process of their own."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image, ImageFile

# Three times what the process grants itself, for machines that are busy.
_TIMEOUT_S = 60
_MAX_PIXELS = 25_000_000
_SCRIPT = Path(__file__).with_name("rasteriser.py")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# What was passed over is never tried again otherwise: a file of many comments would take for ever.
_SVG = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?><\?xml.*?\?>\s*+)?+"
    rb"(?:(?><!--.*?-->)\s*+|(?><!doctype\s+svg(?:\s[^>\[]*)?(?:\[.*?\]\s*)?>)\s*+)*+"
    rb"<(?:\w+:)?svg[\s>]",
    re.DOTALL | re.IGNORECASE,
)


class Document(ImageFile.ImageFile):
    """A PDF's pages, one pixel a point, or an SVG or HEIC at its own size; painted when loaded.

    `draft` makes a drawn picture larger, without loss. Opening raises OSError for a damaged
    document, and loading for a damaged page.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self._path, self._kind = path, kind
        self._page, self._zoom, self._is_painted = 0, 1.0, False
        super().__init__(str(path))

    def _open(self) -> None:
        facts, _ = _rasterised(self._path, self._kind, self._page, 0)
        self.n_frames = facts["pages"]
        if facts["exif"]:
            self.info["exif"] = base64.b64decode(facts["exif"])
        self.is_animated = False
        self.format = self._kind.upper()
        self._size = facts["width"], facts["height"]
        self._mode = "RGBA" if self._kind == "svg" else "RGB"

    def seek(self, frame: int) -> None:
        """Go to a page, counted from 0; EOFError past the last."""
        if not 0 <= frame < self.n_frames:
            raise EOFError(f"no page {frame}")
        if frame != self._page:
            self._page, self._zoom, self._is_painted = frame, 1.0, False
            facts, _ = _rasterised(self._path, self._kind, frame, 0)
            self._size = facts["width"], facts["height"]

    def tell(self) -> int:
        """The page that this is."""
        return self._page

    def draft(
        self, mode: str | None, size: tuple[int, int] | None
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """Have the picture painted at least so large, if it is not so by itself."""
        if size is not None and not self._is_painted:
            largest = math.sqrt(_MAX_PIXELS / (self.width * self.height))
            zoom = max(size[0] / self.width, size[1] / self.height)
            self._zoom = max(1.0, min(zoom, largest))
        return None

    def load(self) -> Image.core.PixelAccess | None:
        """Paint the page, once."""
        if not self._is_painted:
            _, png = _rasterised(self._path, self._kind, self._page, self._zoom)
            with Image.open(io.BytesIO(png)) as painted:
                painted.load()
                self.im, self._mode, self._size = painted.im, painted.mode, painted.size
                if profile := painted.info.get("icc_profile"):
                    self.info["icc_profile"] = profile
            self._is_painted = True
        return Image.Image.load(self)


def sniff_document(head: bytes) -> str | None:
    """`pdf`, `heic` or `svg` by a file's first bytes, or None."""
    if head.startswith(b"%PDF-"):
        return "pdf"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS and b"avif" not in head[:64]:
        return "heic"
    return "svg" if _SVG.match(head) else None


def _rasterised(path: Path, kind: str, page: int, zoom: float) -> tuple[dict[str, Any], bytes]:
    """What the rasteriser tells of a page, and that one as PNG; OSError when it fails."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(_SCRIPT), kind, str(path), str(page), str(zoom)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
    except subprocess.SubprocessError as error:
        if not path.exists():
            raise FileNotFoundError(path) from error
        raise OSError(f"the {kind} cannot be read") from error
    line, _, png = done.stdout.partition(b"\n")
    return json.loads(line), png
