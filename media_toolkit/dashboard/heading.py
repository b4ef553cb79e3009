"""Heading: a page's title, at the same height on every page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator


def heading(title: str) -> DeltaGenerator:
    """Draw the title; returns its row, for what is to stand at the right of it."""
    # Not centred: a button is higher than the title, and would push it down.
    row = st.container(horizontal=True, vertical_alignment="top")
    row.title(title, width="stretch")
    return row
