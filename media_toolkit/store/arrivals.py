"""ArrivalStore: fresh uploads with their signatures' intents, many in one round trip.

What a page saves is nearly always the one thing: a new asset of its user, with an open intent of
theirs. That is read and written by one function in Postgres, for all who save at the same moment
together; whatever is not so plain is left to `AssetStore` and `IntentStore`, which tell what is
wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from media_toolkit.asset import Asset
from media_toolkit.errors import StoreError
from media_toolkit.identity import Identity
from media_toolkit.store import saving
from media_toolkit.store.database import Database
from media_toolkit.store.intent import LEEWAY, uploaded_at
from media_toolkit.store.together import Together

MOST_AT_ONCE = 32
# sql/migrations/0053_intents_of_ones_own.sql; it finds intents as `IntentStore` does.
# What was purged here is not as plain as that.
_SAVE = """
SELECT saved.* FROM media_toolkit_rules.save_arrivals((
    SELECT jsonb_agg(CASE WHEN EXISTS (SELECT FROM media_toolkit_rules.purged(
            ARRAY[item ->> 'asset_id'], ARRAY[(item ->> 'version')::bigint]))
        THEN item || '{"fits": false, "intent": null}' ELSE item END ORDER BY n)
    FROM jsonb_array_elements(%(arrivals)s::jsonb) WITH ORDINALITY AS told (item, n)), %(leeway)s)
    AS saved
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One upload to be saved, whose row and intent are its user's.

    Attributes:
        fits: whether it is what was signed: called with the signed parameters. Of these it may
            look at folder, allowed_formats and tags only.
    """

    asset: Asset
    identity: Identity
    fits: Callable[[Mapping[str, str]], bool]


class ArrivalStore:
    """Saves plain arrivals. Threads may share it, and are the better for it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._together = Together(self._save, MOST_AT_ONCE)

    def save(self, arrival: Arrival) -> bool:
        """Insert a new asset and settle its intent; False, and nothing done, where it is not
        as plain as that: the row is there already, no intent of the user's fits, or Postgres
        refused."""
        return self._together.do(arrival)

    def _save(self, arrivals: Sequence[Arrival]) -> list[bool]:
        saved: set[int] = set()
        for identity, group in _by_user(arrivals).items():
            try:
                saved |= self._save_of_one(identity, group)
            except StoreError:
                # Of several one may be to blame: each is then told apart.
                continue
        return [n in saved for n in range(len(arrivals))]

    def _save_of_one(self, identity: Identity, group: Mapping[int, Arrival]) -> set[int]:
        saved: set[int] = set()
        waiting: dict[int, int | None] = dict.fromkeys(group)
        while waiting:
            values = {
                "arrivals": json.dumps([_told(group[n], i) for n, i in waiting.items()]),
                "leeway": LEEWAY,
            }
            rows = self._database.script([(identity, [(_SAVE, values)])])
            asked, waiting = list(waiting.items()), {}
            for at, intent, signed, is_saved in rows:
                n, known = asked[at]
                if is_saved:
                    saved.add(n)
                elif known is None and signed is not None and group[n].fits(signed):
                    # Its signature limits what only the policy can judge: now it has.
                    waiting[n] = intent
        return saved


def _by_user(arrivals: Sequence[Arrival]) -> dict[Identity, dict[int, Arrival]]:
    """Whose they are → place and arrival, of each name the first."""
    groups: dict[Identity, dict[int, Arrival]] = {}
    names: set[tuple[str, ...]] = set()
    for n, one in enumerate(arrivals):
        if one.asset.identity not in names:
            names.add(one.asset.identity)
            groups.setdefault(one.identity, {})[n] = one
    return groups


def _told(arrival: Arrival, intent: int | None) -> dict[str, Any]:
    return {
        **saving.as_row(arrival.asset),
        "uploaded_at": uploaded_at(arrival.asset).isoformat(),
        "intent": intent,
        "fits": arrival.fits({}),
    }
