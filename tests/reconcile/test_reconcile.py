"""Reconcile: what differs is found within a budget, and mended without losing anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.reconcile.plan import ReconcilePlan
from media_toolkit.store.listings import ListingStore

Kits = Callable[..., mt.MediaToolkit]
_LONG_AGO = "UPDATE reconcile_runs SET updated_at = updated_at - INTERVAL '2 minutes'"


def put(kit: mt.MediaToolkit, data: bytes, public_id: str, **options: Any) -> dict[str, Any]:
    """An asset in Cloudinary that no row knows of."""
    return kit._client.upload(data, "x.png", "image", public_id=public_id, **options)


def plan(kit: mt.MediaToolkit, **scope: Any) -> ReconcilePlan:
    return kit.reconcile(progress=False, **scope)


def mend(found: ReconcilePlan, direction: Any = "to_table") -> Any:
    return found.apply(direction, dry_run=False, progress=False)


def told(found: ReconcilePlan) -> dict[str, tuple[str, list[str]]]:
    """public_id → kind and fields."""
    return {d.public_id: (d.kind, list(d.fields)) for d in found.differences}


def test_1200_assets_cost_three_listing_calls_and_one_a_difference(
    fresh_kit: Kits, pixel: bytes
) -> None:
    kit = fresh_kit()
    with ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(lambda n: put(kit, pixel, f"many/{n:04}"), range(1200)))
    kit.save_many(responses[5:])
    for response in responses[-3:]:
        kit._client.destroy(response["public_id"])
    kit._client.relabel(responses[100]["asset_id"], tags=["new"], context={"alt": "a=b|c"})
    assert kit._client.admin_calls == 1

    found = plan(kit)
    assert (kit._client.admin_calls, found.calls) == (4, 3)
    assert found.is_complete
    assert found.frame["kind"].value_counts().to_dict() == {
        "only_in_cloudinary": 5,
        "only_in_table": 3,
        "differing": 1,
    }
    assert told(found)["many/0100"] == ("differing", ["tags", "context"])
    assert str(found).startswith("5 only in cloudinary, 1 differing, 3 only in table; 1,197 of")
    dry = found.apply()
    assert (dry.calls, kit._client.admin_calls, kit.count()) == (0, 4, 1195)
    assert set(dry.frame["outcome"]) == {"planned"}

    done = mend(found)
    assert (done.calls, kit._client.admin_calls) == (9, 13)
    assert set(done.frame["outcome"]) == {"mended"}
    assert kit.count() == 1197
    changed = kit.asset("many/0100")
    assert (changed.tags, changed.context) == (("new",), {"alt": "a=b|c"})
    assert kit.asset("many/0000").etag == responses[0]["etag"]

    again = mend(found)
    assert set(again.frame["outcome"]) == {"unchanged"}
    assert told(plan(kit)) == {}


def test_a_spent_budget_keeps_the_place_and_the_next_call_goes_on_from_it(
    fresh_kit: Kits, pixel: bytes
) -> None:
    kit = fresh_kit()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: put(kit, pixel, f"n{n}"), range(501)))
    kit.save_many([put(kit, pixel, "gone")])
    kit._client.destroy("gone")

    nothing = plan(kit, budget=0)
    assert (nothing.calls, nothing.listed, nothing.estimated_calls) == (0, 0, 1)
    assert "the budget of 0 Admin calls is spent" in str(nothing)
    assert "run it again" not in str(nothing), "0 would be spent as soon again"
    first = plan(kit, budget=1)
    assert not first.is_complete
    assert (first.listed, first.total, first.estimated_calls) == (500, 501, 2)
    # A row is missed in a whole listing only.
    assert first.frame["kind"].unique().tolist() == ["only_in_cloudinary"]
    assert [r.outcome for r in mend(first).results] == ["unfinished"] * 500
    assert kit.count() == 1

    other = fresh_kit()
    second = plan(other, budget=1)
    assert (second.calls, second.listed, second.is_complete) == (1, 501, True)
    assert told(second)["gone"] == ("only_in_table", [])
    assert len(second.differences) == 502
    assert plan(kit, budget=1, resume=True).listed == 500


def meanwhile(
    kit: mt.MediaToolkit, patch: pytest.MonkeyPatch, happens: Callable[[], object]
) -> None:
    """Have something happen between each page that this kit reads and its place being kept."""
    read = kit._client.listing

    def listing(*asked: Any) -> Any:
        page = read(*asked)
        happens()
        return page

    patch.setattr(kit._client, "listing", listing)


def put_many(kit: mt.MediaToolkit, data: bytes, count: int) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda n: put(kit, data, f"n{n}"), range(count)))


def test_another_reconcile_of_the_same_leaves_one_that_is_at_work_alone(
    fresh_kit: Kits, pixel: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit, other = fresh_kit(), fresh_kit()
    kit.save_many(put_many(kit, pixel, 501))
    others: list[ReconcilePlan] = []
    meanwhile(kit, monkeypatch, lambda: others.append(plan(other)))
    for found in (plan(kit), *others):
        assert (found.is_complete, found.listed, found.calls) == (True, 501, 2)
        assert told(found) == {}
    assert len(others) == 2


def test_reconciles_of_the_same_at_once_find_the_same(fresh_kit: Kits, pixel: bytes) -> None:
    kits = [fresh_kit() for _ in range(4)]
    kits[0].save_many([put(kits[0], pixel, f"n{n}") for n in range(3)])
    put(kits[0], pixel, "lost")
    with ThreadPoolExecutor(len(kits)) as pool:
        found = list(pool.map(plan, kits * 5))
    assert [told(one) for one in found] == [{"lost": ("only_in_cloudinary", [])}] * 20


def test_a_place_is_gone_on_from_by_one_of_two(
    fresh_kit: Kits, pixel: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit, other = fresh_kit(), fresh_kit()
    put_many(kit, pixel, 501)
    assert not plan(kit, budget=1).is_complete
    others: list[ReconcilePlan] = []
    meanwhile(kit, monkeypatch, lambda: others.append(plan(other)))
    assert [(one.calls, one.listed) for one in (plan(kit), *others)] == [(1, 501), (2, 501)]


def test_a_reconcile_that_lost_its_place_to_another_says_so(
    fresh_kit: Kits, pixel: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit, other = fresh_kit(), fresh_kit()
    put_many(kit, pixel, 501)
    assert not plan(kit, budget=1).is_complete
    others: list[ReconcilePlan] = []

    def take_long() -> None:
        with kit._database.direct() as connection:
            connection.execute(sa.text(_LONG_AGO))
        others.append(plan(other))

    meanwhile(kit, monkeypatch, take_long)
    with pytest.raises(mt.Conflict, match=r"another reconcile .* \(run it again\)"):
        plan(kit)
    assert [(one.calls, one.listed) for one in others] == [(1, 501)]


def test_a_reconcile_that_was_interrupted_goes_on_at_once(
    fresh_kit: Kits, pixel: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = fresh_kit()
    put_many(kit, pixel, 501)
    calls = iter([None, KeyboardInterrupt()])

    def interrupt() -> None:
        if error := next(calls):
            raise error

    with monkeypatch.context() as patch:
        meanwhile(kit, patch, interrupt)
        with pytest.raises(KeyboardInterrupt):
            plan(kit)
    found = plan(kit)
    assert (found.calls, found.listed, found.is_complete) == (1, 501, True)


def test_a_reconcile_that_loses_its_connection_at_every_step_finds_and_mends_the_same(
    fresh_kit: Kits, pixel: bytes
) -> None:
    kit = fresh_kit()
    kit.save_many(put_many(kit, pixel, 3))
    kit._client.destroy("n0")
    put(kit, pixel, "lost")
    cut: set[str] = set()

    def cut_off(connection: sa.Connection, cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("\nSELECT set_config") and statement not in cut:
            cut.add(statement)
            own = connection.connection.driver_connection.info.backend_pid
            with kit._database.direct() as other:
                other.execute(sa.text("SELECT pg_terminate_backend(:own, 5000)"), {"own": own})

    sa.event.listen(kit._database.engine, "before_cursor_execute", cut_off)
    found = plan(kit)
    assert told(found) == {"n0": ("only_in_table", []), "lost": ("only_in_cloudinary", [])}
    assert set(mend(found).frame["outcome"]) == {"mended"}
    assert sorted(kit.assets()["public_id"]) == ["lost", "n1", "n2"]
    assert len([statement for statement in cut if "reconcile_" in statement]) > 5


def test_a_run_of_a_killed_reconcile_is_taken_up_after_a_minute(kit: mt.MediaToolkit) -> None:
    listings = ListingStore(kit._database)
    begun = listings.begin(kit.identity, {"cloud": "x"})
    killed = listings.add(begun, kit.identity, [], "next", 2)
    anew = listings.begin(kit.identity, {"cloud": "x"})
    assert anew.id != killed.id
    with kit._database.direct() as connection:
        connection.execute(sa.text(_LONG_AGO))
    again = listings.begin(kit.identity, {"cloud": "x"})
    assert (again.id, again.cursor) == (killed.id, "next")


def test_an_older_place_is_no_news_after_a_whole_listing(kit: mt.MediaToolkit) -> None:
    listings = ListingStore(kit._database)
    older = listings.begin(kit.identity, {"cloud": "x"})
    older = listings.add(older, kit.identity, [], "next", 2)
    whole = listings.begin(kit.identity, {"cloud": "x"})
    listings.finish(listings.add(whole, kit.identity, [], None, 2), kit.identity)
    listings.release(older, kit.identity)
    assert listings.begin(kit.identity, {"cloud": "x"}).calls == 0


@pytest.mark.parametrize("using", ["add", "differences", "finish"])
def test_a_run_that_is_gone_is_not_taken_for_an_empty_one(kit: mt.MediaToolkit, using: str) -> None:
    listings = ListingStore(kit._database)
    run = listings.begin(kit.identity, {"cloud": "x"})
    run = listings.add(run, kit.identity, [], None, 0)
    with kit._database.direct() as connection:
        connection.execute(sa.text("DELETE FROM reconcile_runs"))
    use = {
        "add": lambda: listings.add(run, kit.identity, [], None, 0),
        "differences": lambda: listings.differences(
            run, kit.identity, resource_types=["image"], delivery_types=["upload"]
        ),
        "finish": lambda: listings.finish(run, kit.identity),
    }
    with pytest.raises(mt.Conflict, match="run it again"):
        use[using]()


def test_a_cursor_that_cloudinary_knows_no_more_starts_the_listing_anew(
    fresh_kit: Kits, pixel: bytes
) -> None:
    kit = fresh_kit()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: put(kit, pixel, f"n{n}"), range(501)))
    assert not plan(kit, budget=1).is_complete
    with kit._database.direct() as connection:
        connection.execute(sa.text("UPDATE reconcile_runs SET cursor = 'expired'"))
    found = plan(kit)
    assert (found.is_complete, found.listed, found.calls) == (True, 501, 3)


def test_a_rate_limit_stops_the_listing_and_says_when_to_go_on(
    fresh_kit: Kits, pixel: bytes
) -> None:
    kit = fresh_kit(faults=("limit=1",))
    for n in range(2):
        kit.save_many([put(kit, pixel, f"n{n}")])
    kit._client.destroy("n0")
    assert plan(kit).is_complete
    found = plan(kit)
    assert (found.is_complete, found.differences) == (False, [])
    assert "the limit is reset at" in found.stopped
    assert kit.count() == 2


def test_a_search_that_lags_makes_no_row_disappear(fresh_kit: Kits, pixel: bytes) -> None:
    kit = fresh_kit(search_lag=3600)
    kit.save_many([put(kit, pixel, "just-now")])
    found = plan(kit)
    assert told(found) == {"just-now": ("only_in_table", [])}
    done = mend(found)
    assert [r.outcome for r in done.results] == ["unchanged"]
    assert kit.count() == 1


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> str:
    """A folder of the test's own in the run's shared Cloudinary."""
    return str(request.node.name)


def test_every_field_is_compared_and_the_row_follows_a_rename_and_a_replacement(
    kit: mt.MediaToolkit, pixel: bytes, folder: str
) -> None:
    names = ("renamed", "replaced", "retold", "moved", "guide", "same")
    responses = {name: put(kit, pixel, f"{folder}/{name}", tags=["t"]) for name in names}
    kit.save_many(responses.values())
    uploads = kit._client
    uploads.rename(f"{folder}/renamed", f"{folder}/new-name")
    uploads.destroy(f"{folder}/replaced")
    put(kit, pixel + b"more", f"{folder}/replaced")
    uploads.relabel(responses["retold"]["asset_id"], context={"alt": "x"}, tags=[])
    uploads.relabel(responses["moved"]["asset_id"], folder=f"{folder}/deeper")
    with kit._database.direct() as connection:
        connection.execute(
            sa.text(
                "UPDATE cloudinary_files SET asset_id = NULL, version = NULL, phash = 'p'"
                " WHERE public_id LIKE '%guide'"
            )
        )
    found = plan(kit, folder=folder)
    fields = {
        name.removeprefix(f"{folder}/"): told_of for name, (_, told_of) in told(found).items()
    }
    assert fields.pop("replaced")[0] == "asset_id"
    assert fields == {
        "new-name": ["public_id"],
        "retold": ["tags", "context"],
        "moved": ["folder"],
        "guide": ["asset_id", "version"],
    }
    row = found.frame.set_index("public_id").loc[f"{folder}/retold"]
    assert (row["in_cloudinary"], row["in_table"]) == (
        {"tags": [], "context": {"alt": "x"}},
        {"tags": ["t"], "context": {}},
    )
    assert row["user_id"] == "ana"
    assert {r.outcome for r in mend(found).results} == {"mended"}
    assert kit.asset(f"{folder}/new-name").asset_id == responses["renamed"]["asset_id"]
    # What only an upload tells is kept while the bytes are the same.
    assert kit.asset(f"{folder}/guide").phash == "p"
    assert told(plan(kit, folder=folder)) == {}
    assert kit.count() == len(names)


def test_names_that_changed_hands_are_followed(
    kit: mt.MediaToolkit, pixel: bytes, folder: str
) -> None:
    """Two that swapped theirs, one that took an older one's over a newer one, which is gone."""
    a, b, old, new = (put(kit, pixel, f"{folder}/{n}") for n in ("a", "b", "old", "new"))
    kit.save_many([a, b, old, {**new, "version": new["version"] + 5}])
    for name, other in (("a", "x"), ("b", "a"), ("x", "b")):
        kit._client.rename(f"{folder}/{name}", f"{folder}/{other}")
    kit._client.destroy(f"{folder}/new")
    kit._client.rename(f"{folder}/old", f"{folder}/new")
    done = mend(plan(kit, folder=folder))
    assert {r.outcome for r in done.results} <= {"mended", "unchanged"}, done.frame
    names = {"b": a, "a": b, "new": old}
    assert kit.count() == len(names)
    for name, answer in names.items():
        row = kit.asset(f"{folder}/{name}")
        assert (row.asset_id, row.user_id) == (answer["asset_id"], "ana")
    assert told(plan(kit, folder=folder)) == {}


