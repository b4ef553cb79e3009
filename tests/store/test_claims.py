"""Claims: what a user has made is theirs, whoever else says that they sent it."""

from __future__ import annotations

from media_toolkit.asset import Asset
from media_toolkit.identity import Identity
from media_toolkit.store.assets import AssetStore
from media_toolkit.store.claims import Claims
from media_toolkit.store.database import Database

ANA, BEN, TOLD = Identity("ana"), Identity("ben"), Identity("cloudinary", "admin")


def asset(public_id: str, number: int) -> Asset:
    url = f"https://res.cloudinary.com/demo/image/upload/v7/{public_id}.png"
    facts = {"asset_id": f"{number:032x}", "public_id": public_id, "version": 7}
    return Asset.from_response({**facts, "resource_type": "image", "secure_url": url}, "ana")


def test_only_a_row_that_no_user_has_made_is_claimed(database: Database) -> None:
    store, claims = AssetStore(database), Claims(database)
    for number, claim in enumerate((claims.claim_sent, claims.claim_proven)):
        made, told = asset(f"made{number}", 2 * number), asset(f"told{number}", 2 * number + 1)
        store.save(made, ANA)
        store.save(told, TOLD)
        assert (claim(made, BEN), claim(told, BEN)) == (False, True)
        assert store.get(made.public_id, ANA).user_id == "ana"
        assert store.get(told.public_id, ANA).user_id == "ben"
        assert not claim(told, ANA), "claimed once"
