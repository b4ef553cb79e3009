"""Upload: files go from the browser straight to Cloudinary."""

from __future__ import annotations

import streamlit as st

from media_toolkit.dashboard.components.direct_upload import direct_upload
from media_toolkit.dashboard.heading import heading
from media_toolkit.dashboard.session import acting_kit
from media_toolkit.dashboard.wording import literal, show_error
from media_toolkit.errors import MediaToolkitError


def show() -> None:
    """Draw the page."""
    try:
        kit = acting_kit()
    except MediaToolkitError as error:
        show_error(error)
        return
    heading("Upload")
    st.markdown(
        f"What you upload is saved as {literal(kit.identity.user_id)}’s and shown in the library."
    )
    if direct_upload(key="direct_upload"):
        st.switch_page("views/library.py")


if __name__ == "__main__":
    show()
