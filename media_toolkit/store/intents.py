"""IntentStore: which uploads were signed, and which of them have come."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa

from media_toolkit import naming
from media_toolkit.asset import Asset
from media_toolkit.errors import FilterError, StoreError
from media_toolkit.identity import Identity
from media_toolkit.store.database import Database
from media_toolkit.store.filters import read_limit, read_name
from media_toolkit.store.intent import (
    LEEWAY,
    SIGNED_BEFORE,
    Intent,
    SettledBy,
    moment_of,
    uploaded_at,
)
from media_toolkit.store.together import Together

if TYPE_CHECKING:
    import pandas as pd

_Opening: TypeAlias = tuple[Identity, Mapping[str, Any]]

RETENTION = timedelta(days=90)
_FORGOTTEN_AT_ONCE = 20
_OPENED_AT_ONCE = 32
FRAME_COLUMNS = (
    *("id", "user_id", "created_at", "signed_at", "expires_at", "settled_at", "settled_by"),
    *("public_id", "parameters", "asset_id", "asset_public_id", "asset_resource_type"),
    *("asset_delivery_type", "asset_version"),
)
_NOT_SIGNED = frozenset({"api_key", "signature"})


# sql/migrations/0053_intents_of_ones_own.sql; the app's role only reads the table.
_OPEN = f"""
SELECT {", ".join(FRAME_COLUMNS)}
FROM media_toolkit_rules.open_intents(%(opened)s::jsonb, %(forgotten)s, %(few)s)
"""
_FORGET = sa.text("SELECT media_toolkit_rules.forget_intents(:before, :limit)")
_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 20))")
# Of another user it is this upload only by the asset_id, which nobody knows before.
_SETTLED_ALREADY = sa.text("""
SELECT * FROM upload_intents
WHERE settled_at IS NOT NULL
  AND (asset_resource_type, asset_delivery_type, asset_public_id) = (:kind, :delivery, :public_id)
  AND asset_version IS NOT DISTINCT FROM :version
  AND (CAST(:user_id AS text) IS NULL OR user_id = :user_id)
  AND (CAST(:asset_id AS text) IS NULL OR asset_id = :asset_id
       OR (asset_id IS NULL AND user_id = auth.user_id()))
ORDER BY asset_id IS NOT DISTINCT FROM :asset_id DESC, settled_at, id
""")
_FITS = """
    signed_at <= :uploaded_at + :leeway AND expires_at >= :uploaded_at - :leeway
    AND (public_id IS NULL OR public_id = :public_id)
    AND COALESCE(parameters ->> 'type', 'upload') = :delivery
    AND (NOT parameters ? 'folder' OR public_id IS NOT NULL
         OR starts_with(:public_id, (parameters ->> 'folder') || '/')
         OR :folder = parameters ->> 'folder')
    AND (NOT parameters ? 'asset_folder' OR :folder = parameters ->> 'asset_folder')
    AND (NOT parameters ? 'tags'
         OR string_to_array(parameters ->> 'tags', ',') <@ CAST(:tags AS text[]))
"""
_MATCHES = f"""
    settled_at IS NULL AND {_FITS}
    AND (:by = 'save' OR created_at <= :uploaded_at + :signed_before)
    AND (CAST(:user_id AS text) IS NULL OR user_id = :user_id)
    AND (CAST(:signed_at AS timestamptz) IS NULL OR signed_at = :signed_at)
    AND (NOT :named_only OR public_id IS NOT NULL
         OR parameters ?| ARRAY['folder', 'asset_folder', 'tags'])
    AND NOT id = ANY(CAST(:passed_over AS bigint[]))
"""
_BEST_FIRST = """
    (public_id IS NOT NULL) DESC, media_toolkit_rules.closeness(parameters) DESC,
    signed_at DESC, id DESC
"""
_FIND = sa.text(f"SELECT * FROM upload_intents WHERE {_MATCHES} ORDER BY {_BEST_FIRST} LIMIT 1")
# Settled by no more than a guess, and by another upload: a save may still tell better.
_FIND_GUESSED = sa.text(f"""
SELECT * FROM upload_intents
WHERE settled_at IS NOT NULL AND settled_by <> 'save' AND user_id = :user_id
  AND created_at <= :uploaded_at + :signed_before AND {_FITS}
ORDER BY {_BEST_FIRST} LIMIT 1
""")
# A row whose present bytes no user had saved before Cloudinary told of them, held for as long as
# its sender may not claim it.
_GIVEN = sa.text("""
SELECT f.id FROM cloudinary_files AS f
WHERE f.user_id = auth.user_id() AND f.version IS NOT DISTINCT FROM :version
  AND (f.asset_id = :asset_id OR (CAST(:asset_id AS text) IS NULL
       AND (f.resource_type, f.delivery_type, f.public_id) = (:kind, :delivery, :public_id)))
  AND 'cloudinary' = (
      SELECT h.changed_by FROM cloudinary_files_history AS h
      WHERE h.file_id = f.id
        AND (h.old IS NULL OR (h.old ->> 'version')::bigint IS DISTINCT FROM f.version)
      ORDER BY h.id DESC LIMIT 1)
