"""Another asset under a name: the row of the one that had it makes way where it was another user's.

The asset of a row may go from Cloudinary without the row: in the console, or by a purge that was
killed. Its name is free then for anybody's upload, which is no upload of the row's owner: taken
into the row it would be theirs to destroy. Only Cloudinary's own word, that the other asset has the
name now, removes a row; the history keeps it, and with it whose its asset is should that turn up
elsewhere.
"""

from __future__ import annotations

import time

import sqlalchemy as sa

from media_toolkit.asset import Asset
from media_toolkit.errors import Conflict
from media_toolkit.identity import Identity
from media_toolkit.store import since
from media_toolkit.store.database import Database

# Longer than it takes from asking Cloudinary to here.
_SETTLED_S = 60
# Who acts on what Cloudinary tells: no user's own rights.
_CLOUDINARY = Identity("cloudinary", "admin")
_BEFORE = sa.text("""
SELECT id, asset_id, version, public_id, user_id FROM cloudinary_files
WHERE (resource_type, delivery_type, public_id) = (:kind, :delivery, :public_id)
  AND asset_id <> :asset_id AND user_id <> :user_id
FOR UPDATE
""")
# Of what has a row, a rename is told, which is another matter.
_IS_KNOWN = sa.text("""
SELECT EXISTS (SELECT FROM cloudinary_files WHERE asset_id = :asset_id)
    OR EXISTS (SELECT FROM cloudinary_files_history WHERE user_id <> :user_id AND id IN (
        SELECT media_toolkit_rules.last_told(ARRAY[CAST(:asset_id AS text)])))
""")
_REMOVE = sa.text("DELETE FROM cloudinary_files WHERE id = :id")


def make_way(database: Database, asset: Asset, user_id: str) -> bool:
    """Remove another user's row of another asset from the name that this one has in Cloudinary.

    Args:
        asset: as Cloudinary has just told of it; no answer that a user has passed on.
        user_id: whose row this asset's is to be.

    Returns:
        Whether a row made way. None does for an asset that has a row, or was another user's.

    Raises:
        Conflict: the row came to its name so lately that Cloudinary may have been asked before;
            or a table of the team's own refers to it.
    """
    values = {
        "kind": asset.resource_type,
        "delivery": asset.delivery_type,
        "public_id": asset.public_id,
        "asset_id": asset.asset_id,
        "user_id": user_id,
    }

    def work(connection: sa.Connection) -> bool:
        before = connection.execute(_BEFORE, values).first()
        if before is None or connection.scalar(_IS_KNOWN, values):
            return False
        named = since.named(connection, before)
        if named >= max((asset.version or 0) + 1, time.time() - _SETTLED_S):
            raise Conflict(
                f"the row of {asset} is another user's and a minute old at most",
                hint="save it again in a minute: Cloudinary will be asked who has the name by then",
                ids=(asset.public_id,),
            )
        connection.execute(_REMOVE, {"id": before.id})
        return True

    return database.run(_CLOUDINARY, work)