def test_an_asset_whose_row_another_has_taken_stays_whose_it_was(
    kit: mt.MediaToolkit, settings: mt.Settings, pixel: bytes, folder: str
) -> None:
    with mt.connect(mt.Settings(home=settings.home, admins_list="root"), user_id="root") as root:
        ana = root.acting_as("ana")
        names = ("mine", "hidden", "first", "second")
        mine, hidden, first, second = (put(kit, pixel, f"{folder}/{name}") for name in names)
        ana.save_many([mine, hidden, first, second])
        ana.delete(f"{folder}/hidden")
        kit._client.rename(f"{folder}/mine", f"{folder}/moved")
        time.sleep(1.1)  # a version is a second
        ana.save_many([put(kit, pixel, f"{folder}/mine")])
        kit._client.rename(f"{folder}/hidden", f"{folder}/elsewhere")
        kit._client.rename(f"{folder}/first", f"{folder}/hidden")
        mend(plan(root, folder=folder))
        left = mend(plan(root, folder=folder))
        assert [r.outcome for r in left.results] == ["left"]
        rows = root.assets(folder=folder).set_index("public_id")
        assert rows["user_id"].to_dict() == {
            f"{folder}/{name}": "ana" for name in ("moved", "mine", "hidden", "second")
        }
        assert rows.loc[f"{folder}/moved", "asset_id"] == mine["asset_id"]
        assert rows.loc[f"{folder}/hidden", "asset_id"] == first["asset_id"]


