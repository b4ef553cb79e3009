"""Whose session this is: the shared kit, acting as the one who looks at the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from media_toolkit.web.auth import user_id_of
from media_toolkit.web.auth.host import check_host
from media_toolkit.web.service import shared_kit, sign_in_required

if TYPE_CHECKING:
    from media_toolkit.toolkit import MediaToolkit


def signed_in_user() -> str | None:
    """The user id of who signed in by `[auth]`, or None."""
    if not st.user.get("is_logged_in"):
        return None
    return user_id_of(st.user.to_dict())


def must_sign_in() -> bool:
    """Whether this session may see nothing yet.

    Raises:
        MediaToolkitError: as `media_toolkit.connect`. ForeignHost: nobody is asked who they
            are, and the page was opened under a name that is not known to be ours.
    """
    settings = shared_kit().settings
    if sign_in_required(settings):
        return signed_in_user() is None
    check_host(st.context.headers.get("Host"), settings)
    return False


def acting_kit() -> MediaToolkit:
    """The process's kit, acting as this session's user; ends the run of one who must sign in.

    Raises:
        MediaToolkitError: as `media_toolkit.connect`.
    """
    kit = shared_kit()
    if not sign_in_required(kit.settings):
        return kit
    user_id = signed_in_user()
    if user_id is None:
        st.stop()
    return kit.acting_as(user_id)
