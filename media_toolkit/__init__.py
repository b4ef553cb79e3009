"""Pictures and videos in Cloudinary, facts about them in Neon.

>>> import media_toolkit as mt
>>> kit = mt.connect()
>>> kit.upload("photo.jpg", tags=["spring"])
>>> kit.assets(tags=["spring"])
"""

from media_toolkit.asset import Asset
from media_toolkit.errors import (
    BudgetSpent,
    CloudUnavailable,
    Conflict,
    EmbeddedStackError,
    FilterError,
    Forbidden,
    IngestError,
    InvalidName,
    MediaToolkitError,
    NotFound,
    PolicyError,
    RateLimited,
    SettingsError,
    SignatureError,
    StoreError,
    TooLarge,
    TooManyRequests,
    TransformationError,
    Unavailable,
    UnsupportedMedia,
    UploadError,
)
from media_toolkit.identity import Identity
from media_toolkit.policy import UploadPolicy
from media_toolkit.settings import Settings
from media_toolkit.toolkit import MediaToolkit, connect

__all__ = [
    "Asset",
    "BudgetSpent",
    "CloudUnavailable",
    "Conflict",
    "EmbeddedStackError",
    "FilterError",
    "Forbidden",
    "Identity",
    "IngestError",
    "InvalidName",
    "MediaToolkit",
    "MediaToolkitError",
    "NotFound",
    "PolicyError",
    "RateLimited",
    "Settings",
    "SettingsError",
    "SignatureError",
    "StoreError",
    "TooLarge",
    "TooManyRequests",
    "TransformationError",
    "Unavailable",
    "UnsupportedMedia",
    "UploadError",
    "UploadPolicy",
    "connect",
]
