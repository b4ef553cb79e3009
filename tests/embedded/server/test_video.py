"""Videos: what an upload tells of them, pictures from them, and videos made from them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import av
import pytest
from PIL import Image

Film = Callable[..., bytes]
RED, GREEN, BLUE = (220, 20, 20), (20, 200, 20), (20, 20, 220)


@pytest.fixture
def films(server: Any, film: Film) -> Any:
    """A server with a film of two seconds, 160 by 90, named `m`."""
    server.upload(film(), "m.mp4", "video", public_id="m")
    return server


def near(pixel: object, colour: tuple[int, ...], tolerance: int = 30) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(a - b) <= tolerance for a, b in zip(pixel[:3], colour, strict=True))


def watched(answer: Any) -> tuple[str, list[Image.Image], int, float]:
    """The container's format, its pictures, samples of sound and length of an answer."""
    assert answer.status_code == 200, answer.headers.get("x-cld-error")
    with av.open(io.BytesIO(answer.content)) as container:
        pictures = [frame.to_image() for frame in container.decode(video=0)]
        kind, length = container.format.name, (container.duration or 0) / 1e6
    with av.open(io.BytesIO(answer.content)) as container:
        samples = 0
        if container.streams.audio:
            samples = sum(frame.samples for frame in container.decode(audio=0))
    return kind, pictures, samples, length


def test_an_upload_tells_of_its_streams(server: Any, film: Film) -> None:
    data = film()
    answer = server.upload(data, "m.mp4", "video", public_id="m")
    assert (answer["width"], answer["height"], answer["format"]) == (160, 90, "mp4")
    assert (answer["resource_type"], answer["pages"], answer["is_audio"]) == ("video", 0, False)
    assert answer["duration"] == pytest.approx(2.0, abs=0.1)
    assert (answer["frame_rate"], answer["nb_frames"], answer["rotation"]) == (10.0, 20, 0)
    assert answer["bit_rate"] == pytest.approx(len(data) * 8 / answer["duration"], rel=0.1)
    assert answer["video"]["codec"] == "h264"
    assert answer["video"]["pix_format"] == "yuv420p"
    assert isinstance(answer["video"]["level"], int)
    assert answer["video"]["bit_rate"].isdigit()
    sound = answer["audio"]
    assert sound["codec"] == "aac"
    assert sound["frequency"] == 48_000
    assert sound["channels"] in (1, 2)
    assert sound["channel_layout"] in ("mono", "stereo")
    assert sound["bit_rate"].isdigit()
    stored = server.admin("resources/video/upload/m").json()
    for name in ("duration", "frame_rate", "nb_frames", "video", "audio", "width"):
        assert stored[name] == answer[name]
    assert server.session.get(answer["secure_url"]).content == data


@pytest.mark.parametrize("kind", ["webm", "mov"])
def test_other_containers_are_read_too(server: Any, film: Film, kind: str) -> None:
    answer = server.upload(film(kind), f"m.{kind}", "auto")
    assert (answer["resource_type"], answer["format"]) == ("video", kind)
    assert (answer["width"], answer["height"], answer["nb_frames"]) == (160, 90, 20)
    assert answer["duration"] == pytest.approx(2.0, abs=0.1)
    assert answer["video"]["codec"] == {"webm": "vp8", "mov": "h264"}[kind]


def test_sound_alone_is_a_video_without_a_picture(server: Any) -> None:
    out = io.BytesIO()
    with av.open(out, "w", format="wav") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=44_100, layout="stereo")
        frame = av.AudioFrame(format="s16", layout="stereo", samples=44_100)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    answer = server.upload(out.getvalue(), "s.wav", "video", public_id="s")
    assert (answer["is_audio"], answer["format"]) == (True, "wav")
    assert answer["duration"] == pytest.approx(1.0, abs=0.01)
    assert answer["audio"]["channels"] == 2
    assert "width" not in answer
    assert "video" not in answer
    assert server.get("video/upload/s.wav").content == out.getvalue()
    assert server.get("video/upload/s.jpg").status_code == 400


def test_a_turned_film_is_upright(server: Any, film: Film) -> None:
    answer = server.upload(film(rotation=90), "m.mp4", "video", public_id="m")
    assert (answer["width"], answer["height"]) == (90, 160)
    assert server.picture("video/upload/m.jpg").size == (90, 160)


@pytest.mark.parametrize(
    "data", [b"\0\0\0\x18ftypmp42" + b"\0" * 400, b"\x1aE\xdf\xa3" + b"webm" * 50, b"OggS" * 9]
)
def test_what_only_looks_like_a_video_is_refused(server: Any, data: bytes) -> None:
    answer = server.post_upload(data, "m.mp4", "video")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "Unsupported video format or file"
    assert server.files() == []


def test_a_film_in_an_unknown_codec_is_refused(server: Any, film: Film) -> None:
    refused = server.post_upload(film().replace(b"avc1", b"zzzz"), "x.mp4", "video")
    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == "Unsupported video format or file"


def test_sound_in_an_unknown_codec_is_left_out(server: Any, film: Film) -> None:
    data = film().replace(b"mp4a", b"zzzz").replace(b"esds", b"zzzz")
    assert "audio" not in server.upload(data, "x.mp4", "video", public_id="m")
    _, pictures, samples, _ = watched(server.get("video/upload/w_80/m.mp4"))
    assert (len(pictures), samples) == (20, 0)


def test_a_playlist_in_disguise_reads_no_other_file(server: Any) -> None:
    lines = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    assert server.post_upload(lines, "m.m3u8", "video").status_code == 400


