"""Who acts: the one thing every save, edit and signature is done as."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Self

from media_toolkit.errors import Forbidden

Role = Literal["user", "admin"]

# Who acts where Cloudinary tells something: in the history it stands for no user's own doing.
CLOUDINARY = "cloudinary"


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller, as Postgres and the HTTP API see one.

    Attributes:
        user_id: what stands in `cloudinary_files.user_id` for rows that this caller saves.
        role: `admin` may write rows of others.
    """

    user_id: str
    role: Role = "user"

    @classmethod
    def of(cls, user_id: str, admins: Collection[str]) -> Self:
        """The identity of somebody who signed in, or whom the settings name.

        Raises:
            Forbidden: it is the one that Cloudinary's notifications act by.
        """
        if user_id == CLOUDINARY:
            raise Forbidden(
                f"{user_id!r} cannot be a user: Cloudinary's notifications act by that name",
                hint="choose another user id",
                ids=("user_id",),
            )
        return cls(user_id, "admin" if user_id in admins else "user")

    def may_write(self, owner: str) -> bool:
        """Whether this caller may change a row that belongs to `owner`."""
        return self.role == "admin" or self.user_id == owner
