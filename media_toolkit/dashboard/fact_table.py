"""A table of facts: names and values as plain text, to be read and copied."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import streamlit as st

# Two columns where there is room for them; a name and its value never part.
# `dl.facts`, not `.facts`: else Streamlit's own indentation of lists wins.
_STYLE = """<style>
dl.facts { columns: 26rem 2; column-gap: 2.5rem; margin: 0; padding: 0;
  font-size: 0.9rem; line-height: 1.45; }
.facts div { display: grid; grid-template-columns: 7.5rem minmax(0, 1fr); gap: 0.75rem;
  break-inside: avoid; padding: 0.4rem 0;
  border-bottom: 1px solid color-mix(in srgb, currentcolor 14%, transparent); }
.facts dt { opacity: 0.7; }
.facts dd { margin: 0; overflow-wrap: anywhere; white-space: pre-line; }
</style>"""


def show_facts(facts: Mapping[str, str]) -> None:
    """Show name → value; nothing in them is read as HTML or Markdown."""
    lines = "".join(
        f"<div><dt>{escape(name)}</dt><dd dir='auto'>{escape(value)}</dd></div>"
        for name, value in facts.items()
    )
    st.html(f"{_STYLE}<dl class='facts'>{lines}</dl>")
