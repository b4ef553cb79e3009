"""Claims: a row that Cloudinary's word alone made, given to the user whose upload it is."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from media_toolkit.asset import Asset
from media_toolkit.identity import CLOUDINARY, Identity
from media_toolkit.store.database import Database

# No user's own rights give a row away.
_CLOUDINARY = Identity(CLOUDINARY, "admin")

_CLAIM = sa.text("""
WITH claimed AS (
    DELETE FROM notification_marks
    WHERE asset = :key AND field = 'unclaimed' AND value ? :user_id RETURNING asset)
UPDATE cloudinary_files SET user_id = :user_id
WHERE (resource_type, delivery_type, public_id) = (:kind, :delivery, :public_id)
  AND EXISTS (SELECT FROM claimed)
RETURNING id
""")
# No user has done anything to it: all that is known of it, Cloudinary has told, be it reconcile.
# A claim leaves no other trace of its user than the mark.
_UNTOUCHED = """
    version = :version AND user_id <> :user_id
    AND NOT EXISTS (SELECT FROM cloudinary_files_history AS h
                    WHERE h.file_id = f.id AND h.changed_by <> 'cloudinary')
    AND NOT EXISTS (SELECT FROM notification_marks
                    WHERE asset = coalesce(f.asset_id, :key) AND field = 'claimed')
"""
_CLAIM_SENT = sa.text(f"""
UPDATE cloudinary_files AS f SET user_id = :user_id
WHERE asset_id = :asset_id AND {_UNTOUCHED}
RETURNING asset_id
""")
# An answer's signature covers name and version alone.
_CLAIM_PROVEN = sa.text(f"""
UPDATE cloudinary_files AS f SET user_id = :user_id
WHERE (resource_type, delivery_type, public_id) = (:kind, :delivery, :public_id)
  AND (asset_id = :asset_id OR CAST(:asset_id AS text) IS NULL OR asset_id IS NULL)
  AND {_UNTOUCHED}
RETURNING asset_id
""")
_CLAIMED = sa.text("""
WITH claimants AS (
    DELETE FROM notification_marks WHERE asset = :key AND field = 'unclaimed')
INSERT INTO notification_marks (asset, field, told_at, value)
VALUES (:key, 'claimed', NOW(), to_jsonb(CAST(:user_id AS text)))
ON CONFLICT (asset, field) DO UPDATE SET told_at = excluded.told_at, value = excluded.value
""")
_REOPEN = sa.text("SELECT media_toolkit_rules.reopen_intents("
                  ":user_id, :public_id, :kind, :delivery, :version)")  # fmt: skip


class Claims:
    """Settles whose a row is that no user has made. Threads may share it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, asset: Asset, identity: Identity) -> bool:
        """Give a row to one of those who may have asked for its upload; whether that was done."""
        values = _claiming(asset, identity)
        with self._database.begin(_CLOUDINARY) as connection:
            if connection.execute(_CLAIM, values).first() is None:
                return False
            connection.execute(_CLAIMED, values)
            return True

    def claim_sent(self, asset: Asset, identity: Identity) -> bool:
        """Give a row that a notification or reconcile made to who has just sent the upload; whether
        it was so.

        Either may come before the sender's own save, and cannot tell whose it is.
        """
        return self._claim_untouched(_CLAIM_SENT, asset, identity)

    def claim_proven(self, asset: Asset, identity: Identity) -> bool:
        """As `claim_sent`, to who has shown Cloudinary's signed answer to an upload that a
        signature of theirs fits, of before it came."""
        return self._claim_untouched(_CLAIM_PROVEN, asset, identity)

    def _claim_untouched(self, statement: sa.TextClause, asset: Asset, identity: Identity) -> bool:
        values = _claiming(asset, identity)

        def work(connection: sa.Connection) -> bool:
            row = connection.execute(statement, values).first()
            if row is None:
                return False
            connection.execute(_CLAIMED, {**values, "key": row.asset_id or values["key"]})
            connection.execute(_REOPEN, values)
            return True

        return self._database.run(_CLOUDINARY, work)


def _claiming(asset: Asset, identity: Identity) -> dict[str, Any]:
    return {
        "key": asset.asset_id or str(asset),
        "user_id": identity.user_id,
        "kind": asset.resource_type,
        "delivery": asset.delivery_type,
        "public_id": asset.public_id,
        "asset_id": asset.asset_id,
        "version": asset.version,
    }
