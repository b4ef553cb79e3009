"""ArrivalStore: fresh uploads with their signatures' intents, many in two round trips.

What a page saves is nearly always the one thing: a new asset of its user, with an open intent of
theirs. That is read and written here for all who save at the same moment together; whatever is
not so plain is left to `AssetStore` and `IntentStore`, which tell what is wrong.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from media_toolkit.asset import Asset
from media_toolkit.errors import StoreError
from media_toolkit.identity import Identity
from media_toolkit.store import saving
from media_toolkit.store.database import Database, Script
from media_toolkit.store.intents import LEEWAY, uploaded_at

T = TypeVar("T")
R = TypeVar("R")

MOST_AT_ONCE = 32
# Reads everybody's intents, to find the one of another user that an upload belongs to.
_EVERYBODY = Identity("media_toolkit", "admin")

# As `IntentStore` matches them, for several assets: at most one candidate each more than there
# are assets, so that each finds one that no other took.
_CANDIDATES = """
SELECT new.n, intent.id, intent.user_id, intent.public_id, intent.parameters
FROM jsonb_to_recordset(%(assets)s::jsonb) AS new (
    n int, user_id text, asset_id text, public_id text, kind text, delivery text, version bigint,
    folder text, tags text[], uploaded_at timestamptz)
CROSS JOIN LATERAL (
    SELECT * FROM upload_intents AS i
    WHERE i.settled_at IS NULL
      AND i.signed_at <= new.uploaded_at + %(leeway)s
      AND i.expires_at >= new.uploaded_at - %(leeway)s
      AND (i.public_id = new.public_id OR (i.public_id IS NULL AND i.user_id = new.user_id))
      AND COALESCE(i.parameters ->> 'type', 'upload') = new.delivery
      AND (NOT i.parameters ? 'folder' OR i.public_id IS NOT NULL
           OR starts_with(new.public_id, (i.parameters ->> 'folder') || '/')
           OR new.folder = i.parameters ->> 'folder')
      AND (NOT i.parameters ? 'asset_folder' OR new.folder = i.parameters ->> 'asset_folder')
      AND (NOT i.parameters ? 'tags'
           OR string_to_array(i.parameters ->> 'tags', ',') <@ new.tags)
    ORDER BY (i.public_id IS NOT NULL) DESC, (i.parameters ?| ARRAY['folder', 'asset_folder']) DESC,
        (i.parameters ? 'tags') DESC, i.signed_at DESC, i.id DESC
    LIMIT %(most)s) AS intent
WHERE NOT EXISTS (SELECT FROM cloudinary_files AS old WHERE old.asset_id = new.asset_id)
  AND NOT EXISTS (
    SELECT FROM cloudinary_files AS old
    WHERE (old.resource_type, old.delivery_type, old.public_id)
          = (new.kind, new.delivery, new.public_id))
"""
_SETTLE = """
UPDATE upload_intents AS i SET settled_at = NOW(), settled_by = 'save', asset_id = new.asset_id,
    asset_public_id = new.public_id, asset_resource_type = new.kind,
    asset_delivery_type = new.delivery, asset_version = new.version
FROM jsonb_to_recordset(%(settled)s::jsonb) AS new (
    id bigint, asset_id text, public_id text, kind text, delivery text, version bigint)
WHERE i.id = new.id AND i.settled_at IS NULL
"""
# A row that came meanwhile is a unique violation, and the arrival no longer plain.
_SAVE = saving.INSERT_GIVEN


@dataclass(frozen=True, slots=True)
class Arrival:
    """One upload to be saved, whose row and intent are its user's.

    Attributes:
        fits: whether it is what was signed: called with the signed parameters.
    """

    asset: Asset
    identity: Identity
    fits: Callable[[Mapping[str, str]], bool]


class ArrivalStore:
    """Saves plain arrivals. Threads may share it, and are the better for it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._together = _Together(self._save, MOST_AT_ONCE)

    def save(self, arrival: Arrival) -> bool:
        """Insert a new asset and settle its intent; False, and nothing done, where it is not
        as plain as that: the row is there already, no intent of the user's fits, or Postgres
        refused."""
        return self._together.do(arrival)

    def _save(self, arrivals: Sequence[Arrival]) -> list[bool]:
        try:
            with self._database.scripts() as run:
                rows = run([(_EVERYBODY, [(_CANDIDATES, _questions(arrivals))])])
                taken = _taken(arrivals, rows)
                if taken:
                    run(_script([(arrivals[n], intent) for n, intent in taken.items()]))
        except StoreError:
            # Of several one may be to blame: each is then told apart.
            taken = {}
        return [n in taken for n in range(len(arrivals))]


