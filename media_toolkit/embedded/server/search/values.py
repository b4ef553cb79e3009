"""What a search compares with: sizes, lengths of time, moments, ratios and words."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)([a-z]*)", re.IGNORECASE)
_AGO = re.compile(r"(\d{1,5})([hdwmy])", re.IGNORECASE)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_WORD = re.compile(r"[^\W_]+")
_HOURS = {"h": 1, "d": 24, "w": 24 * 7, "m": 24 * 30, "y": 24 * 365}
PLAIN: dict[str, float] = {"": 1}
BYTES: dict[str, float] = {
    "": 1, "b": 1, "k": 2**10, "kb": 2**10, "m": 2**20, "mb": 2**20, "g": 2**30, "gb": 2**30,
}  # fmt: skip
SECONDS: dict[str, float] = {"": 1, "s": 1, "m": 60, "h": 3600}


def number(text: str, units: dict[str, float]) -> float | None:
    """A number with one of the units, or None."""
    match = _NUMBER.fullmatch(text)
    if match is None or match.group(2).lower() not in units or len(text) > 20:
        return None
    return float(match.group(1)) * units[match.group(2).lower()]


def ratio(text: str) -> float | None:
    """`16:9` or `1.78`, or None."""
    width, colon, height = text.partition(":")
    first, second = number(width, PLAIN), number(height, PLAIN) if colon else 1.0
    return first / second if first is not None and second else None


def moment(text: str, now: float) -> tuple[int, int] | None:
    """Unix seconds from the start of what the text means to the start of what follows it.

    A length of time such as `4w` is that long ago; a date is a whole day. None when it is none.
    """
    if match := _AGO.fullmatch(text):
        ago = int(now) - int(match.group(1)) * 3600 * _HOURS[match.group(2).lower()]
        return ago, ago + 1
    if text.isascii() and text.isdigit() and len(text) <= 11:
        return int(text), int(text) + 1
    try:
        found = datetime.fromisoformat(text)
        start = found if found.tzinfo else found.replace(tzinfo=UTC)
        length = timedelta(days=1) if _DAY.fullmatch(text) else timedelta(seconds=1)
        return int(start.timestamp()), int((start + length).timestamp())
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=4096)
def words(text: str) -> tuple[str, ...]:
    """The runs of letters and digits in a text, in lower case."""
    return tuple(_WORD.findall(text.casefold()))


def has_words(text: str | None, wanted: str, prefix: int) -> bool:
    """Whether a text has the words (joined by spaces) next to each other, in their order.

    With `prefix` the last of them may be the start of a longer one.
    """
    if text is None:
        return False
    sought = wanted.split(" ")
    found = _WORD.findall(text.casefold())
    *first, last = sought
    for start in range(len(found) - len(sought) + 1):
        end = found[start + len(first)]
        if found[start : start + len(first)] == first and (
            end.startswith(last) if prefix else end == last
        ):
            return True
    return False


def any_has_words(texts: str, wanted: str, prefix: int) -> bool:
    """`has_words` for any item of a JSON list, or any value of a JSON object."""
    many = json.loads(texts)
    items = many.values() if isinstance(many, dict) else many
    return any(has_words(item, wanted, prefix) for item in items)
