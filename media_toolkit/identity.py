"""Who acts: the one thing every save, edit and signature is done as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["user", "admin"]


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller, as Postgres and the HTTP API see one.

    Attributes:
        user_id: what stands in `cloudinary_files.user_id` for rows that this caller saves.
        role: `admin` may write rows of others.
    """

    user_id: str
    role: Role = "user"

    def may_write(self, owner: str) -> bool:
        """Whether this caller may change a row that belongs to `owner`."""
        return self.role == "admin" or self.user_id == owner
