"""What routes and dashboard of one process share: one kit, and whether callers must sign in."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from media_toolkit.errors import SettingsError
from media_toolkit.settings import Settings
from media_toolkit.toolkit import MediaToolkit, connect

_guard = threading.Lock()
_kit: MediaToolkit | None = None


def shared_kit() -> MediaToolkit:
    """The process's kit; connects at the first call.

    Raises:
        SettingsError, EmbeddedStackError, Unavailable: as `media_toolkit.connect`.
    """
    global _kit
    with _guard:
        if _kit is None:
            settings = Settings()
            sign_in_required(settings)
            _kit = connect(settings)
        return _kit


def close_shared_kit() -> None:
    """Close it; the next `shared_kit` connects anew."""
    global _kit
    with _guard:
        if _kit is not None:
            _kit.close()
        _kit = None


def sign_in_required(settings: Settings) -> bool:
    """Whether callers must have signed in by `[auth]` of Streamlit's secrets.

    Raises:
        SettingsError: for services that are not on this machine without `[auth]`, unless
            MEDIA_TOOLKIT_AUTH=none says that everybody may in.
    """
    if settings.auth == "none":
        return False
    if auth_section():
        return True
    if settings.auth == "oidc" or not settings.is_local:
        raise SettingsError(
            "nobody can sign in: there is no [auth] section in .streamlit/secrets.toml",
            hint="add one (see .env.example), or set MEDIA_TOOLKIT_AUTH=none to let everybody in",
            ids=("MEDIA_TOOLKIT_AUTH",),
        )
    return False


def auth_section() -> Mapping[str, Any]:
    """`[auth]` of Streamlit's secrets; empty where there is none."""
    import streamlit as st

    try:
        found: Mapping[str, Any] = st.secrets.get("auth", {})
    except FileNotFoundError:
        return {}
    return found
