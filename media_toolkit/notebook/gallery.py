"""Assets as a grid of thumbnails in a notebook: Cloudinary transforms, the browser loads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from html import escape
from typing import TYPE_CHECKING, Any

from media_toolkit.asset import Asset
from media_toolkit.errors import FilterError

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = [f.name for f in fields(Asset) if f.name not in ("tags", "context", "raw")]
_NEEDED = [f.name for f in fields(Asset) if f.default is f.default_factory is MISSING]
_TILE = (
    "margin:0;border:1px solid #8883;border-radius:8px;overflow:hidden;background:#8881;"
    "text-decoration:none;color:inherit;display:block"
)
_CAPTION = (
    "padding:6px 8px;font-size:12px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap"
)


@dataclass(frozen=True, slots=True)
class Gallery:
    """A grid to be the last line of a cell. `len()` is the number of tiles."""

    tiles: tuple[str, ...]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.tiles)

    def __repr__(self) -> str:
        return f"<Gallery of {len(self.tiles)} assets>"

    def _repr_html_(self) -> str:
        if not self.tiles:
            return "<p><i>No assets to show.</i></p>"
        more = f"<p>… and {self.left_out:,} more: raise limit=</p>" if self.left_out else ""
        return (
            '<div style="display:grid;gap:12px;'
            'grid-template-columns:repeat(auto-fill,minmax(160px,1fr))">'
            f"{''.join(self.tiles)}</div>{more}"
        )


def build_gallery(
    assets: Sequence[Asset],
    thumbnail: Callable[[Asset], str],
    limit: int = 48,
    total: int | None = None,
) -> Gallery:
    """Make a gallery of at most `limit` assets; the rest, of `total` or of them, is counted."""
    tiles = tuple(_tile(asset, thumbnail(asset)) for asset in assets[:limit])
    return Gallery(tiles, max(0, (len(assets) if total is None else total) - limit))


def assets_of(frame: pd.DataFrame) -> list[Asset]:
    """Rows of `kit.assets()`, or of its Parquet file → assets; missing values become None.

    Without their tags and context, which no tile shows and Parquet keeps otherwise.

    Raises:
        FilterError: naming the columns that are missing.
    """
    missing = [name for name in _NEEDED if name not in frame.columns]
    if missing:
        raise FilterError(
            f"a gallery needs the columns {', '.join(missing)}",
            hint=f"pass rows of kit.assets(), with at least {', '.join(_NEEDED)}",
            ids=tuple(missing),
        )
    frame = frame[[name for name in _SHOWN if name in frame.columns]]
    rows = frame.astype(object).where(frame.notna(), None)
    return [
        Asset.from_row({str(k): _plain(v) for k, v in r.items()}) for r in rows.to_dict("records")
    ]


def _plain(value: Any) -> Any:
    """Where one is missing, plain pandas has the whole numbers of a column as fractions."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _tile(asset: Asset, thumbnail: str) -> str:
    name = escape(asset.name)
    size = f"{asset.width} × {asset.height}" if asset.width else (asset.format or "")
    if asset.resource_type == "image":
        picture = (
            f'<img src="{escape(thumbnail)}" alt="{name}" loading="lazy" '
            'style="width:100%;aspect-ratio:4/3;object-fit:cover;display:block;margin:0">'
        )
    else:
        picture = (
            '<div style="aspect-ratio:4/3;display:flex;align-items:center;'
            f'justify-content:center;font-size:14px;opacity:.6">{escape(asset.resource_type)}</div>'
        )
    # A row adopted from elsewhere may hold any text: only what leads to the web is a link.
    is_link = asset.media_url.lower().startswith(("https://", "http://"))
    href = f'href="{escape(asset.media_url)}" ' if is_link else ""
    return (
        f'<a {href}target="_blank" title="{name}" style="{_TILE}">'
        f'{picture}<div style="{_CAPTION}">{name}<br>'
        f'<span style="opacity:.6">{escape(size)}</span></div></a>'
    )
