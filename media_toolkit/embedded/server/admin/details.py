"""What the details of one asset tell only when asked.

https://cloudinary.com/documentation/admin_api#get_details_of_a_single_resource_by_public_id
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..cloud import Cloud
from ..facts.analysis import analysed
from ..protocol.form import Form
from ..records.assets import Asset
from ..responses import add_extras
from ..upload.parameters import boolean
from .backups import versions_of

DETAIL_PARAMETERS = frozenset(
    {"max_results", "tags", "context", "derived_next_cursor", "coordinates", "faces", "colors"}
    | {"phash", "image_metadata", "media_metadata", "exif", "pages", "versions"}
)
_METADATA = ("image_metadata", "media_metadata", "exif")
# These may have to decode the picture.
DECODED = ("phash", "colors", *_METADATA)


def examined(cloud: Cloud, asset: Asset, form: Form) -> Asset:
    """The asset with the facts that are asked for and not yet known; blocks.

    What is found is kept, so that it is looked for once.
    """
    extras = asset.extras
    metadata = any(boolean(form, name, False) for name in _METADATA)
    missing = {
        "phash": boolean(form, "phash", False) and extras.phash is None,
        "colors": boolean(form, "colors", False) and extras.colors is None,
        "metadata": metadata and extras.image_metadata is None,
    }
    if asset.resource_type != "image" or not any(missing.values()):
        return asset
    found = analysed(cloud.blobs.path(asset.blob), extras, **missing)

    def change(stored: Asset) -> Asset:
        return replace(stored, extras=found) if stored.blob == asset.blob else stored

    changed = cloud.records.change(asset.resource_type, asset.type, asset.public_id, change)
    return asset if changed is None else replace(asset, extras=found)


def on_request(cloud: Cloud, asset: Asset, form: Form) -> dict[str, Any]:
    """The facts that are asked for; blocks."""
    answer: dict[str, Any] = {}
    wanted = {name: boolean(form, name, False) for name in ("phash", "colors", "faces")}
    add_extras(
        answer,
        asset,
        **wanted,
        coordinates=boolean(form, "coordinates", False),
        metadata=[name for name in _METADATA if boolean(form, name, False)],
    )
    if boolean(form, "versions", False):
        backups = cloud.records.backups_by_name(asset.resource_type, asset.type, asset.public_id)
        answer["versions"] = versions_of(asset, backups)
    return answer


def placeholder(cloud: Cloud, gone: Asset, form: Form) -> dict[str, Any]:
    """What is told of a deleted asset that can be restored; blocks."""
    answer = cloud.responses.listed(gone) | {"bytes": 0, "placeholder": True, "derived": []}
    if boolean(form, "versions", False):
        backups = cloud.records.backups_by_name(gone.resource_type, gone.type, gone.public_id)
        answer["versions"] = versions_of(None, backups)
    return answer
