"""Direct upload: files go from the browser to Cloudinary, without passing through Streamlit."""

from __future__ import annotations

from media_toolkit.dashboard.components import component, no_reaction


def direct_upload(*, key: str) -> bool:
    """Mount the upload area; True when the user asks to see what was uploaded.

    The browser asks `POST /generate-signature` for each file, posts it to Cloudinary, and
    posts Cloudinary's answer to `/save-metadata`: all by itself, so that a user may go to
    another page of the dashboard meanwhile.
    """
    result = component("direct_upload")(key=key, on_finished_change=no_reaction)
    return bool(result.finished)
