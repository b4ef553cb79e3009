"""AssetIds: whose an asset_id is where rows disagree, once Cloudinary has said whose name it has.

A row's asset_id is its saver's word: of `save_many` and of SQL of one's own nobody has asked
Cloudinary. So a row of another name may have it first, and the unique index keeps it from the row
that it belongs to.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from media_toolkit.asset import Asset
from media_toolkit.identity import Identity
from media_toolkit.store import saving
from media_toolkit.store.database import Database

# Who may do what neither of two users may do to the other's row.
_CLOUDINARY = Identity("cloudinary", "admin")
_NAMED = "(resource_type, delivery_type, public_id) = (:kind, :delivery, :public_id)"
# The row that has the id, or had it last before it went.
_HOLDER = sa.text(f"""
SELECT user_id, {_NAMED} AS is_named FROM cloudinary_files WHERE asset_id = :asset_id
UNION ALL
(SELECT user_id, (old ->> 'resource_type', old ->> 'delivery_type', old ->> 'public_id')
    = (:kind, :delivery, :public_id)
 FROM cloudinary_files_history WHERE old IS NOT NULL AND old ->> 'asset_id' = :asset_id
 ORDER BY id DESC LIMIT 1)
LIMIT 1
""")
_STANDING = sa.text(f"SELECT user_id, asset_id FROM cloudinary_files WHERE {_NAMED} FOR UPDATE")
_TAKE = sa.text("UPDATE cloudinary_files SET asset_id = NULL WHERE asset_id = :asset_id")
_GIVE = sa.text(f"UPDATE cloudinary_files SET asset_id = :asset_id WHERE {_NAMED}")


class AssetIds:
    """Settles whose an asset_id is. Threads may share it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def give(self, asset: Asset, identity: Identity, *, is_senders: bool) -> bool:
        """Give the id to the caller's row of the asset's name; another row of it has none then.

        Args:
            asset: as Cloudinary has told of it a moment ago.
            is_senders: the caller uploaded it, by what they were given to sign it with. A row is
                then made if there is none; otherwise theirs must stand there, without an id.

        Returns:
            Whether it was so: another user's row has the id, under a name that Cloudinary does
            not know it by, and nobody else's row has that name.
        """
        if asset.asset_id is None:
            return False
        values: dict[str, Any] = {
            "asset_id": asset.asset_id,
            "kind": asset.resource_type,
            "delivery": asset.delivery_type,
            "public_id": asset.public_id,
        }

        def work(connection: sa.Connection) -> bool:
            holder = connection.execute(_HOLDER, values).first()
            if holder is None or holder.is_named or holder.user_id == identity.user_id:
                return False
            row = connection.execute(_STANDING, values).first()
            if row is None and is_senders:
                # Whose an id was by the history, an admin's insert with it gives it back to.
                unnamed = replace(asset, asset_id=None, user_id=identity.user_id)
                saving.write(connection, [unnamed], _CLOUDINARY)
            elif row is None or row.user_id != identity.user_id or row.asset_id is not None:
                return False
            connection.execute(_TAKE, values)
            return connection.execute(_GIVE, values).rowcount == 1

        return self._database.run(_CLOUDINARY, work)