def _questions(arrivals: Sequence[Arrival]) -> dict[str, Any]:
    assets = [
        {
            **_told(one.asset),
            "n": n,
            "user_id": one.identity.user_id,
            "folder": one.asset.folder or "",
            "tags": list(one.asset.tags),
            "uploaded_at": uploaded_at(one.asset).isoformat(),
        }
        for n, one in enumerate(arrivals)
    ]
    return {"assets": json.dumps(assets), "leeway": LEEWAY, "most": len(arrivals)}


def _taken(arrivals: Sequence[Arrival], rows: Sequence[tuple[Any, ...]]) -> dict[int, int]:
    """Index → id of the intent, for those that are as plain as can be."""
    taken: dict[int, int] = {}
    passed: set[int] = set()
    names: set[tuple[str, ...]] = set()
    for n, intent, user_id, _, parameters in rows:
        one = arrivals[n]
        if n in taken or n in passed or intent in taken.values():
            continue
        # The first is the one that decides: another user's is never passed over.
        is_own = user_id == one.identity.user_id
        if not is_own or one.asset.identity in names or not one.fits(parameters):
            passed.add(n)
            continue
        taken[n] = intent
        names.add(one.asset.identity)
    return taken


def _script(arrivals: Sequence[tuple[Arrival, int]]) -> Script:
    by_user: dict[Identity, list[tuple[Arrival, int]]] = {}
    for arrival, intent in arrivals:
        by_user.setdefault(arrival.identity, []).append((arrival, intent))
    script = []
    for identity, group in by_user.items():
        rows = {"rows": saving.given([arrival.asset for arrival, _ in group])}
        settled = [{**_told(one.asset), "id": intent} for one, intent in group]
        statements: list[tuple[str, Mapping[str, Any]]] = [
            (_SAVE, rows),
            (_SETTLE, {"settled": json.dumps(settled)}),
        ]
        script.append((identity, statements))
    return script


def _told(asset: Asset) -> dict[str, Any]:
    return {
        "asset_id": asset.asset_id,
        "public_id": asset.public_id,
        "kind": asset.resource_type,
        "delivery": asset.delivery_type,
        "version": asset.version,
    }


@dataclass(slots=True)
class _Ticket(Generic[T, R]):
    item: T
    result: R | None = None
    is_done: bool = field(default=False)


class _Together(Generic[T, R]):
    """Calls of several threads, done by one of them for all that came meanwhile."""

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R]], most: int) -> None:
        self._work = work
        self._most = most
        self._waiting: list[_Ticket[T, R]] = []
        self._guard = threading.Lock()
        self._turn = threading.Lock()

    def do(self, item: T) -> R:
        """The result of `work` for this item."""
        ticket: _Ticket[T, R] = _Ticket(item)
        with self._guard:
            self._waiting.append(ticket)
        with self._turn:
            while not ticket.is_done:
                with self._guard:
                    batch = self._waiting[: self._most]
                    del self._waiting[: self._most]
                self._finish(batch)
        if ticket.result is None:
            raise StoreError("a save that others waited for failed", hint="save it again")
        return ticket.result

    def _finish(self, batch: Sequence[_Ticket[T, R]]) -> None:
        try:
            results = self._work([one.item for one in batch])
            for one, result in zip(batch, results, strict=True):
                one.result = result
        finally:
            for one in batch:
                one.is_done = True
