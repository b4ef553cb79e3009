"""The gallery: thumbnails that can be selected and opened, drawn by the browser."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from media_toolkit.dashboard.components import component, no_reaction


@dataclass(frozen=True, slots=True)
class Tile:
    """One asset in the gallery.

    Attributes:
        id: what the gallery reports back when the tile is selected or opened.
        name: shown below the picture. names: the tooltip. facts: shown below the name.
        label: stands in for the picture where there is none, or where it cannot be loaded.
        thumbnail: delivery URL, or None where there is no picture.
        is_video: whether the picture is a video's poster.
    """

    id: str
    name: str
    names: str
    facts: str
    label: str
    thumbnail: str | None
    is_video: bool = False


@dataclass(frozen=True, slots=True)
class GalleryEvent:
    """What the user did: the ids selected by now, in the tiles' order, and the one to open."""

    selected: tuple[str, ...] = ()
    opened: str | None = None


def gallery(tiles: Iterable[Tile], *, view: str, key: str) -> GalleryEvent:
    """Mount the gallery.

    Click, Space: select or not; Shift-click: select up to here. Double click, Enter: open.

    Args:
        view: names what is shown (filters, page …). Another view begins with nothing selected,
            and scrolls to its top.
        key: of the component in the session.
    """
    shown = list(tiles)
    result = component("gallery", isolate_styles=False)(
        key=key,
        data={"view": view, "tiles": [asdict(tile) for tile in shown]},
        on_selection_change=no_reaction,
        on_opened_change=no_reaction,
    )
    selection: dict[str, Any] = result.selection or {}
    # The browser may still report the selection of the view before.
    ids = set(selection.get("ids", ())) if selection.get("view") == view else set()
    return GalleryEvent(tuple(t.id for t in shown if t.id in ids), result.opened)