def test_an_older_upload_that_took_a_newer_ones_name_is_followed(
    kit: mt.MediaToolkit, pixel: bytes, folder: str
) -> None:
    old = put(kit, pixel, f"{folder}/old")
    new = put(kit, pixel, f"{folder}/new")
    kit.save_many([{**new, "version": new["version"] + 100}])
    kit._client.destroy(f"{folder}/new")
    renamed = kit._client.rename(f"{folder}/old", f"{folder}/new")
    assert kit.save(renamed).asset_id == old["asset_id"]
    assert told(plan(kit, folder=folder)) == {}


def test_a_nul_in_one_asset_stops_no_reconcile(
    kit: mt.MediaToolkit, pixel: bytes, folder: str
) -> None:
    kit.save_many([put(kit, pixel, f"{folder}/one"), put(kit, pixel, f"{folder}/two")])
    kit._client.add_context({"alt": "a\0b"}, [f"{folder}/one"])
    found = plan(kit, folder=folder)
    assert told(found) == {f"{folder}/one": ("differing", ["context"])}
    assert [r.outcome for r in mend(found).results] == ["mended"]
    assert kit.asset(f"{folder}/one").context == {"alt": "ab"}
    assert told(plan(kit, folder=folder)) == {}


def test_the_table_may_be_right_about_tags_context_and_folder_only(
    kit: mt.MediaToolkit, pixel: bytes, folder: str
) -> None:
    for name in ("labels", "only-here"):
        kit.save_many([put(kit, pixel, f"{folder}/{name}")])
    put(kit, pixel, f"{folder}/only-there")
    kit._client.destroy(f"{folder}/only-here")
    with kit._database.direct() as connection:
        connection.execute(
            sa.text(
                "UPDATE cloudinary_files SET tags = '{a,b}', context = '{\"k\": \"v=1|2\"}',"
                " folder = folder || '/x', version = version - 1 WHERE public_id LIKE '%labels'"
            )
        )
    found = plan(kit, folder=folder)
    calls = kit._client.admin_calls
    done = mend(found, "to_cloudinary")
    assert kit._client.admin_calls == calls + 1
    assert {r.difference.public_id: r.outcome for r in done.results} == {
        f"{folder}/labels": "mended",
        f"{folder}/only-here": "left",
        f"{folder}/only-there": "left",
    }
    known = kit._client.resource(f"{folder}/labels")
    assert (known["tags"], known["context"]) == (["a", "b"], {"custom": {"k": "v=1|2"}})
    assert known["asset_folder"] == f"{folder}/x"
    assert told(plan(kit, folder=folder))[f"{folder}/labels"] == ("differing", ["version"])
    with pytest.raises(mt.FilterError, match="known: to_table, to_cloudinary"):
        found.apply("sideways")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("way", "change"),
    [("reconcile", "edit"), ("reconcile", "rename"), ("reconcile", "delete"), ("save", "edit")],
)
def test_what_is_changed_while_cloudinary_answers_is_not_taken_back(
    kit: mt.MediaToolkit,
    pixel: bytes,
    folder: str,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    change: str,
) -> None:
    name = f"{folder}/shore"
    answer = put(kit, pixel, name, tags=["shore"])
    kit.save_many([answer])
    kit._client.change_tags("add", ["gull"], [name])
    found = plan(kit, folder=folder)
    assert told(found) == {name: ("differing", ["tags"])}
    happens = {
        "edit": lambda: kit.edit(answer["asset_id"], tags=["sea"]),
        "rename": lambda: kit.rename(answer["asset_id"], f"{name}2"),
        "delete": lambda: kit.delete(answer["asset_id"]),
    }[change]
    asked = "resource_by_asset_id" if way == "reconcile" else "explicit"
    ask = getattr(kit._client, asked)

    def then_something_happens(*args: Any, **options: Any) -> Any:
        answer = ask(*args, **options)
        monkeypatch.undo()
        happens()
        return answer

    monkeypatch.setattr(kit._client, asked, then_something_happens)
    if way == "reconcile":
        mend(found)
    else:
        kit.save(answer)
    rows = kit.assets(folder=folder).set_index("public_id")["tags"].to_dict()
    expected = {"edit": {name: ["sea"]}, "rename": {f"{name}2": ["gull", "shore"]}, "delete": {}}
    assert rows == expected[change]


