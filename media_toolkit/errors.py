"""Everything that can go wrong, in one tree.

MediaToolkitError
├── SettingsError            a setting is missing, half given or malformed
├── EmbeddedStackError       the stack without an account did not start or answer
├── SignatureError           a signature did not match, or an answer was not Cloudinary's
├── PolicyError              what is asked to be signed or saved is not allowed to this caller
├── TooManyRequests          this caller signs or saves too often; retry_after_s says when
├── UploadError              Cloudinary (or we, before sending) refused an asset
│   ├── UnsupportedMedia     not an image, truncated, empty, unreadable
│   ├── InvalidName          a public_id or folder that Cloudinary does not allow
│   ├── TooLarge             over the account's size limit
│   ├── RateLimited          420 or 429; retry_after_s says when
│   │   └── BudgetSpent      the stated number of Admin calls is used up
│   └── CloudUnavailable     Cloudinary could not be reached, or answered 5xx
├── StoreError               Postgres refused or failed
│   ├── NotFound             no such asset
│   ├── Conflict             the asset belongs to somebody else
│   ├── Forbidden            the caller may not do this
│   └── Unavailable          Postgres could not be reached
├── FilterError              an unknown filter word or a value that cannot be read
├── IngestError              the source of an import cannot be read at all
└── TransformationError      an unknown preset, or words that the SDK does not know
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "BudgetSpent",
    "CloudUnavailable",
    "Conflict",
    "EmbeddedStackError",
    "FilterError",
    "Forbidden",
    "IngestError",
    "InvalidName",
    "MediaToolkitError",
    "NotFound",
    "PolicyError",
    "RateLimited",
    "SettingsError",
    "SignatureError",
    "StoreError",
    "TooLarge",
    "TooManyRequests",
    "TransformationError",
    "Unavailable",
    "UnsupportedMedia",
    "UploadError",
]


def listed(things: Iterable[object], most: int = 10, joint: str = ", ") -> str:
    """`a, b, c and 2,990 more`: as many as a sentence holds, and how many there are."""
    names = [str(thing) for thing in things]
    rest = len(names) - most
    return joint.join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")


class MediaToolkitError(Exception):
    """The root: `except MediaToolkitError` catches all that this package raises on purpose.

    But for what Python itself has a name for (OSError, TypeError), and for pydantic's
    ValidationError, a ValueError, of `UploadPolicy(…)` in your own code.

    Attributes:
        hint: what to do next, one sentence, or "".
        ids: the assets, files or settings involved.
        http_status: the status with which `media_toolkit.web` answers it.
        is_retryable: whether the same call may succeed later without a change.
        retry_after_s: seconds to wait before that, where known.
    """

    http_status: int = 500
    is_retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        ids: tuple[str, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.ids = ids
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class SettingsError(MediaToolkitError):
    """Raised when a setting is missing, half given, or cannot be read."""


class EmbeddedStackError(MediaToolkitError):
    """Raised when the embedded stack cannot be started or does not answer."""

    http_status = 503


class SignatureError(MediaToolkitError):
    """Raised when a signature does not match, or when Cloudinary does not know the asset."""

    http_status = 401


class PolicyError(MediaToolkitError):
    """Raised when the upload policy does not allow what is to be signed or saved."""

    http_status = 403


class TooManyRequests(MediaToolkitError):
    """Raised when one caller asks our own HTTP API too often."""

    http_status = 429
    is_retryable = True


class UploadError(MediaToolkitError):
    """Raised when Cloudinary refuses an asset; nothing was stored."""

    http_status = 400


class UnsupportedMedia(UploadError):
    """Raised for an empty, truncated or unreadable file, or one of the wrong kind."""

    http_status = 415


class InvalidName(UploadError):
    """Raised for a public_id, folder or label outside Cloudinary's naming rules."""


class TooLarge(UploadError):
    """Raised for a file over the account's size limit."""

    http_status = 413


class RateLimited(UploadError):
    """Raised when Cloudinary answers 420 or 429."""

    http_status = 429
    is_retryable = True


class BudgetSpent(RateLimited):
    """Raised instead of one Admin call more than was stated or than the account should give."""

    is_retryable = False


class CloudUnavailable(UploadError):
    """Raised when Cloudinary cannot be reached or answers with a server error."""

    http_status = 502
    is_retryable = True


class StoreError(MediaToolkitError):
    """Raised when Postgres refuses a statement."""


class NotFound(StoreError):
    """Raised when the asset asked for is in neither the table nor, where asked, Cloudinary."""

    http_status = 404


class Conflict(StoreError):
    """Raised when the row exists already and belongs to another user."""

    http_status = 409


class Forbidden(StoreError):
    """Raised when the caller may not do what was asked."""

    http_status = 403


class Unavailable(StoreError):
    """Raised when Postgres cannot be reached."""

    http_status = 503
    is_retryable = True


class FilterError(MediaToolkitError, ValueError):
    """Raised for an unknown filter word or a value that cannot be read."""

    http_status = 400


class IngestError(MediaToolkitError):
    """Raised when the source of a bulk import cannot be read at all."""


class TransformationError(MediaToolkitError, ValueError):
    """Raised for an unknown preset, or a word that is none of the SDK's transformations."""

    http_status = 400
