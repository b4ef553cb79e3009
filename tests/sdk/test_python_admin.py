"""What Cloudinary's own tests of its Python SDK expect of the Admin API, against ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cloudinary.api
import cloudinary.uploader
import pytest
from cloudinary.exceptions import BadRequest


def test_details_of_an_asset_without_tags_have_none(sdk: Any, samples: Path) -> None:
    path = str(samples / "rocket.jpg")
    cloudinary.uploader.upload(path, public_id="a", tags="x", **sdk.options)
    assert cloudinary.api.resource("a", **sdk.options)["tags"] == ["x"]
    cloudinary.uploader.remove_all_tags(["a"], **sdk.options)
    assert "tags" not in cloudinary.api.resource("a", **sdk.options)


def test_a_change_of_moderation_is_answered(sdk: Any, samples: Path) -> None:
    path = str(samples / "rocket.jpg")
    cloudinary.uploader.upload(path, public_id="a", moderation="manual", **sdk.options)
    answer = cloudinary.api.update("a", moderation_status="approved", **sdk.options)
    assert (answer["moderation"][0]["kind"], answer["moderation"][0]["status"]) == (
        "manual",
        "approved",
    )


def test_the_limits_of_uploads_are_told_whatever_day_is_asked_for(sdk: Any) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    today, before = (
        cloudinary.api.usage(**sdk.options),
        cloudinary.api.usage(date=yesterday, **sdk.options),
    )
    assert today["media_limits"] == before["media_limits"]
    assert today["media_limits"]["image_max_size_bytes"] > 10**9


def test_add_ons_are_refused_by_name_and_value(sdk: Any, samples: Path) -> None:
    path = str(samples / "rocket.jpg")
    cloudinary.uploader.upload(path, public_id="a", **sdk.options)
    for name, refusal in (
        ("raw_convert", "Raw convert is invalid"),
        ("categorization", "is not valid"),
        ("detection", "Detection invalid model 'illegal'"),
        ("background_removal", "is invalid"),
    ):
        with pytest.raises(BadRequest, match=f"{name}.*{refusal}"):
            cloudinary.uploader.upload(path, **{name: "illegal"}, **sdk.options)
        with pytest.raises(BadRequest, match=f"{name}.*Illegal value"):
            cloudinary.api.update("a", **{name: "illegal"}, **sdk.options)


def test_a_kept_version_is_forgotten(sdk: Any, samples: Path) -> None:
    options = {"public_id": "v", "backup": True, **sdk.options}
    old = cloudinary.uploader.upload(str(samples / "rocket.jpg"), **options)
    new = cloudinary.uploader.upload(str(samples / "coffee.png"), **options)
    both = [old["version_id"], new["version_id"]]
    answer = cloudinary.api.delete_backed_up_assets(old["asset_id"], both, **sdk.options)
    assert answer["deleted_version_ids"] == both
    details = cloudinary.api.resource("v", versions=True, **sdk.options)
    assert (details["etag"], details["versions"]) == (new["etag"], [])
    cloudinary.api.delete_resources(["v"], **sdk.options)
    assert cloudinary.api.restore(["v"], **sdk.options) == {"v": {"error": "no_backup"}}


def test_a_preset_tells_its_settings_as_they_were_given(sdk: Any) -> None:
    settings = {
        "eager": [{"width": 20, "format": "jpg"}, {"width": 50}],
        "transformation": [{"crop": "limit", "width": 100}],
        "tags": ["x", "y"],
        "folder": "inbox",
        "live": True,
        "return_delete_token": True,
        "unique_filename": False,
    }
    cloudinary.api.create_upload_preset(name="p", unsigned=True, **settings, **sdk.options)
    told = cloudinary.api.upload_preset("p", **sdk.options)
    assert (told["name"], told["unsigned"]) == ("p", True)
    assert told["settings"] == settings
