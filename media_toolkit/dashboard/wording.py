"""How the pages word things: sizes, times, errors, and text that is not Markdown."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from media_toolkit.asset import Asset
from media_toolkit.errors import MediaToolkitError

# Also `:` and `$`: Streamlit reads :red[…], :material/…: and $formulas$ beside Markdown.
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~:$&^=])")


def literal(text: str) -> str:
    """Text for places that take Markdown, shown as it is: file names, tags, error messages."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def show_error(error: MediaToolkitError) -> None:
    """Show what went wrong and what to do about it; where it passes, a button to try again."""
    text = f"**{literal(error.message)}**"
    st.error(f"{text}\n\n{literal(error.hint)}" if error.hint else text)
    if error.is_retryable:
        # A click is all that is needed: Streamlit runs the page again.
        st.button("Try again")


def file_size(number: int) -> str:
    """112525 → "112.5 KB"; decimal units, as Cloudinary counts."""
    if number < 1000:
        return f"{number} bytes" if number != 1 else "1 byte"
    size = float(number)
    for unit in ("KB", "MB", "GB"):
        size /= 1000
        if round(size, 1) < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:,.1f} TB"


def exact_size(number: int) -> str:
    """112525 → "112.5 KB (112,525 bytes)"."""
    return f"{file_size(number)} ({number:,} bytes)" if number >= 1000 else file_size(number)


def play_time(seconds: float) -> str:
    """75.4 → "1:15"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment(time: datetime) -> str:
    """A time in the zone of the browser that looks at it, with the zone's name."""
    zone = browser_zone()
    return f"{time.astimezone(zone):%d %b %Y, %H:%M:%S} {zone}"


def kind(asset: Asset) -> str:
    """What an asset is, for a label: "JPG", "MP4", "CSV", else its resource type."""
    return (asset.format or asset.resource_type).upper()


def names(asset: Asset) -> str:
    """All that an asset is called, for a tooltip: the public_id too where that is another."""
    if asset.name == asset.public_id:
        return asset.name
    return f"{asset.name}\npublic_id: {asset.public_id}"


def facts(asset: Asset) -> str:
    """The line below a name: "JPG · 640 × 427", "MP4 · 1:15", "CSV · 2.1 KB"."""
    parts = [kind(asset)]
    if asset.duration:
        parts.append(play_time(asset.duration))
    elif asset.width and asset.height:
        parts.append(f"{asset.width} × {asset.height}")
    elif asset.bytes is not None:
        parts.append(file_size(asset.bytes))
    return " · ".join(parts)


def browser_zone() -> tzinfo:
    """The time zone of the browser that looks at the page; UTC where it tells none."""
    try:
        return ZoneInfo(st.context.timezone) if st.context.timezone else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