FOR SHARE OF f
""")
_SETTLE = sa.text("""
SELECT * FROM media_toolkit_rules.settle_intents(:by, jsonb_build_array(jsonb_build_object(
    'intent', CAST(:intent AS bigint), 'asset_id', CAST(:asset_id AS text),
    'public_id', CAST(:public_id AS text), 'resource_type', CAST(:kind AS text),
    'delivery_type', CAST(:delivery AS text), 'version', CAST(:version AS bigint))))
""")
# Whoever knows of an upload may still sign its name: what was signed after it came stands before
# nobody's earlier signature.
_CONTENDERS = sa.text(f"""
WITH fitting AS (
    SELECT *, created_at <= :uploaded_at + :signed_before AS is_early,
        ARRAY[public_id IS NOT NULL, parameters ?| ARRAY['folder', 'asset_folder'],
              parameters ? 'tags'] AS told
    FROM (
        SELECT * FROM upload_intents WHERE settled_at IS NULL AND public_id = :public_id
        UNION ALL
        SELECT * FROM upload_intents
        WHERE settled_at IS NULL AND public_id IS NULL AND expires_at >= :uploaded_at - :leeway
          AND parameters ?| ARRAY['folder', 'asset_folder', 'tags']
    ) AS telling
    WHERE {_FITS}
), enough AS (SELECT coalesce(max(told) FILTER (WHERE is_early), max(told)) AS told FROM fitting)
SELECT DISTINCT ON (user_id) fitting.* FROM fitting JOIN enough ON fitting.told >= enough.told
ORDER BY user_id, {_BEST_FIRST}
""")
_PLAIN_SIGNERS = sa.text("""
SELECT DISTINCT ON (user_id) * FROM upload_intents
WHERE settled_at IS NULL AND public_id IS NULL AND parameters - 'timestamp' = '{}'
  AND created_at <= :uploaded_at + :signed_before
  AND signed_at <= :uploaded_at + :leeway AND expires_at >= :uploaded_at - :leeway
ORDER BY user_id, signed_at DESC, id DESC
""")
_SIGNED_FOR_ANOTHER = sa.text(
    "SELECT media_toolkit_rules.is_signed_for_another(:public_id, :moment)"
)
_LISTED = sa.text("""
SELECT * FROM upload_intents
WHERE (CAST(:settled AS boolean) IS NULL OR (settled_at IS NOT NULL) = :settled)
  AND (CAST(:user_id AS text) IS NULL OR user_id = :user_id)
