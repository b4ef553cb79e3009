"""Loading: said when a page takes longer than one is used to, as when Postgres is away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

# Out of the page's flow, so that nothing moves when it comes and goes; and not at once, which a
# page that is there in half a second would only flicker by.
_STYLE = """
<style>
[data-testid="stLayoutWrapper"]:has(> .st-key-loading) { position: absolute; }
.st-key-loading {
  position: fixed; left: 1.5rem; bottom: 1.5rem; z-index: 100; width: auto;
  pointer-events: none; gap: 0;
}
.st-key-loading [data-testid="stMarkdown"] {
  padding: 0.5rem 1rem; border: 1px solid; border-radius: 0.5rem; backdrop-filter: blur(20px);
  visibility: hidden; animation: media-toolkit-loading 0s 1s forwards;
}
@keyframes media-toolkit-loading { to { visibility: visible; } }
</style>
"""


@contextmanager
def loading() -> Iterator[None]:
    """Say so while the block runs, from its first second on."""
    with st.container(key="loading"):
        st.html(_STYLE)
        place = st.empty()
    place.markdown("Still loading …")
    try:
        yield
    finally:
        place.empty()
