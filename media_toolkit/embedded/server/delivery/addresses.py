"""Delivery paths taken apart.

`<resource_type>/<type>/[s--...--/][transformations/][v<n>/]<id>[.<ext>]`, and the shorter and
longer spellings that the SDKs build.
https://cloudinary.com/documentation/advanced_url_delivery_options
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from ..errors import DeliveryError
from ..transform.parse import is_component, looks_like_component
from ..upload.parameters import UPLOAD_TYPES

_RESOURCE_TYPES = ("image", "video", "raw")
_SHORT = {"iu": ("image", "upload")}
# After these, the last segment is words for search engines and no part of the public_id.
_SUFFIXED = {
    "images": ("image", "upload"),
    "private_images": ("image", "private"),
    "authenticated_images": ("image", "authenticated"),
    "files": ("raw", "upload"),
    "videos": ("video", "upload"),
}
_SIGNATURE = re.compile(r"s--([A-Za-z0-9_-]{8}|[A-Za-z0-9_-]{32})--")
_VERSION = re.compile(r"v\d+")


@dataclass(frozen=True)
class Address:
    """A delivery path taken apart, decoded. `signed` are the texts that a signature may cover, as
    they were sent; `unsuffixed` is the source without the words for search engines, where there
    may be any; `doubtful` is a first segment of the source that has the shape of a
    transformation but no known key."""

    resource_type: str
    type: str
    signature: str | None
    transformation: str
    source: str
    signed: frozenset[str]
    unsuffixed: str | None = None
    doubtful: str | None = None


def parse_address(path: str) -> Address:
    """Take apart the still percent-encoded path after `/<cloud>/`; DeliveryError 404 if it is none.

    Leading segments belong to the transformation while one of their keys is Cloudinary's;
    `v` and digits end them; the last segment is always part of the public_id.
    """
    resource_type, kind, segments, suffixed = _kind(
        [segment for segment in path.split("/") if segment], path
    )
    signature = None
    if segments and (match := _SIGNATURE.fullmatch(unquote(segments[0]))):
        signature = match.group(1)
        segments = segments[1:]
    count = 0
    while count < len(segments) - 1 and is_component(unquote(segments[count])):
        count += 1
    transformation, rest = segments[:count], segments[count:]
    doubtful = None
    if len(rest) > 1 and _VERSION.fullmatch(rest[0]):
        rest = rest[1:]
    elif len(rest) > 1 and looks_like_component(unquote(rest[0])):
        doubtful = unquote(rest[0])
    bare = _unsuffixed(rest) if suffixed else None
    spelled = ["/".join((*transformation, *one)) for one in (rest, bare) if one]
    return Address(
        resource_type,
        kind,
        signature,
        "/".join(unquote(segment) for segment in transformation),
        _decoded(rest),
        frozenset(spelled),
        _decoded(bare) if bare else None,
        doubtful,
    )


def _kind(segments: list[str], path: str) -> tuple[str, str, list[str], bool]:
    """Resource type, delivery type, what follows them, and whether it may end in a suffix."""
    first = segments[0] if segments else ""
    if first in _SHORT:
        return *_SHORT[first], segments[1:], False
    if first in _SUFFIXED and len(segments) > 2:
        return *_SUFFIXED[first], segments[1:], True
    if first in _RESOURCE_TYPES:
        if len(segments) < 3 or segments[1] not in UPLOAD_TYPES:
            raise DeliveryError(404, f"Resource not found - {unquote(path)}")
        return first, segments[1], segments[2:], False
    if not segments:
        raise DeliveryError(404, "Resource not found - /")
    # Pictures may be addressed from the root.
    return "image", "upload", segments, True


def _unsuffixed(segments: list[str]) -> list[str] | None:
    """`id/words.ext` as `id.ext`."""
    if len(segments) < 2:
        return None
    _, dot, extension = segments[-1].rpartition(".")
    return [*segments[:-2], segments[-2] + dot + (extension if dot else "")]


def _decoded(segments: list[str]) -> str:
    return "/".join(unquote(segment) for segment in segments)