def test_a_row_that_was_deleted_here_is_not_brought_back(
    kit: mt.MediaToolkit, pixel: bytes, folder: str
) -> None:
    for name in ("hidden", "new-bytes"):
        kit.save_many([put(kit, pixel, f"{folder}/{name}")])
    with kit._database.direct() as connection:
        connection.execute(sa.text("UPDATE cloudinary_files SET deleted_at = now()"))
    kit._client.destroy(f"{folder}/new-bytes")
    put(kit, pixel, f"{folder}/new-bytes")
    found = plan(kit, folder=folder)
    assert told(found) == {f"{folder}/new-bytes": ("only_in_cloudinary", [])}
    assert [r.outcome for r in mend(found).results] == ["mended"]
    assert kit.assets()["public_id"].tolist() == [f"{folder}/new-bytes"]


def test_an_upload_whose_browser_died_is_saved_for_the_one_who_asked(
    kit: mt.MediaToolkit, settings: mt.Settings, pixel: bytes, folder: str
) -> None:
    def send(user: str, **options: Any) -> str:
        signed = kit.acting_as(user).sign_upload(resource_type="image", **options)
        answer = requests.post(
            signed.url, data=signed.fields, files={"file": ("x.png", pixel)}, timeout=30
        )
        return str(answer.json()["public_id"])

    lost = send("bo", folder=folder, tags=["spring"])
    never = kit.acting_as("bo").sign_upload(folder=f"{folder}/never")
    named = send("cy", public_id=f"{folder}/named")
    with mt.connect(mt.Settings(home=settings.home, admins_list="boss"), user_id="boss") as boss:
        boss.save_many([put(kit, pixel, f"{folder}/unsigned")])
        found = plan(boss, folder=folder)
        frame = found.frame.set_index(["kind", "public_id"])
        assert frame.loc[("only_in_cloudinary", lost), "user_id"] == "bo"
        assert frame.loc[("unsettled_intent", named), "user_id"] == "cy"
        assert len(frame) == 4
        assert {r.outcome for r in mend(found).results} == {"mended"}
        assert {r.outcome for r in mend(found).results} == {"unchanged"}
        assert kit.asset(lost).user_id == "bo"
        assert kit.asset(named).user_id == "cy"
        assert boss.intents()["parameters"].tolist() == [
            {k: v for k, v in never.fields.items() if k not in ("signature", "api_key")}
        ]
        assert set(boss.intents(settled=True)["settled_by"]) == {"reconcile"}


