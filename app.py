"""The dashboard and the HTTP API in one process: `streamlit run app.py`."""

from pathlib import Path

import streamlit as st

from media_toolkit.web.api import lifespan, routes

# Streamlit finds the app by this very line: a literal `app = st.App(...)` at module level.
app = st.App(
    Path(__file__).parent / "media_toolkit/dashboard/main.py", routes=routes, lifespan=lifespan
)
