"""Whether a notification is Cloudinary's: its signature over the bytes as received.

https://cloudinary.com/documentation/notification_signatures
"""

from __future__ import annotations

import hashlib
import hmac
import time

from media_toolkit.errors import SignatureError

# As the SDKs, which look at the past only. The future needs no more than two clocks' difference.
MAX_AGE_S = 7200
MAX_AHEAD_S = 300
_ALGORITHMS = {40: hashlib.sha1, 64: hashlib.sha256}


def verify_notification(
    body: bytes, timestamp: str, signature: str, api_secret: str, now: float | None = None
) -> None:
    """Check, in constant time, that Cloudinary signed these bytes at about this time.

    Args:
        timestamp, signature: the headers X-Cld-Timestamp and X-Cld-Signature; its length tells
            the account's algorithm, SHA-1 or SHA-256.

    Raises:
        SignatureError: a header is missing, the signature is wrong, or it is too old or early.
    """
    algorithm = _ALGORITHMS.get(len(signature))
    if algorithm is None or not (timestamp.isascii() and timestamp.isdigit()):
        raise SignatureError(
            "the notification is not signed",
            hint="Cloudinary sends X-Cld-Timestamp and X-Cld-Signature",
        )
    expected = algorithm(body + timestamp.encode() + api_secret.encode()).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise SignatureError(
            "the notification was not signed by this account",
            hint="its bytes must arrive as Cloudinary sent them, from the account in the settings",
        )
    age = (time.time() if now is None else now) - int(timestamp[:15])
    if not -MAX_AHEAD_S <= age <= MAX_AGE_S:
        raise SignatureError(
            f"the notification was signed {abs(age):.0f} s {'ago' if age > 0 else 'from now'}",
            hint="check this machine's clock; an old notification is not taken again",
        )