@pytest.mark.parametrize("is_older", [True, False])
def test_a_signature_in_use_is_still_good_after_a_reconcile_of_what_another_sent(
    kit: mt.MediaToolkit, settings: mt.Settings, pixel: bytes, folder: str, is_older: bool
) -> None:
    bo = kit.acting_as("bo")
    if is_older:
        put(kit, pixel, f"{folder}/another")
        time.sleep(2)
    signed = bo.sign_upload(resource_type="image", folder=folder)
    bo.sign_upload(public_id="something/else")
    if not is_older:
        put(kit, pixel, f"{folder}/another")
    with mt.connect(mt.Settings(home=settings.home, admins_list="boss"), user_id="boss") as boss:
        assert {r.outcome for r in mend(plan(boss, folder=folder)).results} == {"mended"}
        # By its time alone what came after the signing may be bo's.
        assert boss.asset(f"{folder}/another").user_id == ("boss" if is_older else "bo")
        assert len(bo.intents()) == (2 if is_older else 1)
        answer = requests.post(
            signed.url, data=signed.fields, files={"file": ("x.png", pixel)}, timeout=30
        )
        assert bo.save_from_browser(answer.json()).user_id == "bo"
        assert told(plan(boss, folder=folder)) == {}


def test_a_lost_upload_is_not_adopted_by_who_did_not_ask_for_it(
    kit: mt.MediaToolkit, settings: mt.Settings, pixel: bytes, folder: str
) -> None:
    def send(user: str, **options: Any) -> str:
        signed = kit.acting_as(user).sign_upload(resource_type="image", **options)
        answer = requests.post(
            signed.url, data=signed.fields, files={"file": ("x.png", pixel)}, timeout=30
        )
        return str(answer.json()["public_id"])

    def done(acting: mt.MediaToolkit) -> dict[str, tuple[str, str]]:
        results = mend(plan(acting, folder=folder)).results
        kinds = [r for r in results if r.difference.kind == "only_in_cloudinary"]
        return {r.difference.public_id: (r.outcome, r.detail) for r in kinds}

    theirs = send("bo", folder=f"{folder}/bo")
    named = send("bo", public_id=f"{folder}/ana/named")
    kit.sign_upload(folder=f"{folder}/ana")
    mine = send("ana", folder=f"{folder}/ana")
    unsigned = str(put(kit, pixel, "elsewhere/unsigned")["public_id"])
    refused = ("refused", "signed for another user: for them or an admin")
    assert done(kit) == {theirs: refused, named: refused, mine: ("mended", "")}
    assert done(kit.acting_as("bo")) == {theirs: ("mended", ""), named: ("mended", "")}
    assert kit.assets(folder=folder).set_index("public_id")["user_id"].to_dict() == {
        theirs: "bo",
        named: "bo",
        mine: "ana",
    }
    # What nobody asked for is an admin's, or, where there is none, whose kit finds it.
    with mt.connect(mt.Settings(home=settings.home, admins_list="boss"), user_id="ana") as other:
        (left,) = mend(plan(other, folder="elsewhere")).results
        assert (left.outcome, left.detail) == (
            "refused",
            "nobody asked for it here: for an admin to adopt",
        )
        assert mend(plan(other.acting_as("boss"), folder="elsewhere")).is_complete
    assert kit.asset(unsigned).user_id == "boss"


