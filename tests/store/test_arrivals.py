"""Plain arrivals: a new asset and its user's intent, saved in one round trip or left alone."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.cloud.signing import now
from media_toolkit.errors import Forbidden, StoreError
from media_toolkit.identity import Identity
from media_toolkit.store.arrivals import Arrival, ArrivalStore
from media_toolkit.store.assets import AssetStore
from media_toolkit.store.changes import AssetChanges
from media_toolkit.store.database import Database
from media_toolkit.store.intents import IntentStore
from media_toolkit.store.together import Together

ANA, BO = Identity("ana"), Identity("bo")


def asset(public_id: str = "a", user_id: str = "ana", **changes: Any) -> mt.Asset:
    plain = mt.Asset(
        public_id,
        f"https://res.cloudinary.com/demo/image/upload/v1/{public_id}.jpg",
        "image",
        user_id,
        asset_id=f"{abs(hash(public_id)):032x}"[-32:],
        version=now(),
        format="jpg",
        width=1600,
        height=1200,
        bytes=345_678,
        tags=("spring", "a,b", 'q"\\'),
        context={"alt": "Ein Käfer"},
        folder="",
        original_filename="photo\0.jpg",
        etag="e" * 32,
        phash="f" * 16,
        duration=1.5,
        created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        raw={"colors": [["#fff", 12.5]], "exif": {"Make": "x\0y"}},
    )
    return dataclasses.replace(plain, **changes)


def arrival(
    thing: mt.Asset, identity: Identity = ANA, looked_at: list[Mapping[str, str]] | None = None
) -> Arrival:
    def fits(signed: Mapping[str, str]) -> bool:
        if looked_at is not None:
            looked_at.append(signed)
        return signed.get("allowed_formats") in (None, "jpg")

    return Arrival(thing, identity, fits)


@pytest.fixture
def intents(database: Database, settings: mt.Settings) -> IntentStore:
    return IntentStore(database)


@pytest.fixture
def arrivals(database: Database, settings: mt.Settings) -> ArrivalStore:
    return ArrivalStore(database)


def sign(intents: IntentStore, identity: Identity = ANA, **signed: Any) -> int:
    return intents.open(identity, {**signed, "timestamp": now()}, now() + 3600).id


def test_the_row_is_the_one_that_a_save_makes(
    database: Database, intents: IntentStore, arrivals: ArrivalStore
) -> None:
    sign(intents)
    version = now()
    assert arrivals.save(arrival(asset(version=version)))
    store = AssetStore(database)
    quick = store.get("a", ANA)
    slow = store.save(asset("b", asset_id="b" * 32, version=version), ANA)
    own = {"id", "upload_timestamp", "public_id", "media_url", "asset_id"}
    for field in dataclasses.fields(mt.Asset):
        if field.name not in own:
            assert getattr(quick, field.name) == getattr(slow, field.name), field.name
    assert (quick.user_id, quick.asset_id) == ("ana", asset().asset_id)


def test_its_intent_is_settled_by_it(intents: IntentStore, arrivals: ArrivalStore) -> None:
    older, newer = sign(intents), sign(intents)
    assert arrivals.save(arrival(asset()))
    frame = intents.frame(ANA, settled=True)
    assert frame[["id", "settled_by", "asset_public_id"]].values.tolist() == [[newer, "save", "a"]]
    assert [one.id for one in intents.unsettled(ANA)] == [older]
    # Told again it is not plain any more, and takes no second one.
    assert not arrivals.save(arrival(asset()))
    assert [one.id for one in intents.unsettled(ANA)] == [older]


def test_what_signed_more_is_taken_first_as_by_settle(
    intents: IntentStore, arrivals: ArrivalStore, database: Database
) -> None:
    rules: list[dict[str, Any]] = [
        {"public_id": "f/a"},
        {"folder": "f", "tags": "spring"},
        {"folder": "f"},
        {"tags": "spring"},
        {},
    ]
    ids = [sign(intents, **rule) for rule in rules]
    sign(intents, folder="g"), sign(intents, public_id="other"), sign(intents, tags="autumn")
    sign(intents, type="private")
    version = now()
    for n, expected in enumerate(ids):
        thing = asset("f/a", version=version - n, asset_id=f"{n:032x}")
        found = intents.find(thing, "save", ANA)
        assert found is not None
        assert found.id == expected
        assert arrivals.save(arrival(thing))
        (settled,) = [i.id for i in intents._listed(ANA, True, None, 10) if i.id == expected]
        assert settled == expected
        with database.begin(ANA) as connection:
            connection.execute(sa.text("DELETE FROM cloudinary_files"))
    assert len(intents.unsettled(ANA)) == 4


def test_a_signature_that_limits_more_than_the_name_is_looked_at(
    intents: IntentStore, arrivals: ArrivalStore, database: Database
) -> None:
    looked_at: list[Mapping[str, str]] = []
    sign(intents, public_id="a", allowed_formats="png")
    assert not arrivals.save(arrival(asset(), looked_at=looked_at))
    assert [one.get("allowed_formats") for one in looked_at] == [None, "png"]
    sign(intents, public_id="b", allowed_formats="jpg")
    assert arrivals.save(arrival(asset("b")))
    assert list(AssetStore(database).by_identity("image", ["a", "b"], ANA)) == ["b"]


def test_what_is_not_plain_is_left_alone(
    intents: IntentStore, arrivals: ArrivalStore, database: Database
) -> None:
    assert not arrivals.save(arrival(asset())), "nobody signed it"
    sign(intents, BO)
    assert not arrivals.save(arrival(asset())), "signed for somebody else"
    sign(intents)
    sign(intents, BO, public_id="a")
    assert not arrivals.save(arrival(asset())), "this name was signed for somebody else"
    AssetStore(database).save(asset("b", "bo"), BO)
    assert not arrivals.save(arrival(asset("b"))), "another's row"
    AssetStore(database).save(asset("c"), ANA)
    assert not arrivals.save(arrival(asset("c"))), "a row that stands already"
    renamed = asset("d", asset_id=asset("c").asset_id)
    assert not arrivals.save(arrival(renamed)), "a row that stands by another name"
    assert not arrivals.save(arrival(asset("e", version=now() - 5000))), "long before the signature"
    assert len(intents.unsettled(ANA)) == 1
    assert AssetStore(database).by_identity("image", "abcde", ANA).keys() == {"b", "c"}


def test_anothers_signature_of_the_name_stands_in_the_way_within_its_hour_alone(
    intents: IntentStore, arrivals: ArrivalStore, database: Database
) -> None:
    sign(intents), sign(intents)
    sign(intents, BO, public_id="a"), sign(intents, BO, public_id="b")
    with database.direct() as connection:
        connection.exec_driver_sql(
            "UPDATE upload_intents SET signed_at = signed_at - interval '2 hours',"
            " expires_at = expires_at - interval '2 hours' WHERE public_id = 'a'"
        )
    assert arrivals.save(arrival(asset()))
    assert not arrivals.save(arrival(asset("b")))
    # Whose answer it is has signed that name too.
    own = sign(intents, public_id="b")
    sign(intents, BO, public_id="b")
    assert arrivals.save(arrival(asset("b")))
    settled = intents.frame(ANA, settled=True)
    assert settled["id"].max() == own


def test_what_was_purged_is_not_plain(
    intents: IntentStore, arrivals: ArrivalStore, database: Database
) -> None:
    sign(intents), sign(intents), sign(intents, folder="f")
    thing = asset("f/a")
    assert arrivals.save(arrival(thing))
    changes = AssetChanges(database)
    changes.delete(changes.find("f/a", ANA), ANA)
    assert changes.purge(timedelta(0), ANA, lambda _: True, {})
    looked_at: list[Mapping[str, str]] = []
    assert not arrivals.save(arrival(thing, looked_at=looked_at))
    assert len(intents.unsettled(ANA)) == 2
    assert not AssetStore(database).by_identity("image", ["f/a"], ANA)
    assert arrivals.save(arrival(dataclasses.replace(thing, version=now() + 1)))


def test_many_at_once_take_an_intent_each(
    intents: IntentStore, arrivals: ArrivalStore, database: Database
) -> None:
    for _ in range(20):
        sign(intents), sign(intents, BO)
    things = [arrival(asset(f"a{n}"), ANA) for n in range(20)]
    things += [arrival(asset(f"b{n}", "bo"), BO) for n in range(20)]
    things.append(arrival(asset("a0")))
    other = ArrivalStore(database)  # as another process would have it
    with ThreadPoolExecutor(16) as pool:
        saved = list(pool.map(lambda at: (arrivals, other)[at % 2].save(things[at]), range(41)))
    assert sum(saved) == 40
    for identity in (ANA, BO):
        assert not intents.unsettled(identity)
        settled = intents.frame(identity, settled=True)
        assert settled["asset_public_id"].nunique() == 20
        assert set(settled["user_id"]) == {identity.user_id}


def test_an_arrival_that_postgres_refuses_takes_no_other_with_it(
    intents: IntentStore, arrivals: ArrivalStore, database: Database
) -> None:
    sign(intents), sign(intents, BO)
    both = [arrival(asset("a", width=2**40)), arrival(asset("b", "bo"), BO)]
    assert arrivals._save(both) == [False, True]
    assert len(intents.unsettled(ANA)) == 1


def test_nobody_saves_without_a_name(database: Database, settings: mt.Settings) -> None:
    def save(connection: sa.Connection) -> None:
        connection.execute(sa.text("SELECT set_config('request.jwt.claims', '', true)"))
        connection.execute(
            sa.text("SELECT * FROM media_toolkit_rules.save_arrivals('[]', interval '1 min')")
        )

    with pytest.raises(Forbidden, match="nobody is signed in"):
        database.run(ANA, save)


def test_intents_of_many_callers_are_opened_each_for_its_own(
    intents: IntentStore, database: Database
) -> None:
    callers = [Identity(f"user{n % 5}") for n in range(40)]
    with ThreadPoolExecutor(16) as pool:
        opened = list(
            pool.map(lambda n: intents.open(callers[n], {"timestamp": n}, n + 3600), range(40))
        )
    assert [one.user_id for one in opened] == [caller.user_id for caller in callers]
    assert [one.parameters["timestamp"] for one in opened] == [str(n) for n in range(40)]
    assert len({one.id for one in opened}) == 40
    with pytest.raises(StoreError):
        intents.open(ANA, {"timestamp": 1, "tags": "a\0b"}, 2)


def test_a_turn_that_fails_fails_aloud_for_each_that_waited() -> None:
    def work(items: Any) -> list[int]:
        raise ValueError("broken")

    together: Together[int, int] = Together(work, 4)
    with pytest.raises(ValueError, match="broken"):
        together.do(1)


def test_who_waits_along_for_a_postgres_that_is_away_does_not_wait_again() -> None:
    calls, waiting = [], threading.Event()

    def work(items: Any) -> list[int]:
        calls.append(items)
        waiting.wait(30)
        raise mt.Unavailable("away", hint="try again")

    together: Together[int, int] = Together(work, 2)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(together.do, n) for n in range(8)]
        while len(together._waiting) < 7:
            time.sleep(0.01)
        waiting.set()
        failures = [one.exception(30) for one in asked]
    assert {(type(f), str(f)) for f in failures} == {(mt.Unavailable, "away (try again)")}
    assert len(calls) == 1
