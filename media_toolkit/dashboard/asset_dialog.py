"""One asset, in a dialog over the library: previews, URLs to copy, metadata.

The URL of the page says which asset is open (`?asset=…`), so that it can be shared.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import streamlit as st

from media_toolkit.asset import RESOURCE_TYPES, Asset
from media_toolkit.dashboard.components.renditions import Rendition, renditions
from media_toolkit.dashboard.fact_table import show_facts
from media_toolkit.dashboard.wording import (
    exact_size,
    kind,
    literal,
    moment,
    play_time,
    show_error,
)
from media_toolkit.errors import MediaToolkitError

if TYPE_CHECKING:
    from media_toolkit.toolkit import MediaToolkit

ASSET_PARAMETER = "asset"
# Preset → what a reader sees in it.
_PREVIEWS = {
    "preview": "Preview: within 1200 × 1200",
    "square": "Square: 600 × 600, filled, automatic gravity",
    "grayscale": "Grayscale: within 800 × 800",
}


def asset_token(asset: Asset) -> str:
    """What names an asset in the page's URL: its asset_id, or, where unknown, its identity."""
    return asset.asset_id or str(asset)


def ask_to_open(asset: Asset) -> None:
    """Name the asset in the page's URL; the next run opens it."""
    st.query_params[ASSET_PARAMETER] = asset_token(asset)


def show_asked_asset(kit: MediaToolkit) -> None:
    """Open the dialog for the asset that the URL names, if it names one."""
    token = st.query_params.get(ASSET_PARAMETER)
    if not token:
        return
    try:
        asset = _find(kit, token)
    except MediaToolkitError as error:
        _dialog("Asset", error=error)
        return
    _dialog(asset.name, kit, asset)


def _find(kit: MediaToolkit, token: str) -> Asset:
    resource_type, _, rest = token.partition("/")
    delivery_type, _, public_id = rest.partition("/")
    if resource_type in RESOURCE_TYPES and public_id:
        return kit.asset(public_id, resource_type=resource_type, delivery_type=delivery_type)
    return kit.asset(token)


def _dialog(
    title: str,
    kit: MediaToolkit | None = None,
    asset: Asset | None = None,
    error: MediaToolkitError | None = None,
) -> None:
    def body() -> None:
        if error is not None:
            show_error(error)
        if kit is not None and asset is not None:
            _previews(kit, asset)
            _metadata(asset)

    short = title if len(title) <= 80 else f"{title[:77]}…"
    st.dialog(literal(short), width="large", on_dismiss=_dismissed)(body)()


def _dismissed() -> None:
    st.query_params.pop(ASSET_PARAMETER, None)


def _previews(kit: MediaToolkit, asset: Asset) -> None:
    is_raw = asset.resource_type == "raw"
    if is_raw:
        st.info("A raw file: Cloudinary makes no pictures of it.")
    shown = [
        Rendition(label, kit.url(asset, preset), kind(asset))
        for preset, label in ({} if is_raw else _PREVIEWS).items()
    ]
    renditions(shown, kit.url(asset), key="renditions")


def _metadata(asset: Asset) -> None:
    rows = {
        "Name": asset.name,
        "public_id": asset.public_id,
        "Type": f"{asset.resource_type} / {asset.delivery_type}",
        "Format": asset.format,
        "Dimensions": asset.width and f"{asset.width} × {asset.height} pixels",
        "Duration": asset.duration and f"{play_time(asset.duration)} ({asset.duration:g} s)",
        "Size": asset.bytes is not None and exact_size(asset.bytes),
        "Tags": ", ".join(asset.tags) or "none",
        "Context": "\n".join(f"{key}: {value}" for key, value in asset.context.items()) or "none",
        "Folder": asset.folder,
        "User": asset.user_id,
        "Saved": asset.upload_timestamp and moment(asset.upload_timestamp),
        "Created": asset.created_at and moment(asset.created_at),
        "Version": asset.version,
        "asset_id": asset.asset_id,
        "etag": asset.etag,
    }
    show_facts({name: str(value) for name, value in rows.items() if value})
    if asset.raw:
        with st.expander("Cloudinary’s whole response"):
            st.code(json.dumps(dict(asset.raw), indent=2, ensure_ascii=False), language="json")