@pytest.mark.parametrize("signed_for", [None, "cy"])
@pytest.mark.parametrize("way", ["upload", "ingest"])
def test_an_upload_that_is_under_way_stays_its_senders_when_an_admin_reconciles(
    fresh_kit: Kits,
    pixel: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    signed_for: str | None,
) -> None:
    root, ana = fresh_kit("root", admins="root"), fresh_kit("ana", admins="root")
    file = tmp_path / "files/one.png"
    file.parent.mkdir()
    file.write_bytes(pixel)
    upload = ana._client.upload
    adopted: list[str] = []
    if signed_for is not None:
        # It says nothing of its upload, so that any may be it.
        root.acting_as(signed_for).sign_upload()

    def reconciled_first(*arguments: Any, **options: Any) -> Any:
        answer = upload(*arguments, **options)
        mend(plan(root))
        adopted.append(root.asset(answer["public_id"]).user_id)
        return answer

    monkeypatch.setattr(ana._client, "upload", reconciled_first)
    if way == "upload":
        assert ana.upload(file, public_id="way/one").user_id == "ana"
    else:
        report = ana.ingest(file.parent, folder="way", progress=False)
        assert report.count("uploaded") == 1, report
    assert adopted == [signed_for or "root"]
    assert ana.edit("way/one", add_tags=["mine"])[0].user_id == "ana"
    assert told(plan(root)) == {}


