"""The dashboard's entry: page configuration, the gate, navigation."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from media_toolkit.dashboard.components.arrival import go_to_asked_page, keep_asked_page
from media_toolkit.dashboard.session import must_sign_in, signed_in_user
from media_toolkit.dashboard.wording import show_error
from media_toolkit.errors import MediaToolkitError

_HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run the page that was asked for, once the session may see it."""
    # A file and not an emoji or :material/…:, for which the browser would ask other hosts.
    icon = str(_HERE / "icon.svg")
    st.set_page_config(page_title="Media Toolkit", page_icon=icon, layout="wide")
    st.logo(icon, size="large")
    try:
        is_closed = must_sign_in()
    except MediaToolkitError as error:
        show_error(error)
        st.stop()
    if is_closed:
        # Navigation all the same: it is what keeps deep links from running pages by themselves.
        # Under every page's path: an unknown one gets a dialog that covers the button.
        st.navigation(
            [
                st.Page(_sign_in, title="Sign in", default=True),
                *(
                    st.Page(_sign_in, title="Sign in", url_path=path)
                    for path in ("upload", "health")
                ),
            ],
            position="hidden",
        ).run()
        st.stop()
    pages = [
        st.Page(_HERE / "views/library.py", title="Library", default=True, icon=""),
        st.Page(_HERE / "views/upload.py", title="Upload", icon=""),
        st.Page(_HERE / "views/health.py", title="Health", icon=""),
    ]
    if signed_in_user() is not None:
        pages.append(st.Page(_sign_out, title="Sign out", icon=""))
    page = st.navigation(pages, position="top")
    page.run()
    if signed_in_user() is not None:
        go_to_asked_page()


def _sign_in() -> None:
    _, middle, _ = st.columns([1, 2, 1])
    with middle:
        st.title("Media Toolkit")
        st.write("Sign in to see and upload your team's pictures and videos.")
        st.button("Sign in", type="primary", on_click=st.login)
        keep_asked_page()


def _sign_out() -> None:
    st.logout()


if __name__ == "__main__":
    main()
