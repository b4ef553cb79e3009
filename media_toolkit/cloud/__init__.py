"""Speaks to Cloudinary; nothing else does."""

import os

try:
    import cloudinary
except ValueError:
    # The SDK reads CLOUDINARY_URL at its import and raises where it cannot: what is wrong with
    # it is for Settings to say, in a sentence and with what to do.
    _unreadable = os.environ.pop("CLOUDINARY_URL")
    try:
        import cloudinary  # noqa: F401
    finally:
        os.environ["CLOUDINARY_URL"] = _unreadable
