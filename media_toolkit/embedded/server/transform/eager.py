"""Eager transformations: derived images made when an asset is uploaded or changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ApiError
from ..facts.formats import normal_format
from .parse import Transformation, TransformationError, parse_transformation
from .render import Rendered, Surroundings, render
from .values import ENCODABLE, VIDEO_ENCODABLE
from .video import render_video


@dataclass(frozen=True)
class Eager:
    """One eager transformation and the extension that was asked for with it."""

    transformation: Transformation
    extension: str | None

    @property
    def text(self) -> str:
        """As it was written."""
        return self.transformation.text + (f"/{self.extension}" if self.extension else "")


def parse_eager(
    texts: Sequence[str], read: Callable[[str], Transformation] = parse_transformation
) -> list[Eager]:
    """Read eager transformations; ApiError 400 names what is wrong in one.

    `read` reads one transformation, and raises TransformationError.
    """
    eager = []
    for text in texts:
        path, slash, last = text.rpartition("/")
        extension = None
        if slash and (not last or normal_format(last) in ENCODABLE | VIDEO_ENCODABLE):
            text, extension = path, normal_format(last) or None
        try:
            transformation = read(text)
        except TransformationError as error:
            raise ApiError(400, str(error)) from error
        if transformation.last("f") == "auto":
            raise ApiError(400, "Invalid transformation component - f_auto (in eager)")
        eager.append(Eager(transformation, extension))
    return eager


def render_eager(
    path: Path,
    resource_type: str,
    stored: str | None,
    one: Eager,
    surroundings: Surroundings | None = None,
) -> Rendered:
    """Paint one eager transformation of a file; ApiError 400 when it cannot be done."""
    if resource_type == "raw":
        raise ApiError(400, "Unsupported parameter on this server - eager (raw)")
    paint = render_video if resource_type == "video" else render
    try:
        return paint(path, stored or "", one.transformation, one.extension, "", surroundings)
    except TransformationError as error:
        raise ApiError(400, str(error)) from error
