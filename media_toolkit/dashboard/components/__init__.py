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
def component(name: str, *, isolate_styles: bool = True) -> ComponentRenderer:
    """The component in the folder `name`, of `<name>.html`, `.css` and `.js`; read once.

    Args:
        isolate_styles: in a shadow root, into which Streamlit's dialogs neither let the keyboard
            nor give the focus back; without one, the css must name the component in each rule.
    """

    def text(kind: str) -> str:
        return (_HERE / name / f"{name}.{kind}").read_text(encoding="utf-8")

    return st.components.v2.component(
        f"media_toolkit_{name}",
        html=text("html"),
        css=text("css"),
        js=text("js"),
        isolate_styles=isolate_styles,
    )


def no_reaction() -> None:
    """For `on_…_change`: a value is kept only where something listens for its change."""
