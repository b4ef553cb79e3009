"""What an asset may have beyond the columns of its record; one JSON object, blanks left out."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

Box = list[int]


@dataclass(frozen=True)
class Extras:
    """Facts that only some assets have, and that are told on request.

    `colors` are `[["#RRGGBB", percent]]`, `predominant` the same by palette and colour name;
    `faces` and `custom_coordinates` are boxes `[x, y, width, height]` in pixels of the original;
    `access_control` are rules `{"access_type", "start", "end"}`; `media` is what an answer tells
    of a video besides its size; `moderation` is `[{"kind", "status", "updated_at"}]`, newest first.
    """

    phash: str | None = None
    colors: list[list[Any]] | None = None
    predominant: dict[str, list[list[Any]]] | None = None
    faces: list[Box] | None = None
    custom_coordinates: list[Box] | None = None
    image_metadata: dict[str, str] | None = None
    semi_transparent: bool | None = None
    grayscale: bool | None = None
    moderation: list[dict[str, str]] | None = None
    access_mode: str | None = None
    access_control: list[dict[str, str]] | None = None
    headers: list[str] | None = None
    backup: bool | None = None
    media: dict[str, Any] | None = None

    def to_json(self) -> str:
        """One JSON object of what is there."""
        kept = {name: value for name, value in asdict(self).items() if value is not None}
        return json.dumps(kept, ensure_ascii=False)

    def overlaid(self, other: Extras) -> Extras:
        """These extras with everything that the other has in its place."""
        given = {one.name: getattr(other, one.name) for one in fields(other)}
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    @classmethod
    def from_json(cls, text: str) -> Extras:
        """What `to_json` wrote; names of a newer version are left aside."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in json.loads(text).items() if name in known})
