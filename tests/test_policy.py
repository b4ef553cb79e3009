"""UploadPolicy: what may be signed, and what must be true of what is saved."""

from __future__ import annotations

import re
from typing import Any

import pytest

import media_toolkit as mt
from media_toolkit.policy import as_segment

STRICT = mt.UploadPolicy(
    folder="team/{user_id}",
    allowed_formats=("jpg", "PNG"),
    resource_types=("image",),
    max_bytes=1000,
    tags=("web",),
    context={"uploader": "{user_id}"},
)


def asset(**changes: Any) -> mt.Asset:
    facts: dict[str, Any] = {
        "public_id": "team/ana/a",
        "media_url": "https://x/a.jpg",
        "resource_type": "image",
        "user_id": "ana",
        "format": "jpg",
        "bytes": 1000,
        "tags": ("web",),
        "context": {"uploader": "ana"},
    }
    return mt.Asset(**{**facts, **changes})


def test_without_wishes_the_policy_alone_is_signed() -> None:
    assert mt.UploadPolicy().permit({}, "ana") == {}
    assert STRICT.permit({}, "ana") == {
        "folder": "team/ana",
        "allowed_formats": ["jpg", "png"],
        "tags": ["web"],
        "context": {"uploader": "ana"},
    }


def test_wishes_within_the_policy_are_signed_beside_it() -> None:
    wanted = {"folder": "team/ana/spring", "allowed_formats": "png", "tags": "a,web", "context": {}}
    assert STRICT.permit({**wanted, "context": {"alt": "A tulip"}}, "ana") == {
        "folder": "team/ana/spring",
        "allowed_formats": ["png"],
        "tags": ["web", "a"],
        "context": {"alt": "A tulip", "uploader": "ana"},
    }


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"folder": "team/bo"}, "team/bo is not team/ana"),
        ({"folder": "team/anabel"}, "is not team/ana"),
        ({"folder": "team/ana/../bo"}, "'..'"),
        ({"folder": "team/ana//x"}, "empty"),
        ({"public_id": "x"}, "public_id may not be chosen"),
        ({"use_filename": True}, "use_filename may not be chosen"),
        ({"overwrite": True}, "overwrite"),
        ({"allowed_formats": ["svg"]}, "svg"),
        ({"context": {"uploader": "bo"}}, "uploader"),
        ({"notification_url": "https://evil.example"}, "notification_url may not be chosen"),
        ({"transformation": "w_10"}, "transformation may not be chosen"),
        ({"type": "private"}, "type may not be chosen"),
        ({"upload_preset": "loose"}, "upload_preset may not be chosen"),
    ],
)
def test_wishes_beyond_it_are_refused_with_what_is_allowed(
    wanted: dict[str, Any], said: str
) -> None:
    with pytest.raises(mt.PolicyError, match=said) as told:
        STRICT.permit(wanted, "ana")
    assert told.value.http_status == 403
    assert "allowed: allowed_formats, context, folder, tags" in told.value.hint
    assert "folder team/ana or one below it" in told.value.hint


def test_a_chosen_name_does_not_overwrite_unless_that_is_allowed() -> None:
    named = mt.UploadPolicy(may_choose_public_id=True)
    assert named.permit({"public_id": "a"}, "ana") == {"public_id": "a", "overwrite": False}
    with pytest.raises(mt.PolicyError):
        named.permit({"public_id": "a", "overwrite": "true"}, "ana")
    with pytest.raises(mt.PolicyError, match="overwrite=false"):
        named.permit({"public_id": "a"}, "ana", exact=True)
    replacing = mt.UploadPolicy(may_choose_public_id=True, may_overwrite=True)
    assert replacing.permit({"public_id": "a", "overwrite": True}, "ana")["overwrite"] is True
    assert replacing.permit({"public_id": "a"}, "ana")["overwrite"] is False


