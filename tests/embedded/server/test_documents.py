"""PDF and SVG, and kinds of images that only Cloudinary's users of old programs send."""

from __future__ import annotations

import base64
import io
import struct
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

SVG = b"""<?xml version="1.0" encoding="UTF-8"?>
<!-- drawn by hand -->
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
     width="120" height="60" viewBox="0 0 12 6">
  <image xlink:href="HREF" width="12" height="6"/>
  <rect width="6" height="6" fill="#00aa00"/>
</svg>
"""


# A red picture of 64 by 48 pixels as telephones keep theirs: one HEVC frame in boxes of ISO
# 23008-12. Pillow writes no such file.
HEIC = base64.b64decode(
    "AAAAGGZ0eXBoZWljAAAAAG1pZjFoZWljAAABKW1ldGEAAAAAAAAAIWhkbHIAAAAAAAAAAHBpY3QAAAAAAAAAAAAA"
    "AAAAAAAADnBpdG0AAAAAAAEAAAAeaWxvYwAAAABEAAABAAEAAAABAAABSQAAABwAAAAjaWluZgAAAAAAAQAAABVp"
    "bmZlAgAAAAABAABodmMxAAAAAK1pcHJwAAAAkGlwY28AAAB0aHZjQwEBYAAAAJAAAAAAAB7wAPz9+PgAAA8DIAAB"
    "ABhAAQwB//8BYAAAAwCQAAADAAADAB6VmAkhAAEAKEIBAQFgAAADAJAAAAMAAAMAHqAggxZZWa5MrmgIAAADAAgA"
    "AAMACEAiAAEABkQBwXPQiQAAABRpc3BlAAAAAAAAAEAAAAAwAAAAFWlwbWEAAAAAAAAAAQABAoECAAAAJG1kYXQA"
    "AAAYKAGvE4D1JKP/5JUf/YXnh67nvaDdyvBw"
)


def pdf() -> bytes:
    """Two pages: a red one of 300 by 200 points, a blue one of 300 by 400."""
    pages = [
        Image.new("RGB", size, color) for size, color in (((300, 200), "red"), ((300, 400), "blue"))
    ]
    out = io.BytesIO()
    pages[0].save(out, "PDF", save_all=True, append_images=pages[1:], resolution=72)
    return out.getvalue()