@pytest.mark.parametrize(
    ("path", "size", "kind", "colour"),
    [
        ("m.jpg", (160, 90), "JPEG", GREEN),
        ("so_0/m.jpg", (160, 90), "JPEG", RED),
        ("so_0.5,w_80/m.png", (80, 45), "PNG", RED),
        ("so_1.5/m.webp", (160, 90), "WEBP", GREEN),
        ("so_10p/m.jpg", (160, 90), "JPEG", RED),
        ("so_90%25/m.jpg", (160, 90), "JPEG", GREEN),
        ("so_99/m.jpg", (160, 90), "JPEG", GREEN),
        ("c_fill,g_south_east,w_30,h_30,so_0/m.jpg", (30, 30), "JPEG", RED),
        ("c_pad,w_200,h_200,so_0,f_png/m", (200, 200), "PNG", RED),
    ],
)
def test_a_picture_from_a_video(
    films: Any, path: str, size: tuple[int, int], kind: str, colour: tuple[int, ...]
) -> None:
    image = films.picture(f"video/upload/{path}")
    assert (image.size, image.format) == (size, kind)
    middle = image.convert("RGB").getpixel((size[0] // 2, size[1] // 2))
    assert near(middle, colour)


@pytest.mark.parametrize(
    ("path", "size", "frames", "first"),
    [
        ("w_80/m.mp4", (80, 44), 20, RED),
        ("c_fill,w_64,h_64/m.mp4", (64, 64), 20, RED),
        ("so_1/m.mp4", (160, 90), 10, GREEN),
        ("eo_0.5/m.mp4", (160, 90), 5, RED),
        ("so_0.5,du_1/m.mp4", (160, 90), 10, RED),
        ("so_25p,eo_75p/m.mp4", (160, 90), 10, RED),
        ("so_1.5,eo_1.8,w_80,h_40/m", (80, 40), 3, GREEN),
    ],
)
def test_a_video_is_cut_and_resized(
    films: Any, path: str, size: tuple[int, int], frames: int, first: tuple[int, ...]
) -> None:
    kind, pictures, samples, length = watched(films.get(f"video/upload/{path}"))
    assert "mp4" in kind
    assert {picture.size for picture in pictures} == {size}
    assert len(pictures) == frames
    assert near(pictures[0].getpixel((size[0] // 2, size[1] // 2)), first)
    assert length == pytest.approx(frames / 10, abs=0.15)
    assert samples / 48_000 == pytest.approx(frames / 10, abs=0.1)


def test_a_video_in_another_format(films: Any) -> None:
    answer = films.get("video/upload/m.webm")
    assert answer.headers["content-type"] == "video/webm"
    kind, pictures, samples, _ = watched(answer)
    assert "webm" in kind
    assert len(pictures) == 20
    assert samples / 48_000 == pytest.approx(2.0, abs=0.1)
    assert near(pictures[0].getpixel((5, 5)), BLUE)
    automatic = films.get("video/upload/f_auto,q_auto/m.mp4")
    assert automatic.headers["content-type"] == "video/mp4"


def test_sound_can_be_left_out_and_layers_laid_over(films: Any) -> None:
    out = io.BytesIO()
    Image.new("RGB", (20, 10), (255, 255, 255)).save(out, "PNG")
    films.upload(out.getvalue(), public_id="logo")
    path = "video/upload/ac_none/l_logo,g_south_east/m.mp4"
    _, pictures, samples, _ = watched(films.get(path))
    assert samples == 0
    assert near(pictures[3].getpixel((150, 85)), (255, 255, 255))
    assert near(pictures[3].getpixel((100, 50)), RED)


def test_eager_pictures_and_videos(server: Any, film: Film) -> None:
    answer = server.upload(
        film(), "m.mp4", "video", public_id="m", eager="w_40,so_0/jpg|c_scale,w_80/webm"
    )
    picture, video = answer["eager"]
    assert (picture["format"], picture["width"], picture["height"]) == ("jpg", 40, 23)
    assert (video["format"], video["width"]) == ("webm", 80)
    assert server.session.get(picture["secure_url"]).headers["content-type"] == "image/jpeg"
    assert server.session.get(video["secure_url"]).headers["content-type"] == "video/webm"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("video/upload/so_auto/m.jpg", "Invalid start offset in transformation: auto"),
        ("video/upload/so_101p/m.jpg", "Invalid start offset in transformation: 101p"),
        ("video/upload/so_5/m.mp4", "Invalid start offset or end offset"),
        ("video/upload/e_boomerang/m.mp4", "Invalid effect in transformation: boomerang"),
        ("video/upload/br_500k/m.mp4", "Invalid transformation component - br_500k"),
        ("video/upload/vc_h265/m.mp4", "Invalid video codec in transformation: h265"),
        ("video/upload/w_10/m.avi", "Invalid extension in transformation: avi"),
        ("video/upload/w_10/m.mp3", "Invalid extension in transformation: mp3"),
        ("image/upload/so_1/p.png", "Invalid transformation component - so"),
        ("image/upload/w_10,f_mp4/p.png", "Invalid extension in transformation: mp4"),
        ("image/upload/p.mp4", "Invalid extension in transformation: mp4"),
    ],
)
def test_what_is_not_done_with_videos_is_named(
    films: Any, draw: Callable, path: str, message: str
) -> None:
    films.upload(draw(), public_id="p")
    answer = films.get(path)
    assert answer.status_code == 400
    assert answer.headers["x-cld-error"].startswith(message)