def test_strings_that_stand_already_are_signed_as_they_are_or_not_at_all() -> None:
    said = {
        "folder": "team/ana",
        "allowed_formats": "jpg",
        "tags": "b,web",
        "context": r"alt=x\|y|uploader=ana",
        "source": "uw",
    }
    assert STRICT.permit(said, "ana", exact=True) == said
    for missing in ("folder", "allowed_formats", "tags", "context"):
        with pytest.raises(mt.PolicyError):
            STRICT.permit({k: v for k, v in said.items() if k != missing}, "ana", exact=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"public_id": "team/bo/a"}, "folder team/ana"),
        ({"public_id": "team/anabel/a"}, "folder team/ana"),
        ({"format": "svg"}, "format is svg"),
        ({"resource_type": "raw"}, "kind raw"),
        ({"bytes": 1001}, "1001 bytes"),
        ({"bytes": None}, "None bytes"),
        ({"tags": ("other",)}, "lacks the tags web"),
        ({"context": {"uploader": "bo"}}, "context uploader is not ana"),
    ],
)
def test_what_comes_back_is_held_against_the_policy(changes: dict[str, Any], said: str) -> None:
    assert STRICT.objections(asset(), "ana") == []
    (told,) = STRICT.objections(asset(**changes), "ana")
    assert said in told


def test_what_comes_back_is_held_against_what_was_signed() -> None:
    signed = {"folder": "team/ana/spring", "allowed_formats": "png", "tags": "web,a"}
    told = STRICT.objections(asset(), "ana", signed)
    assert [word in line for word, line in zip(("spring", "jpg", "a"), told, strict=True)]
    fits = asset(public_id="team/ana/spring/a", format="png", tags=("a", "web"))
    assert STRICT.objections(fits, "ana", signed) == []
    # In accounts with dynamic folders the name tells nothing of the folder; JPEG goes by two.
    assert STRICT.objections(asset(public_id="a", folder="team/ana"), "ana") == []
    assert STRICT.objections(asset(format="jpeg"), "ana") == []


def test_every_user_has_a_folder_of_their_own() -> None:
    users = [
        "ana",
        "ana/x",
        "../ana",
        "..",
        ".",
        "ana=2f=x",
        "ana@example.org",
        "a#b",
        "a b",
        "Ana",
    ]
    segments = [as_segment(user) for user in users]
    assert len(set(segments)) == len(users)
    assert segments[0] == "ana"
    assert segments[6] == "ana@example.org"
    for segment in segments:
        assert "/" not in segment
        assert not segment.startswith(".")


def test_settings_read_it_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "MEDIA_TOOLKIT_UPLOAD_POLICY", '{"folder": "{user_id}", "allowed_formats": ["JPG"]}'
    )
    assert mt.Settings().upload_policy == mt.UploadPolicy(
        folder="{user_id}", allowed_formats=("jpg",)
    )
    assert mt.Settings(upload_policy=STRICT).upload_policy == STRICT
    unreadable = {
        "{": "not JSON",
        '{"max_byte": 1}': "max_byte",
        "[]": "dictionary",
        '{"folder": "{nope}/{user_id}"}': "folder names {nope}; the only",
        '{"tags": ["a", "{user}"]}': "tags names {user}",
        '{"context": {"by": "{}"}}': "context names {}",
    }
    for wrong, said in unreadable.items():
        monkeypatch.setenv("MEDIA_TOOLKIT_UPLOAD_POLICY", wrong)
        with pytest.raises(mt.SettingsError, match=re.escape(said)) as told:
            mt.Settings()
        assert "MEDIA_TOOLKIT_UPLOAD_POLICY" in str(told.value)


def test_origins_are_read_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_TOOLKIT_ORIGINS", "https://a.example, http://localhost:3000")
    assert mt.Settings().origins == {"https://a.example", "http://localhost:3000"}
    for wrong in ("*", "a.example", "https://a.example/", "https://a.example/x", "null"):
        monkeypatch.setenv("MEDIA_TOOLKIT_ORIGINS", wrong)
        with pytest.raises(mt.SettingsError, match="MEDIA_TOOLKIT_ORIGINS"):
            mt.Settings()
