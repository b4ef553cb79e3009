"""Whose an upload is that is not saved yet: nobody gets another's by having signed the same."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.embedded.stack import EmbeddedStack
from media_toolkit.identity import Identity
from media_toolkit.store import migrations
from media_toolkit.store.database import Database

Told = dict[str, Any]
EVE = Identity("eve")
OPEN = """
SELECT id FROM media_toolkit_rules.open_intents(jsonb_build_array(jsonb_build_object(
    'parameters', CAST(:parameters AS jsonb), 'public_id', CAST(:public_id AS text),
    'signed_at', now() + interval '5 minutes', 'expires_at', now() + interval '100 years')),
    now(), 1000)
"""
SETTLE = """
SELECT media_toolkit_rules.settle_intents('save', jsonb_build_array(jsonb_build_object(
    'intent', i.id, 'public_id', CAST(:public_id AS text), 'resource_type', 'image',
    'delivery_type', 'upload', 'version', extract(epoch FROM now())::bigint + n)))
FROM (SELECT id, row_number() OVER (ORDER BY id) - 6 AS n FROM upload_intents) AS i
"""


@pytest.fixture(params=["team", "private"], autouse=True)
def policy(request: pytest.FixtureRequest, stack: EmbeddedStack) -> Iterator[str]:
    """Who may read; whose an upload is does not hang on it."""
    owner = Database(stack.database_url)
    migrations.migrate(owner, request.param)
    yield str(request.param)
    migrations.migrate(owner, "team")
    owner.close()


@pytest.fixture
def eve(kit: mt.MediaToolkit) -> mt.MediaToolkit:
    """Who signs the same, and sends nothing."""
    return kit.acting_as("eve")


def raw(kit: mt.MediaToolkit, statement: str, **values: Any) -> list[Any]:
    """SQL of Eve's own, with her claims, as the app's role."""
    with kit._database.begin(EVE) as connection:
        return list(connection.scalars(sa.text(statement), values))


def three_fields(told: Told) -> Told:
    return {name: told[name] for name in ("public_id", "secure_url", "resource_type")}


WAYS: dict[str, Callable[[int], Told]] = {
    "a folder": lambda now: {"folder": "shared", "timestamp": now},
    "a tag": lambda now: {"tags": ["spring"], "timestamp": now},
    "the time": lambda now: {"timestamp": now},
}


@pytest.mark.parametrize("way", WAYS)
def test_who_sent_it_owns_it_though_another_signed_the_same_later(
    ben: mt.MediaToolkit,
    eve: mt.MediaToolkit,
    post: Callable[..., Told],
    tell: Callable[[Told], int],
    owner_of: Callable[[Told], str | None],
    way: str,
) -> None:
    now = int(time.time())
    for is_told in (True, False):
        told = post(ben.sign_for_browser(WAYS[way](now - 1)))
        eve.sign_for_browser(WAYS[way](now))
        if is_told:
            tell(told)
            assert owner_of(told) == "ana", "the unclaimed owner's"
        assert ben.save_from_browser(told).user_id == "ben"
        assert owner_of(told) == "ben"


@pytest.mark.parametrize("way", ["a folder", "a tag"])
@pytest.mark.parametrize("is_told", [True, False], ids=["told", "untold"])
@pytest.mark.parametrize("method", ["save_from_browser", "save"])
def test_three_fields_give_nobody_what_another_may_have_sent(
    ben: mt.MediaToolkit,
    eve: mt.MediaToolkit,
    post: Callable[..., Told],
    tell: Callable[[Told], int],
    owner_of: Callable[[Told], str | None],
    way: str,
    is_told: bool,
    method: str,
) -> None:
    now = int(time.time())
    told = post(ben.sign_for_browser(WAYS[way](now - 1)))
    with pytest.raises(mt.Conflict, match="another user"):
        getattr(eve, method)(three_fields(told))
    eve.sign_for_browser(WAYS[way](now))
    if is_told:
        tell(told)
    with pytest.raises(mt.Conflict, match="the whole of Cloudinary's answer"):
        getattr(eve, method)(three_fields(told))
    assert getattr(ben, method)(told).user_id == "ben"
    assert owner_of(told) == "ben"
    assert ben.save_from_browser(three_fields(told)).user_id == "ben", "once more"


def test_whoever_alone_signed_its_folder_needs_three_fields_only(
    ben: mt.MediaToolkit, eve: mt.MediaToolkit, post: Callable[..., Told]
) -> None:
    eve.sign_for_browser({"folder": "other", "timestamp": int(time.time())})
    eve.sign_for_browser()
    told = post(ben.sign_for_browser({"folder": "shared", "timestamp": int(time.time())}))
    with pytest.raises(mt.Conflict):
        eve.save_from_browser(three_fields(told))
    assert ben.save_from_browser(three_fields(told)).user_id == "ben"


@pytest.mark.parametrize("first", ["notification", "save"])
def test_a_name_that_another_signed_too_is_who_sent_its(
    ben: mt.MediaToolkit,
    eve: mt.MediaToolkit,
    post: Callable[..., Told],
    tell: Callable[[Told], int],
    owner_of: Callable[[Told], str | None],
    first: str,
) -> None:
    name = f"ben/{time.time_ns()}"
    eve.sign_upload(public_id=name)
    signed = ben.sign_upload(public_id=name)
    eve.sign_upload(public_id=name)
    told = post(signed)
    if first == "notification":
        tell(told)
    assert owner_of(told) != "eve"
    with pytest.raises(mt.Conflict):
        eve.save_from_browser(three_fields(told))
    assert ben.save_from_browser(told).user_id == "ben"


def test_a_name_that_is_signed_once_it_is_seen_takes_nothing(
    kit: mt.MediaToolkit,
    ben: mt.MediaToolkit,
    eve: mt.MediaToolkit,
    post: Callable[..., Told],
    tell: Callable[[Told], int],
    owner_of: Callable[[Told], str | None],
) -> None:
    told = post(ben.sign_for_browser({"folder": "shared", "timestamp": int(time.time())}))
    time.sleep(3)
    eve.sign_upload(public_id=told["public_id"])
    tell(told)
    assert owner_of(told) == "ana"
    with pytest.raises(mt.Conflict):
        eve.save_from_browser(three_fields(told))
    assert ben.save_from_browser(told).user_id == "ben"


@pytest.mark.parametrize("method", ["save_from_browser", "save"])
def test_the_signed_answer_to_what_is_there_already_takes_nothing(
    ben: mt.MediaToolkit,
    eve: mt.MediaToolkit,
    post: Callable[..., Told],
    owner_of: Callable[[Told], str | None],
    method: str,
) -> None:
    told = post(ben.sign_for_browser({"folder": "shared", "timestamp": int(time.time())}))
    eve.sign_for_browser()
    time.sleep(3)
    answer = post(eve.sign_upload(public_id=told["public_id"], overwrite=False))
    assert (answer.pop("existing"), "signature" in answer) == (True, True)
    with pytest.raises(mt.Conflict, match="another user"):
        getattr(eve, method)(answer)
    assert ben.save_from_browser(told).user_id == "ben"


def test_nobody_writes_intents_but_by_their_functions(
    kit: mt.MediaToolkit, ben: mt.MediaToolkit, eve: mt.MediaToolkit
) -> None:
    eve.sign_upload()
    ben.sign_upload()
    for statement in (
        "INSERT INTO upload_intents (user_id, parameters, signed_at, expires_at)"
        " VALUES ('eve', '{}', now(), now() + interval '100 years') RETURNING id",
        "INSERT INTO upload_intents (id, user_id, parameters, signed_at, expires_at)"
        " OVERRIDING SYSTEM VALUE SELECT n, 'eve', '{}', now(), now()"
        " FROM generate_series(1, 5000) AS n RETURNING id",
        "UPDATE upload_intents SET expires_at = now() + interval '1 year' RETURNING id",
        "DELETE FROM upload_intents RETURNING id",
    ):
        with pytest.raises(mt.Forbidden):
            raw(kit, statement)
    raw(kit, OPEN, parameters='{"tags": "", "folder": "", "eager": "a"}', public_id="")
    (known,) = [i for i in kit._intents.unsettled(EVE) if "eager" in i.parameters]
    assert (dict(known.parameters), known.public_id) == ({"eager": "a"}, None)
    assert abs((known.signed_at - known.created_at).total_seconds()) < 600
    assert (known.expires_at - known.signed_at).total_seconds() <= 3600
    (bens,) = kit._intents.unsettled(ben.identity)
    with kit._database.begin(EVE) as connection:
        settling = {
            "intent": bens.id, "public_id": "x", "resource_type": "image",
            "delivery_type": "upload", "version": 1,
        }  # fmt: skip
        statement = "SELECT media_toolkit_rules.settle_intents('save', CAST(:s AS jsonb))"
        values = {"s": json.dumps([settling])}
        assert connection.execute(sa.text(statement), values).all() == []
    assert kit._intents.forget(EVE) == 0


def test_what_is_opened_by_sql_of_ones_own_takes_nothing(
    kit: mt.MediaToolkit,
    ben: mt.MediaToolkit,
    post: Callable[..., Told],
    tell: Callable[[Told], int],
    owner_of: Callable[[Told], str | None],
) -> None:
    for is_told in (True, False):
        raw(kit, OPEN, parameters='{"tags": "", "timestamp": "1", "eager": "a"}', public_id=None)
        signed = ben.sign_for_browser()
        told = post(signed)
        if is_told:
            tell(told)
        assert owner_of(told) in ("ben", None)
        assert ben.save_from_browser(told).user_id == "ben"

        signed = ben.sign_for_browser({})
        raw(kit, OPEN, parameters="{}", public_id=signed.fields["public_id"])
        told = post(signed)
        if is_told:
            tell(told)
        assert owner_of(told) != "eve"
        assert ben.save_from_browser(told).user_id == "ben"


@pytest.mark.parametrize("is_told", [True, False], ids=["told", "untold"])
def test_an_upload_that_another_says_to_have_settled_is_who_sent_its(
    kit: mt.MediaToolkit,
    ben: mt.MediaToolkit,
    post: Callable[..., Told],
    tell: Callable[[Told], int],
    owner_of: Callable[[Told], str | None],
    is_told: bool,
) -> None:
    signed = ben.sign_for_browser({})
    for _ in range(20):
        raw(kit, OPEN, parameters='{"eager": "a"}', public_id=None)
    raw(kit, SETTLE, public_id=signed.fields["public_id"])
    assert len(kit.acting_as("eve").intents(settled=True)) == 20
    told = post(signed)
    if is_told:
        tell(told)
        assert owner_of(told) == "ben"
    assert ben.save_from_browser(told).user_id == "ben"
    assert ben.intents().empty


def test_ids_of_runs_are_the_sequences(kit: mt.MediaToolkit, ben: mt.MediaToolkit) -> None:
    with pytest.raises(mt.Forbidden):
        raw(
            kit,
            "INSERT INTO reconcile_runs (id, user_id, scope) OVERRIDING SYSTEM VALUE"
            " SELECT n, 'eve', '{}' FROM generate_series(1, 2000) AS n RETURNING id",
        )
    assert ben.reconcile(progress=False) is not None


def test_what_another_had_signed_is_not_saved_by_kit_save_either(
    ben: mt.MediaToolkit, eve: mt.MediaToolkit, post: Callable[..., Told]
) -> None:
    told = post(ben.sign_for_browser({"folder": "up"}))
    for said in (three_fields(told), told):
        with pytest.raises(mt.Conflict, match="uploaded by another user"):
            eve.save(said)
    assert ben.save(three_fields(told)).user_id == "ben"


def test_of_several_who_had_the_same_signed_reconcile_chooses_nobody(
    settings: mt.Settings, ben: mt.MediaToolkit, eve: mt.MediaToolkit, post: Callable[..., Told]
) -> None:
    folder = f"shared {time.time_ns()}"
    wanted = {"folder": folder, "timestamp": int(time.time())}
    told = post(ben.sign_for_browser(wanted))
    eve.sign_for_browser(wanted)
    with mt.connect(mt.Settings(home=settings.home, admins_list="root"), user_id="root") as root:
        for kit in (eve, root):
            report = kit.reconcile(folder=folder, progress=False).apply(dry_run=True)
            (lost,) = [r for r in report.results if r.difference.kind == "only_in_cloudinary"]
            assert (lost.outcome, "signed" in lost.detail) == ("refused", True)
    assert ben.save_from_browser(told).user_id == "ben"


def test_nobody_is_called_as_cloudinary_is(kit: mt.MediaToolkit, settings: mt.Settings) -> None:
    with pytest.raises(mt.Forbidden, match="cannot be a user"):
        kit.acting_as("cloudinary")
    with pytest.raises(mt.Forbidden, match="cannot be a user"):
        mt.connect(settings, user_id="cloudinary")
