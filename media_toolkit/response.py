"""What Cloudinary answers, field by field: read, or refused by the field's name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from media_toolkit.errors import SignatureError

# What reading a field that is no such field ends in.
UNREADABLE = (TypeError, ValueError, ArithmeticError, AttributeError)
_SHOWN = 100


def flat_context(context: Any) -> dict[str, str]:
    """`{"custom": {...}}`, as Cloudinary answers, or a plain mapping → a flat dict of strings.

    A key that is called `custom` and holds no mapping is one like others.

    Raises:
        TypeError: it is no mapping.
    """
    if not context:
        return {}
    if not isinstance(context, Mapping):
        raise TypeError("not a mapping")
    custom = context.get("custom")
    inner = custom if isinstance(custom, Mapping) else context
    return {str(key): context_text(value) for key, value in inner.items() if value is not None}


def context_text(value: Any) -> str:
    """A value of a context as the text that it is kept as: text as it is, all else as JSON."""
    if isinstance(value, bool | list | tuple | Mapping):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def read_tags(value: Any) -> tuple[str, ...]:
    """Tags in their order, each once."""
    if not value:
        return ()
    if isinstance(value, str | bytes | Mapping):
        raise TypeError("not a list")
    return tuple(dict.fromkeys(value))


def read_whole(value: Any) -> int | None:
    """A whole number, which may come as text; None or "" for an unknown one."""
    if value is None or type(value) is int:
        return value
    if isinstance(value, bool):
        raise TypeError("a truth value")
    if isinstance(value, str):
        return int(value) if value else None
    number = int(value)
    if number != value:
        raise ValueError("not whole")
    return number


def read_seconds(value: Any) -> float | None:
    """How long a video or sound is; a picture has nothing, or nought."""
    if not value:
        return None
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def read_moment(value: Any) -> datetime | None:
    """A moment, as ISO 8601 text or a datetime; without a time zone it is UTC."""
    if not value:
        return None
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    # NaT, pandas' missing moment, is a datetime that equals nothing.
    if not isinstance(value, datetime) or value != value:
        raise TypeError("not a moment")
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def read_text(value: Any) -> str:
    """A name or URL. pandas' missing text is no text, though it can be written as one."""
    if type(value) is str:
        return value
    if _is_missing(value):
        raise TypeError("missing")
    return str(value)


def extension(url: str) -> str | None:
    """What the file of a URL ends in, without the dot."""
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name else None


# Each field that can be unreadable, and what it should have been.
_FIELDS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "public_id": (read_text, "text"),
    "resource_type": (read_text, "text"),
    "version": (read_whole, "a whole number"),
    "width": (read_whole, "a whole number"),
    "height": (read_whole, "a whole number"),
    "bytes": (read_whole, "a whole number"),
    "duration": (read_seconds, "a number"),
    "tags": (read_tags, "a list of text"),
    "context": (flat_context, "a mapping"),
    "asset_folder": (read_text, "text"),
    "folder": (read_text, "text"),
    "created_at": (read_moment, "a moment like 2026-01-31T12:00:00Z"),
    "secure_url": (lambda url: extension(read_text(url)), "a URL"),
    "url": (lambda url: extension(read_text(url)), "a URL"),
}


def refusal(response: Any, error: Exception) -> SignatureError:
    """Why a response could not be read: looked for again, field by field."""
    hint = "pass the JSON that the upload answered, unchanged"
    if not isinstance(response, Mapping):
        said = f"{shown(response)} is not a mapping"
        return SignatureError(f"not a Cloudinary response: {said}", hint=hint)
    said, public_id = str(error), response.get("public_id")
    for name, (read, wanted) in _FIELDS.items():
        value = response.get(name)
        try:
            read(value)
        except UNREADABLE:
            said = f"{name} is {shown(value)}, not {wanted}"
            hint = f"{hint}; None says that it is unknown" if _is_missing(value) else hint
            break
    return SignatureError(
        f"not a Cloudinary response: {shown(public_id)}: {said}", hint=hint, ids=(str(public_id),)
    )


def refuse_no_list(responses: Any) -> None:
    """Say at once that one response, text or a DataFrame is no list of responses.

    Raises:
        SignatureError: with what to pass instead.
    """
    hint = "pass a list of what Cloudinary answered"
    if hasattr(responses, "columns"):
        hint = 'pass a list of dicts: frame.to_dict("records"), if its columns are Cloudinary\'s'
    elif isinstance(responses, Mapping):
        hint = "pass [response] for one"
    elif isinstance(responses, Iterable) and not isinstance(responses, str | bytes):
        return
    kind = type(responses).__name__
    raise SignatureError(f"not a list of Cloudinary responses: a {kind}", hint=hint)


def _is_missing(value: Any) -> bool:
    """NaN, NaT, NA: what pandas has for no value."""
    return not isinstance(value, str) and str(value) in ("nan", "NaT", "<NA>")


def shown(value: Any) -> str:
    """A value as a message has it: in full, unless it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
