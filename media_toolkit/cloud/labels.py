"""Labels: tags and context, as Cloudinary will read what is sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeAlias

from media_toolkit.errors import InvalidName
from media_toolkit.response import context_text

TagCommand: TypeAlias = Literal["add", "remove", "replace", "remove_all"]

# A tag is a key of an index, which takes some 2,700 bytes.
MAX_TAG_BYTES = 2_500
# `key=value|key=value`, where a backslash takes the meaning from = and |. The SDKs write one before
# those in a value; a backslash of the value's own, and whatever is in a key, they send as it is.
# https://cloudinary.com/documentation/image_upload_api_reference#upload_optional_parameters
_MISREAD_IN_VALUE = re.compile(r"\\(?=[=|]|\Z)")
_MISREAD_IN_KEY = re.compile(r"[=|\\]")


@dataclass(frozen=True, slots=True)
class Labels:
    """What an edit asks for.

    Attributes:
        replaced: all tags from now on; None where they are not replaced.
        added, removed: some, after that.
        values: keys of the context to set. unset: keys to remove.
    """

    replaced: list[str] | None
    added: list[str]
    removed: list[str]
    values: dict[str, str]
    unset: list[str]

    @classmethod
    def read(
        cls,
        tags: Iterable[str] | None,
        add_tags: Iterable[str],
        remove_tags: Iterable[str],
        context: Mapping[str, Any] | None,
    ) -> Labels:
        """As a caller gives them. Raises InvalidName as `read_tags` and `context_changes`."""
        replaced = None if tags is None else read_tags(tags)
        return cls(replaced, read_tags(add_tags), read_tags(remove_tags), *context_changes(context))

    def commands(self) -> Iterator[tuple[TagCommand, list[str]]]:
        """How Cloudinary is told of the tags, in this order."""
        if self.replaced is not None:
            yield "replace" if self.replaced else "remove_all", self.replaced
        if self.added:
            yield "add", self.added
        if self.removed:
            yield "remove", self.removed


def read_tags(tags: Iterable[str]) -> list[str]:
    """Tags, each once; a comma ends one, since Cloudinary would make two of it.

    Raises:
        InvalidName: one that cannot be the same in Cloudinary and in Postgres.
    """
    given = [tags] if isinstance(tags, str) else tags
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        _refuse("tags", tags, "is no list of text")
    parts = (part.strip() for tag in given for part in str(tag).split(","))
    read = list(dict.fromkeys(part for part in parts if part))
    for tag in read:
        _check_text("tag", tag)
        if len(tag.encode()) > MAX_TAG_BYTES:
            _refuse("tag", tag, f"has more than {MAX_TAG_BYTES:,} bytes")
    return read


def context_changes(context: Mapping[str, Any] | None) -> tuple[dict[str, str], list[str]]:
    """The keys to set with their values as text, and the keys to remove, whose value is None.

    Raises:
        InvalidName: a key or value that Cloudinary would read as another one.
    """
    if context is not None and not isinstance(context, Mapping):
        _refuse("context", context, "is no mapping")
    values: dict[str, str] = {}
    unset: list[str] = []
    for key, value in (context or {}).items():
        name = str(key)
        _check_text("key of the context", name)
        if not name or name != name.strip():
            _refuse("key of the context", name, "is empty or has spaces around it")
        if _MISREAD_IN_KEY.search(name):
            _refuse("key of the context", name, "holds =, | or a backslash")
        if value is None:
            unset.append(name)
            continue
        values[name] = context_text(value)
        _check_text(f"context {name!r}", values[name])
        if _MISREAD_IN_VALUE.search(values[name]):
            _refuse(f"context {name!r}", values[name], "has a backslash before =, | or its end")
    return values, unset


def _check_text(what: str, text: str) -> None:
    if "\0" in text:
        _refuse(what, text, "holds a NUL, which Postgres does not have")
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse(what, text, "holds half a character, which UTF-8 does not have")


def _refuse(what: str, value: Any, reason: str) -> NoReturn:
    shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}…"
    raise InvalidName(
        f"{what} {shown} {reason}", hint="nothing was changed: write it otherwise", ids=(what,)
    )