def close(found: Any, wanted: tuple[int, ...]) -> bool:
    return all(abs(one - other) <= 6 for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("endpoint", ["image", "auto"])
def test_a_pdf_is_an_image_of_pages(server: Any, endpoint: str) -> None:
    data = pdf()
    stored = server.upload(data, "report.pdf", endpoint, public_id="report", eager="w_30/jpg")
    facts = {name: stored[name] for name in ("format", "resource_type", "width", "height", "pages")}
    assert facts == {
        "format": "pdf", "resource_type": "image", "width": 300, "height": 200, "pages": 2,
    }  # fmt: skip
    assert stored["url"].endswith("/report.pdf")
    original = server.session.get(stored["url"])
    assert original.content == data
    assert original.headers["content-type"] == "application/pdf"
    assert (stored["eager"][0]["width"], stored["eager"][0]["height"]) == (30, 20)


def test_pages_of_a_pdf_are_painted(server: Any) -> None:
    server.upload(pdf(), "report.pdf", public_id="report")
    for path, size, color in (
        ("report.png", (300, 200), (255, 0, 0)),
        ("pg_2/report.png", (300, 400), (0, 0, 255)),
        ("pg_2,w_60/report.jpg", (60, 80), (0, 0, 255)),
        ("c_fill,f_png,h_50,w_50/report.pdf", (50, 50), (255, 0, 0)),
    ):
        picture = server.picture(f"image/upload/{path}")
        assert picture.size == size, path
        assert close(picture.convert("RGB").getpixel((20, 20)), color), path
    for path, word in (("pg_3/report.png", "page"), ("w_50/report.pdf", "extension")):
        answer = server.get(f"image/upload/{path}")
        assert answer.status_code == 400
        assert word in answer.headers["x-cld-error"]


def test_a_picture_of_a_telephone_is_an_image(server: Any) -> None:
    stored = server.upload(HEIC, "IMG_0001.HEIC", "auto", public_id="photo", colors="1")
    assert (stored["format"], stored["width"], stored["height"]) == ("heic", 64, 48)
    original = server.session.get(stored["url"])
    assert (original.content, original.headers["content-type"]) == (HEIC, "image/heic")
    picture = server.picture("image/upload/w_32/photo.jpg")
    assert picture.size == (32, 24)
    assert close(picture.getpixel((16, 12)), (254, 0, 0))
    assert stored["predominant"]["google"][0][0] == "red"


def test_an_svg_is_kept_as_it_is_and_painted_on_nothing(server: Any) -> None:
    stored = server.upload(SVG, "logo.svg", public_id="logo")
    assert (stored["format"], stored["width"], stored["height"]) == ("svg", 120, 60)
    original = server.session.get(stored["url"])
    assert original.content == SVG
    assert original.headers["content-type"].startswith("image/svg+xml")
    picture = server.picture("image/upload/w_60/logo.png")
    assert picture.size == (60, 30)
    assert close(picture.getpixel((10, 10)), (0, 170, 0, 255))
    assert picture.getpixel((50, 10))[3] == 0
    assert close(server.picture("image/upload/logo.jpg").getpixel((100, 30)), (255, 255, 255))
    automatic = server.get("image/upload/f_auto/logo.svg", accept="image/webp")
    assert automatic.headers["content-type"] == "image/webp"


def test_what_is_enlarged_is_drawn_larger(server: Any) -> None:
    lines = b"".join(b'<path d="M%d 0V8"/>' % (2 * x + 1) for x in range(4))
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8" stroke="#000">%s</svg>'
    server.upload(svg % lines, "bars.svg", public_id="bars")
    for path in ("w_80/bars.png", "c_fill,h_80,w_40/bars.png", "pg_1/w_80/bars.png"):
        picture = server.picture(f"image/upload/{path}")
        row = [picture.getpixel((x, 40))[3] for x in range(picture.width)]
        # Enlarged pixels would be grey from edge to edge, drawn lines have sharp ones.
        assert sum(0 < alpha < 255 for alpha in row) <= picture.width // 8, (path, row)
        assert 0 in row
        assert 255 in row
    server.upload(pdf(), "report.pdf", public_id="report")
    picture = server.picture("image/upload/pg_2/w_600/report.png")
    assert picture.size == (600, 800)
    assert close(picture.convert("RGB").getpixel((300, 400)), (0, 0, 255))


def test_an_svg_reads_no_other_file(server: Any, draw: Any, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(draw(120, 60))
    for href in (str(secret), secret.as_uri()):
        server.upload(SVG.replace(b"HREF", href.encode()), "spy.svg", public_id="spy")
        assert server.picture("image/upload/spy.png").getpixel((100, 30))[3] == 0


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7\n" + b"x" * 100,
        pdf()[:600],
        b"<svg xmlns='http://www.w3.org/2000/svg'><",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='90000' height='90000'></svg>",
        b"8BPS" + b"\0" * 100,
        b"\x00\x00\x00\x18ftypheic" + b"\0" * 40,
        b'<!DOCTYPE svg [<!ENTITY a "' + b"x" * 1000 + b'"><!ENTITY b "' + b"&a;" * 1000 + b'">'
        b'<!ENTITY c "' + b"&b;" * 1000 + b'">]>'
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text>&c;</text></svg>',
    ],
    ids=["empty pdf", "cut pdf", "cut svg", "huge svg", "empty psd", "empty heic", "svg bomb"],
)  # fmt: skip
def test_a_damaged_document_is_refused(server: Any, data: bytes) -> None:
    answer = server.post_upload(data, "a")
    assert answer.status_code == 400
    assert "image" in answer.json()["error"]["message"].lower()
    assert server.files() == []


def test_a_file_of_comments_is_looked_at_once(server: Any) -> None:
    assert server.upload(b"<!---->" * 600, "notes.xml", "auto")["resource_type"] == "raw"
    entities = b"<!DOCTYPE svg [<!ENTITY a ']'>]>" + b"<!-- - -->" * 50
    svg = entities + b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="8"></svg>'
    assert server.upload(svg, "a.svg", "auto")["format"] == "svg"


def test_text_about_svg_is_no_picture(server: Any) -> None:
    page = b'<?xml version="1.0"?><html><body><svg width="1" height="1"/></body></html>'
    assert server.upload(page, "page.xml", "auto")["resource_type"] == "raw"


def test_a_photoshop_file_and_a_targa_are_images(server: Any) -> None:
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 30, 40, 8, 3)
    planes = b"\xff" * 1200 + b"\0" * 2400
    psd = header + struct.pack(">III", 0, 0, 0) + struct.pack(">H", 0) + planes
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(out, "TGA")
    for data, kind in ((psd, "psd"), (out.getvalue(), "tga")):
        stored = server.upload(data, f"a.{kind}", "auto", public_id=kind)
        assert (stored["format"], stored["width"], stored["height"]) == (kind, 40, 30)
        assert server.get(f"image/upload/{kind}.{kind}").content == data
        assert close(server.picture(f"image/upload/w_20/{kind}.png").getpixel((5, 5)), (255, 0, 0))
