"""What a listing of an account asks for, and one page of it.

The listing is a search for everything: `GET resources/<type>` lists one resource type at a time
without etags, a search lists all of them in one go, 500 a page, with tags, context and etag, and
tells the total on the first page. It lags seconds behind changes, so whoever acts on a difference
asks for that asset first. https://cloudinary.com/documentation/search_method
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from media_toolkit.asset import RESOURCE_TYPES

PAGE_SIZE = 500
# Others (fetch, youtube …) are copies that Cloudinary made by itself.
DELIVERY_TYPES = ("upload", "private", "authenticated")


@dataclass(frozen=True, slots=True)
class ListingPage:
    """At most 500 assets in the order of their creation.

    Attributes:
        items: as the Search API answers them, with tags, context, version and etag.
        next_cursor: for the next page; None at the end.
        total: how many there are on all pages.
    """

    items: tuple[Mapping[str, Any], ...]
    next_cursor: str | None
    total: int


@dataclass(frozen=True, slots=True)
class ListingScope:
    """Which part of an account is listed.

    Attributes:
        folder: this one and those below, by the asset folder or by the path in the public_id.
        since: created at this moment or later.
        resource_types: image, video, raw.
    """

    folder: str | None = None
    since: datetime | None = None
    resource_types: tuple[str, ...] = RESOURCE_TYPES

    def query(self, cursor: str | None = None, page_size: int = PAGE_SIZE) -> dict[str, Any]:
        """The body of `POST resources/search` for one page."""
        wanted: dict[str, Any] = {
            "expression": self._expression(),
            # The newest last: what is uploaded meanwhile moves no page.
            "sort_by": [{"created_at": "asc"}],
            "with_field": ["tags", "context"],
            "max_results": page_size,
        }
        if cursor is not None:
            wanted["next_cursor"] = cursor
        return wanted

    def holds(self, folder: str | None, created_at: datetime | None) -> bool:
        """Whether an asset in this folder, created then, belongs to it: a search finds more."""
        if self.since is not None and created_at is not None and created_at < self.since:
            return False
        folder = folder or ""
        return self.folder is None or folder == self.folder or folder.startswith(self.folder + "/")

    def _expression(self) -> str:
        terms = []
        if set(self.resource_types) != set(RESOURCE_TYPES):
            terms.append(_any_of([f"resource_type:{kind}" for kind in self.resource_types]))
        terms.append(_any_of([f"type:{kind}" for kind in DELIVERY_TYPES]))
        if self.folder is not None:
            # A field that the account's folder mode does not have matches nothing.
            exact, below = f'"{_escaped(self.folder)}"', f'"{_escaped(self.folder)}/*"'
            terms.append(
                _any_of(
                    [f"{name}={exact}" for name in ("asset_folder", "folder")]
                    + [f"{name}:{below}" for name in ("asset_folder", "folder", "public_id")]
                )
            )
        if self.since is not None:
            moment = self.since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            terms.append(f'created_at>="{moment}"')
        return " AND ".join(terms)


def _any_of(terms: list[str]) -> str:
    return terms[0] if len(terms) == 1 else f"({' OR '.join(terms)})"


def _escaped(text: str) -> str:
    return re.sub(r'(["\\*])', r"\\\1", text)