def test_what_an_admin_adopted_is_nobodys_who_sends_to_its_name_without_overwriting(
    fresh_kit: Kits, pixel: bytes
) -> None:
    root, ana = fresh_kit("root", admins="root"), fresh_kit("ana", admins="root")
    put(root, pixel, "way/one")
    assert mend(plan(root)).is_complete
    # Only Cloudinary knows the name that it makes of the file's.
    named = {"folder": "way", "use_filename": True, "unique_filename": False}
    with pytest.raises(mt.Conflict, match="belongs to root"):
        ana.upload(pixel, filename="one.png", overwrite=False, **named)
    assert ana.asset("way/one").user_id == "root"


def test_rows_of_others_are_left_to_them_and_to_an_admin(
    kit: mt.MediaToolkit, settings: mt.Settings, pixel: bytes, folder: str
) -> None:
    kit.acting_as("bo").save_many([put(kit, pixel, f"{folder}/theirs")])
    kit._client.destroy(f"{folder}/theirs")
    done = mend(plan(kit, folder=folder))
    assert [(r.outcome, r.detail) for r in done.results] == [
        ("refused", "belongs to bo: for the owner or an admin")
    ]
    assert (done.calls, done.is_complete, kit.count()) == (0, False, 1)
    with mt.connect(mt.Settings(home=settings.home, admins_list="boss"), user_id="boss") as boss:
        assert mend(plan(boss, folder=folder)).is_complete
    assert kit.count() == 0