ORDER BY created_at DESC, id DESC
LIMIT :limit
""")


class IntentStore:
    """Opens and settles upload intents of one database. Threads may share it.

    **How an upload finds its intent.** Nothing of ours is put among the signed parameters, so
    that the guide's plain signature stays plain; Cloudinary's answers do not name the signature
    either. So an upload is matched by what was signed. An intent fits when it is unsettled and

    - its owner is the one who saves (a notification or reconcile knows no user: any owner);
    - its `signed_at` is the timestamp given, where the caller knows it;
    - the upload's moment (the asset's version, which is Unix seconds) lies between signing and
      expiry, with ten minutes of leeway on both sides; a notification or reconcile, which only
      guess, take none that was written down after that moment;
    - the signed public_id is the asset's; else the signed folder holds it; the signed
      asset_folder is its folder; the signed tags are all on it; the delivery type is the same.

    Of several that fit, the one that signed the most decides (public_id before the longest folder
    before the most tags), then the newest: at most one is settled. The same upload (identity and
    version) told twice settles nothing more. Whose of several users' it is, that does not tell:
    `contenders`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._together: Together[_Opening, Intent | StoreError] = Together(
            self._open_all, _OPENED_AT_ONCE
        )

    def open(
        self, identity: Identity, parameters: Mapping[str, Any], expires_at: datetime | int
    ) -> Intent:
        """Write down one signature before it is handed out.

        Each call also forgets up to 20 intents that expired 90 days ago, so that the table
        stays as large as those 90 days.

        Args:
            parameters: the signed strings with their `timestamp`; api_key and signature are
                left out if they are among them.
            expires_at: a moment, or Unix seconds.

        Raises:
            Unavailable, StoreError: nothing may be handed out then.
        """
        signed = {k: str(v) for k, v in parameters.items() if k not in _NOT_SIGNED}
        values = {
            "parameters": signed,
            "public_id": naming.full_name(signed),
            "signed_at": moment_of(int(signed["timestamp"])).isoformat(),
            "expires_at": moment_of(expires_at).isoformat(),
        }
        opened = self._together.do((identity, values))
        if isinstance(opened, StoreError):
            raise opened
        return opened

    def settle(
        self,
        asset: Asset,
        by: SettledBy,
        identity: Identity,
        timestamp: int | None = None,
        named_only: bool = False,
    ) -> Intent | None:
        """Settle the intent that this upload came from; the class says how it is found.

        Args:
            asset: as Cloudinary tells it.
            by: `save` looks among the intents of `identity` only, the others among all that
                `identity` may see.
            timestamp: the signature's, Unix seconds, where it is known.
            named_only: pass over intents that signed neither public_id, folder nor tags: for
                uploads that may well have come without a signature of ours.

        Returns:
            The intent, now or formerly settled by this upload; None when there is none.
        """
        values = _values(asset, by, identity, timestamp, named_only)

        def work(connection: sa.Connection) -> sa.RowMapping | None:
            # A save and a notification of the same upload would each take an intent.
            connection.execute(_LOCK, {"key": str(asset)})
            row = connection.execute(_SETTLED_ALREADY, values).mappings().first()
            while row is None:
                found = connection.execute(_FIND, values).mappings().first()
                if found is None:
                    return None
                # None where another upload took it meanwhile: then there is a next one.
                values["passed_over"].append(found["id"])
                settling = {**values, "intent": found["id"]}
                row = connection.execute(_SETTLE, settling).mappings().first()
            return row

        row = self._database.run(identity, work)
        return Intent.from_row(dict(row)) if row is not None else None

    def settle_given(self, intent: Intent, asset: Asset) -> bool:
        """Settle the intent by which a notification found an owner, where it has given them the
        row; whether that was so. A row that a user had saved came from no signature, or from one
        that the save has settled."""
        owner = Identity(intent.user_id)
        values = _values(asset, "notification", owner, None, False) | {"intent": intent.id}

        def work(connection: sa.Connection) -> bool:
            connection.execute(_LOCK, {"key": str(asset)})
            if connection.execute(_SETTLED_ALREADY, values).first() is not None:
                return False
            if connection.execute(_GIVEN, values).first() is None:
                return False
            return connection.execute(_SETTLE, values).first() is not None

        return self._database.run(owner, work)

    def find_guessed(self, asset: Asset, identity: Identity) -> Intent | None:
        """The caller's intent that fits this upload, and that a notification or reconcile took for
        another's; None where there is none."""
        values = _values(asset, "save", identity, None, False)
        row = self._database.run(
            identity, lambda c: c.execute(_FIND_GUESSED, values).mappings().first()
        )
        return Intent.from_row(dict(row)) if row is not None else None

    def find(
        self,
        asset: Asset,
        by: SettledBy,
        identity: Identity,
        timestamp: int | None = None,
        named_only: bool = False,
        passed_over: Iterable[int] = (),
    ) -> Intent | None:
        """The intent that `settle` would return; changes nothing. Its `user_id` is the owner.

        Args:
            passed_over: ids of intents that are another upload's.
        """
        values = _values(asset, by, identity, timestamp, named_only)
        values["passed_over"] = list(passed_over)

        def work(connection: sa.Connection) -> sa.RowMapping | None:
            row = connection.execute(_SETTLED_ALREADY, values).mappings().first()
            return row or connection.execute(_FIND, values).mappings().first()

        row = self._database.run(identity, work)
        return Intent.from_row(dict(row)) if row is not None else None

    def is_signed_for_another(self, asset: Asset, identity: Identity) -> bool:
        """Whether somebody else had the name signed when this came, and no upload of theirs is
        known yet."""
        if identity.role == "admin":
            return False
        asked = {"public_id": asset.public_id, "moment": uploaded_at(asset)}
        return self._database.run(
            identity, lambda connection: bool(connection.scalar(_SIGNED_FOR_ANOTHER, asked))
        )

    def contenders(self, asset: Asset, identity: Identity) -> list[Intent]:
        """Who may have sent this upload, by a signed name, folder or tag: of each user the intent
        that fits best, where nobody's signed more of it. Of one who settled theirs by this very
        asset, that one alone.

        These are everybody's intents: nothing of them is for the caller to see.
        """
        values = _values(asset, "notification", identity, None, True)

        def work(connection: sa.Connection) -> list[Intent]:
            rows = connection.execute(_SETTLED_ALREADY, values).mappings().all()
            if asset.asset_id is not None:
                rows = [row for row in rows if row["asset_id"] is not None]
            settled = [Intent.from_row(dict(row)) for row in rows]
            # That a plain one was taken for it is no more than a guess.
            if known := [one for one in settled if one.settled_by == "save" or one.tells]:
                return known
            found = connection.execute(_CONTENDERS, values).mappings()
            return [Intent.from_row(dict(row)) for row in found]

        return self._database.run(Identity(identity.user_id, "admin"), work)

    def signers(self, asset: Asset, identity: Identity) -> list[Intent]:
        """`contenders`, one of each user. Where there are none, the newest plain signature of each
        who had one then: it tells no more than that somebody asked in that hour."""
        if found := self.contenders(asset, identity):
            return list({intent.user_id: intent for intent in found}.values())
        values = _values(asset, "notification", identity, None, False)
        everybody = Identity(identity.user_id, "admin")
        rows = self._database.run(
            everybody, lambda c: c.execute(_PLAIN_SIGNERS, values).mappings().all()
        )
        return [Intent.from_row(dict(row)) for row in rows]

    def unsettled(
        self, identity: Identity, user_id: str | None = None, limit: int = 1_000
    ) -> list[Intent]:
        """The newest intents without an upload: the caller's own, an admin's view of all."""
        return self._listed(identity, settled=False, user_id=user_id, limit=limit)

    def frame(
        self,
        identity: Identity,
        settled: bool | None = None,
        user_id: str | None = None,
        limit: int = 1_000,
    ) -> pd.DataFrame:
        """Intents as a DataFrame, newest first; `settled` None means both.

        Returns:
            Columns id, user_id, created_at, signed_at, expires_at, settled_at, settled_by,
            public_id, parameters, asset_id, asset_public_id, asset_resource_type,
            asset_delivery_type, asset_version. id and asset_version are Int64, times are
            datetime64[us, UTC], parameters a dict, the rest str.

        Raises:
            FilterError: for a value that cannot be read.
        """
        import pandas as pd

        if not isinstance(settled, bool | None):
            raise FilterError(f"settled is not True, False or None: {settled!r}", ids=("settled",))
        user_id = None if user_id is None else read_name("user_id", user_id)
        limit = read_limit(limit)
        found = self._listed(identity, settled, user_id, limit)
        columns = {}
        for name in FRAME_COLUMNS:
            kind: Any = pd.StringDtype(na_value=pd.NA)
            if name in ("id", "asset_version"):
                kind = "Int64"
            elif name.endswith("_at"):
                kind = "datetime64[us, UTC]"
            elif name == "parameters":
                kind = object
            columns[name] = pd.Series([getattr(i, name) for i in found], dtype=kind)
        return pd.DataFrame(columns)

    def forget(self, identity: Identity, limit: int = 1_000) -> int:
        """Delete at most `limit` intents that expired 90 days ago; returns how many."""
        values = {"before": datetime.now(UTC) - RETENTION, "limit": limit}
        with self._database.begin(identity) as connection:
            return int(connection.scalar(_FORGET, values))

    def _listed(
        self, identity: Identity, settled: bool | None, user_id: str | None, limit: int
    ) -> list[Intent]:
        values = {"settled": settled, "user_id": user_id, "limit": limit}
        rows = self._database.run(identity, lambda c: c.execute(_LISTED, values).mappings().all())
        return [Intent.from_row(dict(row)) for row in rows]

    def _open_all(self, openings: Sequence[_Opening]) -> list[Intent | StoreError]:
        """In their order; of each user all or none."""
        places: dict[Identity, list[int]] = {}
        for n, (identity, _) in enumerate(openings):
            places.setdefault(identity, []).append(n)
        opened: dict[int, Intent | StoreError] = {}
        for identity, places_of_one in places.items():
            values = {
                "opened": json.dumps([openings[n][1] for n in places_of_one]),
                "forgotten": datetime.now(UTC) - RETENTION,
                "few": _FORGOTTEN_AT_ONCE,
            }
            try:
                # Run twice it leaves an intent that never comes; not run again, an upload that
                # cannot be.
                rows = self._database.script([(identity, [(_OPEN, values)])])
            except StoreError as error:
                opened |= dict.fromkeys(places_of_one, error)
            else:
                for n, row in zip(places_of_one, rows, strict=True):
                    opened[n] = Intent.from_row(dict(zip(FRAME_COLUMNS, row, strict=True)))
        return [opened[n] for n in range(len(openings))]


def _values(
    asset: Asset, by: SettledBy, identity: Identity, timestamp: int | None, named_only: bool
) -> dict[str, Any]:
    return {
        "by": by,
        "user_id": identity.user_id if by == "save" else None,
        "signed_at": None if timestamp is None else moment_of(timestamp),
        "uploaded_at": uploaded_at(asset),
        "leeway": LEEWAY,
        "signed_before": SIGNED_BEFORE,
        "asset_id": asset.asset_id,
        "public_id": asset.public_id,
        "kind": asset.resource_type,
        "delivery": asset.delivery_type,
        "version": asset.version,
        "folder": asset.folder or "",
        "tags": list(asset.tags),
        "named_only": named_only,
        "passed_over": [],
    }
