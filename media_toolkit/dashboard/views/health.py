"""Health: what is configured and reachable, what is wrong and how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from media_toolkit.dashboard.fact_table import show_facts
from media_toolkit.dashboard.heading import heading
from media_toolkit.dashboard.session import acting_kit
from media_toolkit.dashboard.wording import browser_zone, literal, show_error
from media_toolkit.errors import MediaToolkitError

if TYPE_CHECKING:
    from media_toolkit.doctor import Finding
    from media_toolkit.toolkit import MediaToolkit

_MOMENT = "D MMM YYYY, HH:mm:ss z"


def show() -> None:
    """Draw the page."""
    try:
        _show(acting_kit())
    except MediaToolkitError as error:
        show_error(error)


def _show(kit: MediaToolkit) -> None:
    heading("Health").button("Check again")
    with st.spinner("Checking …"):
        diagnosis = kit.doctor()
    if diagnosis.is_well:
        st.success("Everything that was checked works.")
    else:
        st.error("Something does not work; what to do stands beside it.")
    with st.container(border=True):
        for finding in diagnosis.findings:
            _show_finding(finding)
    _show_intents(kit)
    st.subheader("Where the data is")
    show_facts(_places(kit))


def _show_intents(kit: MediaToolkit) -> None:
    """Uploads that were signed and never heard of again: lost on the way, or not saved."""
    intents = kit.intents(limit=200)
    st.subheader("Signed uploads without a file")
    if intents.empty:
        st.caption("None: every upload that was signed has been saved.")
        return
    st.caption(
        "They may still come until they expire. Later ones were given up, or reached"
        " Cloudinary and not the table: reconcile finds those."
    )
    zone = str(browser_zone())
    shown = intents[["user_id", "signed_at", "expires_at", "public_id"]]
    st.dataframe(
        shown.fillna({"public_id": "any"}),
        hide_index=True,
        column_config={
            "user_id": "Signed for",
            "signed_at": st.column_config.DatetimeColumn("Signed", format=_MOMENT, timezone=zone),
            "expires_at": st.column_config.DatetimeColumn("Expires", format=_MOMENT, timezone=zone),
            "public_id": "Name",
        },
    )


def _show_finding(finding: Finding) -> None:
    check, detail = st.columns([3, 9], gap="xsmall")
    with check.container(horizontal=True, vertical_alignment="center", gap="small"):
        # Of one width, so that the names begin below each other.
        with st.container(width=80):
            if finding.state == "ok":
                st.badge("OK", color="green")
            elif finding.state == "warning":
                st.badge("Warning", color="orange")
            else:
                st.badge("Error", color="red")
        st.markdown(f"**{literal(finding.check)}**", width="content")
    with detail:
        st.markdown(literal(finding.detail))
        if finding.hint:
            st.caption(f"→ {literal(finding.hint)}")


def _places(kit: MediaToolkit) -> dict[str, str]:
    settings, account = kit.settings, kit.account
    is_embedded = settings.cloud is None
    places = {
        "Acting as": f"{kit.identity.user_id} ({kit.identity.role})",
        "Pictures": f"the embedded server at {account.upload_prefix}"
        if is_embedded
        else f"the Cloudinary account {account.cloud_name} at {account.upload_prefix}",
        "Facts": "the embedded Postgres" if settings.pooled_url is None else "your Postgres",
    }
    if is_embedded or settings.pooled_url is None:
        places["Embedded data"] = str(settings.home)
    return places


if __name__ == "__main__":
    show()