def test_folder_date_and_type_bound_both_sides(
    kit: mt.MediaToolkit, pixel: bytes, folder: str
) -> None:
    put(kit, pixel, f"{folder}/in/a")
    put(kit, pixel, "b", asset_folder=f'{folder}/in/deep "er"')
    put(kit, pixel, f"{folder}/inside/c")
    kit._client.upload(b"text", "t.txt", "raw", public_id=f"{folder}/in/t.txt")
    kit.save_many([put(kit, pixel, f"{folder}/elsewhere/d")])
    kit._client.destroy(f"{folder}/elsewhere/d")
    assert set(told(plan(kit, folder=f"/{folder}/in/"))) == {
        f"{folder}/in/a",
        "b",
        f"{folder}/in/t.txt",
    }
    assert set(told(plan(kit, folder=f"{folder}/in", resource_types="raw"))) == {
        f"{folder}/in/t.txt"
    }
    assert set(told(plan(kit, folder=f'{folder}/in/deep "er"'))) == {"b"}
    assert told(plan(kit, folder=folder, since="2999-01-01")) == {}
    assert len(told(plan(kit, folder=folder, since="2026-01-01"))) == 5
    with pytest.raises(mt.FilterError, match="since is not a date"):
        plan(kit, since="yesterday")
    with pytest.raises(mt.FilterError, match="unknown resource_type audio"):
        plan(kit, resource_types=["audio"])


def test_the_frame_has_its_types_without_rows_too(kit: mt.MediaToolkit, folder: str) -> None:
    empty = plan(kit, folder=folder)
    kinds = empty.frame.dtypes.astype(str)
    assert (kinds["kind"], kinds["fields"], kinds["intent_id"]) == ("string", "object", "Int64")
    assert "no difference" in empty._repr_html_()
    assert str(empty.apply()) == (
        "nothing to mend with 0 Admin calls (a dry run: apply(dry_run=False) does it)"
    )
