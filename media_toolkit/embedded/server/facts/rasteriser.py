"""Paints PDF pages, SVG drawings and HEIC pictures; run as a script of its own, with bounds.

Foreign documents are read by native libraries and may crash or never end: here they take down a
process of their own. `rasteriser.py KIND PATH PAGE ZOOM` writes one line of JSON to its output,
with the number of pages, the size of the page in pixels and any EXIF in base64, then the page as
PNG, so many times as large; with zoom 0 the line only.
"""

from __future__ import annotations

import base64
import io
import json
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from PIL import Image

SECONDS = 20
MEMORY_BYTES = 2 * 1024**3
MAX_PIXELS = 50_000_000
_SVG = "http://www.w3.org/2000/svg"
_HREFS = ("href", "{http://www.w3.org/1999/xlink}href")
_PICTURES = ("data:image/png", "data:image/jpeg", "data:image/gif", "data:image/webp")


def main(kind: str, path: str, page: str, zoom: str) -> None:
    """Write the page, or what is known of the document; any failure ends with a traceback."""
    _bound()
    paint = {"heic": _heic, "pdf": _pdf, "svg": _svg}[kind]
    facts, png = paint(path, int(page), float(zoom))
    sys.stdout.buffer.write(json.dumps(facts).encode() + b"\n" + png)


def _facts(pages: int, width: int, height: int, exif: bytes = b"") -> dict[str, object]:
    told = base64.b64encode(exif).decode("ascii")
    return {"pages": pages, "width": width, "height": height, "exif": told}


def _bound() -> None:
    try:
        import resource
    except ImportError:
        # Windows has no such limits; the caller's time limit holds there too.
        return
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _heic(path: str, page: int, zoom: float) -> tuple[dict[str, object], bytes]:
    """The picture as it is to be seen, at its own size whatever the zoom."""
    import pi_heif
    from PIL import Image

    pi_heif.register_heif_opener()
    with Image.open(path, formats=["HEIF"]) as picture:
        facts = _facts(1, picture.width, picture.height, picture.info.get("exif") or b"")
        if not zoom or picture.width * picture.height > MAX_PIXELS:
            return facts, b""
        profile = picture.info.get("icc_profile")
        return facts, _png(picture.convert("RGBA" if picture.mode == "RGBA" else "RGB"), profile)


def _pdf(path: str, page: int, zoom: float) -> tuple[dict[str, object], bytes]:
    """A page, one pixel a point, on white."""
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    width, height = (max(1, round(side)) for side in document.get_page_size(page))
    facts = _facts(len(document), width, height)
    if not zoom or width * height > MAX_PIXELS:
        return facts, b""
    picture = document[page].render(scale=zoom).to_pil().convert("RGB")
    zoomed = picture.resize((max(1, round(width * zoom)), max(1, round(height * zoom))))
    return facts, _png(zoomed)


def _svg(path: str, page: int, zoom: float) -> tuple[dict[str, object], bytes]:
    """The drawing at its own size, on nothing."""
    import resvg_py
    from PIL import Image

    drawing = _closed(path)
    png = resvg_py.svg_to_bytes(svg_string=drawing)
    with Image.open(io.BytesIO(png)) as picture:
        size = picture.size
    if zoom > 1:
        png = resvg_py.svg_to_bytes(svg_string=drawing, zoom=zoom)
    return _facts(1, *size), bytes(png) if zoom else b""


def _closed(path: str) -> str:
    """The drawing without what would be read from elsewhere: other files, nested documents."""
    root = ElementTree.parse(path).getroot()
    if root.tag not in (f"{{{_SVG}}}svg", "svg"):
        raise ValueError("not an SVG drawing")
    for element in root.iter():
        for name in _HREFS:
            target = element.get(name, "").strip()
            if target and not target.startswith(("#", *_PICTURES)):
                del element.attrib[name]
    return ElementTree.tostring(root, encoding="unicode")


def _png(picture: Image.Image, profile: bytes | None = None) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1, icc_profile=profile)
    return out.getvalue()


if __name__ == "__main__":
    main(*sys.argv[1:5])
