"""Intent: one upload that was signed, and whether it has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from media_toolkit.asset import Asset

SettledBy = Literal["save", "notification", "reconcile"]

# Cloudinary's clock and ours differ, and a large file arrives after its signature was checked.
LEEWAY = timedelta(minutes=10)
# Versions are whole seconds. Clocks that are set differ by less than an upload takes.
SIGNED_BEFORE = timedelta(seconds=1)
_TELLING = frozenset({"folder", "asset_folder", "tags"})


@dataclass(frozen=True, slots=True)
class Intent:
    """One signed upload; the fields are the columns of `upload_intents`.

    Attributes:
        user_id: who asked for the signature.
        parameters: the signed strings, `timestamp` among them; no api_key, no signature.
        public_id: folder and name when they were signed; None leaves them to the upload.
        signed_at: the signature's timestamp, or when it was written down where the two are more
            than ten minutes apart. expires_at: when Cloudinary stops accepting it.
        settled_at, settled_by: when and by what the upload was heard of; None until then.
        asset_id, asset_public_id, asset_resource_type, asset_delivery_type, asset_version:
            the upload that settled it.
    """

    id: int
    user_id: str
    parameters: Mapping[str, str]
    public_id: str | None
    signed_at: datetime
    created_at: datetime
    expires_at: datetime
    settled_at: datetime | None = None
    settled_by: SettledBy | None = None
    asset_id: str | None = None
    asset_public_id: str | None = None
    asset_resource_type: str | None = None
    asset_delivery_type: str | None = None
    asset_version: int | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Read a row of `upload_intents`."""
        return cls(**{f.name: row[f.name] for f in fields(cls)})

    @property
    def is_settled(self) -> bool:
        """Whether its upload was heard of."""
        return self.settled_at is not None

    @property
    def tells(self) -> bool:
        """Whether it signed a name, folder or tag: the time alone tells nobody apart."""
        return self.public_id is not None or not _TELLING.isdisjoint(self.parameters)

    def is_before(self, asset: Asset) -> bool:
        """Whether it was written down before these bytes came."""
        return self.created_at <= uploaded_at(asset) + SIGNED_BEFORE


def uploaded_at(asset: Asset) -> datetime:
    """When these bytes reached Cloudinary: `created_at` is that of the first upload only."""
    if asset.version is not None and asset.version > 1_000_000_000:
        return moment_of(asset.version)
    return asset.created_at or datetime.now(UTC)


def moment_of(value: datetime | int) -> datetime:
    """A moment, also of Unix seconds."""
    return value if isinstance(value, datetime) else datetime.fromtimestamp(value, UTC)
