"""An open signature is its user's until their own upload comes, whatever else is told meanwhile."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit import media

Told = dict[str, Any]
WAYS: dict[str, dict[str, Any] | None] = {
    "the time": None,
    "a folder": {"folder": "shared"},
    "a tag": {"tags": ["spring"]},
}


def wanted(way: str) -> dict[str, Any] | None:
    """Exactly these strings: no name is added to them."""
    options = WAYS[way]
    return options and {**options, "timestamp": int(time.time())}


@pytest.fixture
def console(kit: mt.MediaToolkit, sample_media: Path) -> Callable[..., Told]:
    """What somebody sends past the toolkit."""
    data = (sample_media / "horse.png").read_bytes()

    def console(name: str, **options: Any) -> Told:
        return dict(kit._client.upload(data, "horse.png", "image", public_id=name, **options))

    return console


@pytest.fixture
def picture(sample_media: Path) -> bytes:
    return (sample_media / "horse.png").read_bytes()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_signed_first", [True, False], ids=["signed first", "sent first"])
def test_anothers_upload_that_is_told_uses_up_nobodys_signature(
    kit: mt.MediaToolkit,
    ben: mt.MediaToolkit,
    picture: bytes,
    post: Callable[..., Told],
    tell: Callable[[Told], int],
    owner_of: Callable[[Told], str | None],
    way: str,
    is_signed_first: bool,
) -> None:
    ben.sign_for_browser({})
    if is_signed_first:
        signed = ben.sign_for_browser(wanted(way))
    sent = kit.upload(io.BytesIO(picture), public_id=f"shared/{time.time_ns()}", tags=["spring"])
    if not is_signed_first:
        signed = ben.sign_for_browser(wanted(way))
    tell(dict(sent.raw))
    assert len(ben.intents()) == 2
    told = post(signed)
    tell(told)
    assert owner_of(told) == "ben"
    assert ben.save_from_browser(told).user_id == "ben"
    assert owner_of(dict(sent.raw)) == "ana"


def test_an_upload_of_ones_own_that_is_told_uses_up_no_signature_either(
    ben: mt.MediaToolkit, picture: bytes, tell: Callable[[Told], int]
) -> None:
    ben.sign_for_browser()
    tell(dict(ben.upload(io.BytesIO(picture)).raw))
    assert len(ben.intents()) == 1


def test_what_was_told_before_its_senders_save_gives_the_signature_back(
    kit: mt.MediaToolkit,
    ben: mt.MediaToolkit,
    picture: bytes,
    post: Callable[..., Told],
    tell: Callable[[Told], int],
    owner_of: Callable[[Told], str | None],
) -> None:
    ben.sign_for_browser()
    name = f"ana/{time.time_ns()}"
    thing = media.read_source(io.BytesIO(picture))
    began = time.monotonic()
    sent = kit._uploads.send(thing, kit.identity, public_id=name)
    tell(dict(sent.raw))
    assert (owner_of(dict(sent.raw)), ben.intents().empty) == ("ben", True)
    assert kit._uploads.keep(sent, kit.identity, began).user_id == "ana"
    assert len(ben.intents()) == 1
    # Cloudinary signs its answer to whoever sends what is there already.
    time.sleep(2)
    answer = post(ben.sign_upload(public_id=name, overwrite=False))
    answer.pop("existing")
    with pytest.raises(mt.MediaToolkitError):
        ben.save_from_browser(answer)
    assert owner_of(answer) == "ana"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", ["save_from_browser", "save"])
def test_who_shows_their_uploads_answer_saves_it_though_a_guess_took_the_signature(
    ben: mt.MediaToolkit,
    console: Callable[..., Told],
    post: Callable[..., Told],
    tell: Callable[[Told], int],
    owner_of: Callable[[Told], str | None],
    way: str,
    method: str,
) -> None:
    ben.sign_for_browser({})
    signed = ben.sign_for_browser(wanted(way))
    guessed = console(f"shared/{time.time_ns()}", tags=["spring"])
    tell(guessed)
    assert owner_of(guessed) == "ben"
    told = post(signed)
    tell(told)
    assert owner_of(told) == "ana", "the unclaimed owner's"
    for kit in (ben.acting_as("dan"), ben.acting_as("eve")):
        with pytest.raises(mt.Conflict):
            getattr(kit, method)(told)
    assert getattr(ben, method)(told).user_id == "ben"
    assert owner_of(told) == "ben"
    assert len(ben.intents()) == 1, "the one of another name"


@pytest.mark.parametrize("method", ["save_from_browser", "save"])
def test_a_signature_that_a_guess_took_is_no_proof_without_the_answers(
    ben: mt.MediaToolkit,
    console: Callable[..., Told],
    tell: Callable[[Told], int],
    owner_of: Callable[[Told], str | None],
    method: str,
) -> None:
    ben.sign_for_browser()
    tell(console(f"a/{time.time_ns()}"))
    told = console(f"b/{time.time_ns()}")
    tell(told)
    three = {name: told[name] for name in ("public_id", "secure_url", "resource_type")}
    with pytest.raises(mt.Conflict):
        getattr(ben, method)(three)
    assert owner_of(told) == "ana"


def test_a_guess_that_another_was_given_gives_way_to_the_answer(
    ben: mt.MediaToolkit,
    console: Callable[..., Told],
    post: Callable[..., Told],
    tell: Callable[[Told], int],
    owner_of: Callable[[Told], str | None],
) -> None:
    signed = ben.sign_for_browser()
    tell(console(f"a/{time.time_ns()}"))
    cy = ben.acting_as("cy")
    cy.sign_for_browser()
    told = post(signed)
    tell(told)
    assert (owner_of(told), cy.intents().empty) == ("cy", True)
    assert ben.save_from_browser(told).user_id == "ben"
    assert len(cy.intents()) == 1
    with pytest.raises(mt.Conflict):
        cy.save_from_browser(told)
    assert owner_of(told) == "ben"


@pytest.mark.parametrize("way", WAYS)
def test_what_came_before_the_signing_is_nobodys_and_takes_no_signature(
    ben: mt.MediaToolkit,
    console: Callable[..., Told],
    tell: Callable[[Told], int],
    owner_of: Callable[[Told], str | None],
    way: str,
) -> None:
    told = console(f"shared/{time.time_ns()}", tags=["spring"])
    time.sleep(2)
    ben.sign_for_browser(wanted(way))
    tell(told)
    assert owner_of(told) == "ana"
    assert len(ben.intents()) == 1


def test_two_signatures_whose_tags_hold_one_another_both_save_their_uploads(
    ben: mt.MediaToolkit, post: Callable[..., Told]
) -> None:
    now = int(time.time())
    for folder in ("a", "b"):
        both = ben.sign_for_browser({"timestamp": now, "folder": folder, "tags": "x,y"})
        one = ben.sign_for_browser({"timestamp": now, "folder": folder, "tags": "x"})
        for signed in (both, one):
            assert ben.save_from_browser(post(signed)).folder == folder
    assert ben.intents().empty


def test_a_plain_signer_is_found_among_any_number_of_open_intents(
    kit: mt.MediaToolkit,
    ben: mt.MediaToolkit,
    post: Callable[..., Told],
    tell: Callable[[Told], int],
    owner_of: Callable[[Told], str | None],
) -> None:
    signed = ben.sign_for_browser()
    statement = """
        INSERT INTO upload_intents (user_id, parameters, public_id, signed_at, expires_at)
        SELECT 'cy', '{"timestamp": "1"}', 'cy/' || n, now(), now() + interval '1 hour'
        FROM generate_series(1, 1001) AS n
    """
    with kit._database.direct() as connection:
        connection.execute(sa.text(statement))
    told = post(signed)
    tell(told)
    assert owner_of(told) == "ben"
