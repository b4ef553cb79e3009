"""Upload presets: which uploads they let in, and whose word counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from media_toolkit.embedded.server.records.presets import PresetRecords, UploadPreset

Draw = Callable[..., bytes]


@pytest.fixture
def preset(start_server: Callable[..., Any]) -> Iterator[tuple[Any, Callable[..., None]]]:
    server = start_server()
    records = PresetRecords(server.config.data_dir / "records.sqlite3")

    def add(name: str, *, unsigned: bool = False, **settings: str) -> None:
        assert records.add_upload_preset(UploadPreset(name, unsigned, settings))

    yield server, add
    records.close()


def unsigned(server: Any, data: bytes, **fields: str) -> Any:
    return server.session.post(
        f"{server.api}/image/upload", data=fields, files={"file": ("a.png", data)}
    )


def test_an_unsigned_preset_lets_unsigned_uploads_in(preset: Any, draw: Draw) -> None:
    server, add = preset
    add("open", unsigned=True, folder="inbox", tags="guest", transformation="w_40")
    answer = unsigned(server, draw(), upload_preset="open", tags="mine", public_id="a").json()
    assert (answer["public_id"], answer["width"]) == ("inbox/a", 40)
    assert answer["tags"] == ["mine", "guest"]


def test_an_unsigned_upload_never_replaces(preset: Any, draw: Draw) -> None:
    server, add = preset
    add("open", unsigned=True, overwrite="true")
    first = unsigned(server, draw(40, 40), upload_preset="open", public_id="a").json()
    second = unsigned(server, draw(50, 50), upload_preset="open", public_id="a").json()
    assert second["existing"] is True
    assert second["etag"] == first["etag"]


def test_a_signed_preset_lets_no_unsigned_upload_in(preset: Any, draw: Draw) -> None:
    server, add = preset
    add("closed")
    answer = unsigned(server, draw(), upload_preset="closed")
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert message == "Upload preset must be whitelisted for unsigned uploads"


@pytest.mark.parametrize("name", ["transformation", "overwrite", "eager", "access_mode"])
def test_an_unsigned_upload_may_not_ask_for_everything(preset: Any, draw: Draw, name: str) -> None:
    server, add = preset
    add("open", unsigned=True)
    answer = unsigned(server, draw(), upload_preset="open", **{name: "x"})
    assert answer.status_code == 400
    label = name.replace("_", " ").capitalize()
    assert answer.json()["error"]["message"].startswith(
        f"{label} parameter is not allowed when using unsigned upload. Only upload_preset, "
    )


def test_the_calls_own_word_counts_when_it_is_signed(preset: Any, draw: Draw) -> None:
    server, add = preset
    add("mine", folder="a", tags="x", context="k=preset|other=1", format="jpg")
    answer = server.upload(
        draw(), upload_preset="mine", folder="b", tags="y", context="k=call", public_id="p"
    )
    assert (answer["public_id"], answer["format"]) == ("b/p", "jpg")
    assert answer["tags"] == ["y", "x"]
    assert answer["context"]["custom"] == {"k": "call", "other": "1"}


def test_what_a_preset_asks_for_is_checked_like_anything_else(preset: Any, draw: Draw) -> None:
    server, add = preset
    add("mine", detection="adv_face")
    answer = server.post_upload(draw(), upload_preset="mine")
    assert answer.status_code == 400
    assert "detection" in answer.json()["error"]["message"]


def test_a_preset_may_forbid_a_public_id_and_be_live(preset: Any, draw: Draw) -> None:
    server, add = preset
    add("strict", unsigned=True, disallow_public_id="true", live="true", folder="inbox")
    assert unsigned(server, draw(), upload_preset="strict").json()["folder"] == "inbox"
    refused = unsigned(server, draw(), upload_preset="strict", public_id="mine")
    assert refused.status_code == 400
    assert "public_id" in refused.json()["error"]["message"]
