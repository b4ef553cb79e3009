"""Renditions: an asset's transformed pictures side by side and its original, with URLs to copy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from media_toolkit.dashboard.components import component


@dataclass(frozen=True, slots=True)
class Rendition:
    """One transformed picture.

    Attributes:
        label: what was done to it.
        url: its delivery URL.
        stand_in: shown where the picture cannot be loaded, e.g. "MP4".
    """

    label: str
    url: str
    stand_in: str


def renditions(shown: Iterable[Rendition], original: str, *, key: str) -> None:
    """Mount them, the original's URL below."""
    data = {"renditions": [asdict(rendition) for rendition in shown], "original": original}
    component("renditions", isolate_styles=False)(key=key, data=data)
