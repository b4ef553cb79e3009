"""What an upload may ask for beyond storing a file."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Callable
from typing import Any

import numpy
import pytest
from PIL import Image

from media_toolkit.embedded.server.facts.analysis import perceptual_hash

Draw = Callable[..., bytes]


def photo() -> bytes:
    """A JPEG with EXIF: the camera, a time, an exposure, and a place."""
    image = Image.new("RGB", (60, 40), (10, 200, 30))
    exif = Image.Exif()
    exif[0x010F] = "Kamera & Söhne"
    exif[0x0132] = "2024:05:06 07:08:09"
    exif.get_ifd(0x8769)[0x829A] = 0.005
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 0.0)})
    out = io.BytesIO()
    image.save(out, "JPEG", exif=exif, dpi=(72, 72))
    return out.getvalue()


def test_an_incoming_transformation_changes_what_is_stored(server: Any, draw: Draw) -> None:
    stored = server.upload(draw(400, 300), public_id="small", transformation="w_40,h_40,c_fill")
    assert (stored["width"], stored["height"], stored["format"]) == (40, 40, "png")
    assert server.picture("image/upload/small.png").size == (40, 40)
    both = server.upload(draw(400, 300), transformation="w_40", format="jpg")
    assert (both["width"], both["height"], both["format"]) == (40, 30, "jpg")


def test_an_incoming_transformation_of_a_raw_file_is_refused(server: Any) -> None:
    answer = server.post_upload(b"text", "a.txt", "raw", transformation="w_40")
    assert answer.status_code == 400
    assert "transformation (raw)" in answer.json()["error"]["message"]


def test_phash_is_sixteen_hex_digits_that_survive_resizing(server: Any, draw: Draw) -> None:
    first = server.upload(draw(640, 480), phash="true")["phash"]
    second = server.upload(draw(320, 240, "JPEG", quality=60), phash="1")["phash"]
    assert len(first) == 16
    assert bin(int(first, 16) ^ int(second, 16)).count("1") <= 6
    assert "phash" not in server.upload(draw())


def imagehash_phash(image: Image.Image) -> str:
    """The definition in the `imagehash` library, with numpy's matrices for SciPy's DCT."""
    pixels = numpy.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS))
    k, n = numpy.mgrid[0:32, 0:32]
    dct = 2 * numpy.cos(numpy.pi * k * (2 * n + 1) / 64)
    low = (dct @ pixels @ dct.T)[:8, :8]
    bits = (low > numpy.median(low)).flatten()
    return f"{int(''.join('1' if bit else '0' for bit in bits), 2):016x}"


def test_the_perceptual_hash_is_that_of_imagehash() -> None:
    for image in (
        Image.linear_gradient("L").rotate(30),
        Image.effect_mandelbrot((300, 200), (-2, -1.0, 1, 1.3), 50),
        Image.radial_gradient("L").crop((10, 30, 200, 170)).rotate(10),
    ):
        assert perceptual_hash(image) == imagehash_phash(image)


def test_colors_are_hex_with_percent_and_predominant_names(server: Any) -> None:
    out = io.BytesIO()
    image = Image.new("RGB", (100, 100), (255, 0, 0))
    image.paste((0, 0, 255), (0, 0, 100, 25))
    image.save(out, "PNG")
    answer = server.upload(out.getvalue(), colors="1")
    assert answer["colors"] == [["#FF0000", 75.0], ["#0000FF", 25.0]]
    assert answer["predominant"]["google"] == [["red", 75.0], ["blue", 25.0]]


def test_metadata_is_told_under_the_name_that_asked(server: Any) -> None:
    answer = server.upload(photo(), "a.jpg", image_metadata="1")
    facts = answer["image_metadata"]
    assert facts["Make"].startswith("Kamera & S")
    assert facts["DateTime"] == "2024:05:06 07:08:09"
    assert facts["ExposureTime"] == "0.005"
    assert (facts["GPSLatitudeRef"], facts["GPSLatitude"]) == ("N", "52 30 0")
    assert facts["DPI"] == "72"
    assert "media_metadata" not in answer
    assert (answer["grayscale"], answer["semi_transparent"]) == (False, False)
    other = server.upload(photo(), "a.jpg", media_metadata="true")
    assert other["media_metadata"] == facts
    assert "image_metadata" not in server.upload(photo(), "a.jpg")


def test_stored_coordinates_are_the_faces(server: Any, draw: Draw) -> None:
    answer = server.upload(
        draw(241, 51),
        faces="1",
        face_coordinates="120,30,109,150|121,31,110,151",
        custom_coordinates="1,2,3,4",
    )
    # As Cloudinary cuts boxes that are larger than the picture.
    assert answer["faces"] == [[120, 30, 109, 51], [121, 31, 110, 51]]
    assert answer["coordinates"]["custom"] == [[1, 2, 3, 4]]
    assert server.upload(draw(), faces="true")["faces"] == []


def test_manual_moderation_is_pending(server: Any, draw: Draw) -> None:
    answer = server.upload(draw(), public_id="m", moderation="manual")
    assert answer["moderation"] == [{"kind": "manual", "status": "pending"}]
    assert server.get("image/upload/m.png").status_code == 200


def test_an_authenticated_access_mode_needs_a_signed_url(server: Any, draw: Draw) -> None:
    answer = server.upload(draw(), public_id="locked", access_mode="authenticated")
    assert answer["access_mode"] == "authenticated"
    assert server.get("image/upload/locked.png").status_code == 401
    assert server.get("image/upload/w_10/locked.png").status_code == 401
    assert server.session.get(answer["url"]).status_code == 200


def test_headers_come_with_deliveries(server: Any, draw: Draw) -> None:
    server.upload(draw(), public_id="h", headers="X-Robots-Tag: noindex\nLink: </a>; rel=next")
    for path in ("image/upload/h.png", "image/upload/w_10/h.png"):
        headers = server.get(path).headers
        assert headers["X-Robots-Tag"] == "noindex"
        assert headers["Link"] == "</a>; rel=next"


def test_eager_async_is_processing_and_then_there(
    server: Any, draw: Draw, until: Callable[..., None]
) -> None:
    answer = server.upload(draw(), eager="w_30/jpg|w_20", eager_async="1", public_id="e")
    assert [one["status"] for one in answer["eager"]] == ["processing", "processing"]
    assert all(one["batch_id"] for one in answer["eager"])
    until(lambda: len(server.admin("resources/image/upload/e").json()["derived"]) == 2)
    sizes = [Image.open(io.BytesIO(server.session.get(one["url"]).content)).width
             for one in answer["eager"]]  # fmt: skip
    assert sizes == [30, 20]


@pytest.mark.parametrize("kind", ["image", "auto", "raw"])
def test_an_asynchronous_upload_is_pending_and_then_there(
    server: Any, draw: Draw, kind: str, until: Callable[..., None]
) -> None:
    answer = server.upload(draw(), kind=kind, public_id="later", **{"async": "true"})
    assert (answer["status"], answer["public_id"]) == ("pending", "later")
    assert answer["batch_id"]
    wanted = "raw" if kind == "raw" else "image"
    until(lambda: server.admin(f"resources/{wanted}/upload/later").status_code == 200)


def test_older_records_open_and_get_the_new_columns(
    start_server: Callable[..., Any], draw: Draw
) -> None:
    server = start_server()
    stored = server.upload(draw(), public_id="old")
    server.end()
    with sqlite3.connect(server.config.data_dir / "records.sqlite3") as connection:
        connection.execute("alter table assets drop column extras")
        for table in ("backups", "notifications", "triggers"):
            connection.execute(f"drop table {table}")
    connection.close()
    again = start_server()
    details = again.admin("resources/image/upload/old").json()
    assert details["asset_id"] == stored["asset_id"]
    again.upload(draw(), public_id="new", phash="1")


def test_what_was_uploaded_with_backup_is_kept_when_it_goes(
    start_server: Callable[..., Any], draw: Draw
) -> None:
    server = start_server()
    server.upload(draw(40, 40), public_id="b", backup="1")
    server.upload(draw(50, 50), public_id="b", backup="1")
    server.upload(draw(60, 60), public_id="plain")
    for name in ("b", "plain"):
        server.session.post(f"{server.api}/image/destroy", data=server.signed(public_id=name))
    assert server.get("image/upload/b.png").status_code == 404
    server.end()
    again = start_server()
    assert len(again.files()) == 2
