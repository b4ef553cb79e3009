"""Browser components: each a folder of html, css and js, and a function that mounts it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer

_HERE = Path(__file__).resolve().parent


@cache
def component(name: str) -> ComponentRenderer:
    """The component in the folder `name`, of `<name>.html`, `.css` and `.js`; read once."""

    def text(kind: str) -> str:
        return (_HERE / name / f"{name}.{kind}").read_text(encoding="utf-8")

    return st.components.v2.component(
        f"media_toolkit_{name}", html=text("html"), css=text("css"), js=text("js")
    )


def no_reaction() -> None:
    """For `on_…_change`: a value is kept only where something listens for its change."""
