"""Arrival: who asked for a page and had to sign in first gets to that page afterwards.

Streamlit comes back from every sign-in to `/`; the browser keeps what it was asked for.
"""

from __future__ import annotations

import streamlit as st

from media_toolkit.dashboard.components import component

_IS_HERE = "arrival_is_here"


def keep_asked_page() -> None:
    """On the sign-in page: note the address that the browser shows."""
    component("arrival")(key="arrival", data={"is_closed": True})


def go_to_asked_page() -> None:
    """In a session's first run after a sign-in: go to the address that was noted, if any."""
    if _IS_HERE in st.session_state:
        return
    st.session_state[_IS_HERE] = True
    component("arrival")(key="arrival", data={"is_closed": False})
