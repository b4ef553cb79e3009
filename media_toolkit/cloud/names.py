"""Names: what Cloudinary lets an asset be called, and what it would take for another's name."""

from __future__ import annotations

import re

from media_toolkit.asset import DELIVERY_TYPE, RESOURCE_TYPES
from media_toolkit.errors import InvalidName, NotFound

FORBIDDEN_IN_PUBLIC_ID = frozenset("?&#\\%<>+")
MAX_PUBLIC_ID_CHARS = 255
# Their names are addresses elsewhere: https://cloudinary.com/documentation/fetch_remote_images
_NAMED_BY_ADDRESS = frozenset(
    ("animoto", "dailymotion", "facebook", "fetch", "gravatar", "hulu", "instagram_name",
     "twitter", "twitter_name", "vimeo", "worldstarhiphop", "youtube")
)  # fmt: skip
_ASSET_ID = re.compile(r"[0-9a-f]{32}")


def check_name(public_id: str | None, folder: str | None = None) -> None:
    """Refuse before sending what Cloudinary's naming rules refuse.

    Rules: https://cloudinary.com/documentation/ts_permitted_naming_conventions

    Raises:
        InvalidName: saying which rule the name breaks.
    """
    if public_id is None and folder is None:
        return
    full = "/".join(str(part) for part in (folder, public_id) if part is not None)
    wrong = sorted(FORBIDDEN_IN_PUBLIC_ID & set(full))
    if not all(isinstance(part, str | None) for part in (folder, public_id)):
        reason = "is no text"
    elif not full or len(full) > MAX_PUBLIC_ID_CHARS:
        reason = f"has {len(full)} characters; 1 to {MAX_PUBLIC_ID_CHARS} are allowed"
    elif wrong:
        reason = f"contains {' '.join(wrong)}"
    elif any(part.strip() in ("", ".", "..") for part in full.split("/")):
        reason = "has an empty, '.' or '..' segment"
    elif any(not c.isprintable() for c in full):
        reason = "contains control characters"
    elif full != full.strip():
        reason = "begins or ends with a space"
    else:
        return
    kind = "folder" if public_id is None else "public_id"
    shown = full if len(full) <= 60 else f"{full[:57]}…"
    raise InvalidName(
        f"{kind} {shown!r} {reason}",
        hint=f"choose another {kind}, or none{' for a random one' if public_id else ''}",
        ids=(full,),
    )


def check_kind(resource_type: str, delivery_type: str | None) -> None:
    """Refuse for an upload what is no kind of asset; None and "" are `upload`.

    Raises:
        InvalidName: saying which.
    """
    if resource_type not in (*RESOURCE_TYPES, "auto"):
        known = f"known: {', '.join(RESOURCE_TYPES)}, auto"
        raise InvalidName(f"unknown resource_type {resource_type!r}", hint=known)
    if delivery_type and not DELIVERY_TYPE.fullmatch(str(delivery_type)):
        raise InvalidName(f"unknown type {delivery_type!r}", hint="as upload, or private")


def check_identity(public_id: str, resource_type: str, delivery_type: str) -> None:
    """Refuse what Cloudinary might read as the name of another asset than it says.

    A path with `..` leads elsewhere, no delivery type means `upload`, and slashes and spaces
    around a public_id are taken off.

    Raises:
        InvalidName: naming the asset.
    """
    named = f"{resource_type}/{delivery_type}/{public_id}"
    hint = "nothing was done: Cloudinary has no asset of that name, and might take another's"
    if resource_type not in RESOURCE_TYPES:
        reason = f"{resource_type!r} is no resource_type"
    elif not DELIVERY_TYPE.fullmatch(delivery_type):
        reason = f"{delivery_type!r} is no delivery type"
    elif delivery_type in _NAMED_BY_ADDRESS:
        if public_id.strip() == public_id != "" and public_id.isprintable():
            return
        reason = "it begins or ends with a space, or has control characters"
    else:
        try:
            return check_name(public_id)
        except InvalidName as error:
            reason = error.message
    raise InvalidName(f"{named!r} names no asset: {reason}", hint=hint, ids=(str(public_id),))


def check_asset_id(asset_id: str) -> str:
    """The id, if it is one; another word behind `resources/` is another call.

    Raises:
        NotFound: no asset has such an id.
    """
    if not _ASSET_ID.fullmatch(asset_id):
        raise NotFound(f"{asset_id!r} is no asset_id", ids=(asset_id,))
    return asset_id
