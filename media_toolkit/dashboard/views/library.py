"""Library: filters, counts, one page of thumbnails, and what is selected."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import streamlit as st

from media_toolkit.asset import RESOURCE_TYPES, Asset
from media_toolkit.dashboard.asset_dialog import (
    ASSET_PARAMETER,
    ask_to_open,
    asset_token,
    show_asked_asset,
)
from media_toolkit.dashboard.components.gallery import Tile, gallery
from media_toolkit.dashboard.heading import heading
from media_toolkit.dashboard.loading import loading
from media_toolkit.dashboard.session import acting_kit
from media_toolkit.dashboard.wording import facts, kind, literal, names, show_error
from media_toolkit.errors import FilterError, MediaToolkitError, listed
from media_toolkit.samples import SAMPLE_MEDIA

if TYPE_CHECKING:
    from media_toolkit.store.assets import Page
    from media_toolkit.store.facets import Count
    from media_toolkit.toolkit import MediaToolkit

PAGE_SIZE = 48
# The widgets' keys are the words of `AssetFilter`, and so are those of the page's URL.
_UNFILTERED: dict[str, Any] = {"text": "", "tags": [], "user_id": [], "resource_type": []}
# Words without a widget: a link may hold them all the same, and several values of these.
_SEVERAL = ("any_tags", "delivery_type", "format")
_NUMBERS = ("min_width", "min_height", "min_bytes", "max_bytes")
_LINKED = (*_SEVERAL, "folder", "uploaded_after", "uploaded_before", *_NUMBERS)
# Where the page stands: `after:` or `before:` and a cursor. One word, for each change of the URL
# is a step of the browser's Back.
_PLACE = "at"
_KNOWN = frozenset({*_UNFILTERED, *_LINKED, _PLACE, ASSET_PARAMETER})
# Of a library with more tags, the others can be typed.
_OFFERED_TAGS = 500
# By a finger nobody double-clicks, but there each tile shows its "Open".
_HINT = """<span class="by-mouse">Click to select, double-click to open</span>\
<span class="by-touch">Tap to select</span>"""
# The pills in the middle of the row of boxes, which are higher.
_STYLE = """<style>
.by-touch { display: none; }
@media (hover: none) { .by-mouse { display: none; } .by-touch { display: inline; } }
.st-key-resource_type [role="toolbar"] { min-height: 2.5rem; align-items: center; }
</style>"""
# A link may hold hundreds of values; the page tells of so many.
_TOLD = 10
_PLACED = "library_placed"
_SHOWN = "library_shown"
_CLEARINGS = "library_clearings"


def show() -> None:
    """Draw the page, and above it the asset that the URL names."""
    try:
        kit = acting_kit()
        with loading():
            _show(kit)
        show_asked_asset(kit)
    except MediaToolkitError as error:
        show_error(error)


def _show(kit: MediaToolkit) -> None:
    heading("Library")
    try:
        users = [user for user, _ in kit.values("user_id")]
        tags = [tag for tag, _ in kit.facets("tags")["tags"]] if users else []
    except MediaToolkitError:
        # What widgets hold is in the URL only as long as they are drawn.
        _filter_bar([], [])
        raise
    if not users:
        _empty_library(kit)
        return
    filters = _filter_bar(users, tags) | _linked_filters()
    total = kit.count(**filters)
    if total == 0:
        _no_hits()
        return
    place = _place(filters)
    try:
        page = kit.page(limit=PAGE_SIZE, **place, **filters)
    except FilterError:
        # The filters were read by the count: it is the place that cannot be.
        _unreadable_place()
        return
    if place and (not page.items or page.previous_cursor is None):
        # What stood here has gone since, or this is the beginning, which may be longer by now.
        _turn_to_newest()
        page = kit.page(limit=PAGE_SIZE, **filters)
    _shelf(kit, page, total, json.dumps([filters, place]))


def _filter_bar(users: list[str], tags: list[str]) -> dict[str, Any]:
    """The filter words that are set."""
    # A shared URL may name somebody whose assets have gone: that is no hits, not everybody's.
    asked = [user for user in st.query_params.get_all("user_id") if user and user not in users]
    st.html(_STYLE)
    types = [*RESOURCE_TYPES, *_unknown_types()]
    text_column, tag_column, user_column, type_column = st.columns([5, 4, 4, 5])
    text = text_column.text_input(
        "Search",
        key="text",
        bind="query-params",
        type="search",
        placeholder="Words in names, tags, context",
    )
    chosen_tags = tag_column.multiselect(
        "Tags",
        tags[:_OFFERED_TAGS],
        key="tags",
        bind="query-params",
        placeholder="Any",
        accept_new_options=True,
        filter_mode="contains",
        # It would stand first, and Enter take all that was found.
        select_all=False,
        # Else a third tag is hidden, and filters all the same.
        wrap=True,
    )
    user_id = user_column.multiselect(
        "User",
        [*users, *asked],
        key="user_id",
        bind="query-params",
        placeholder="Everybody",
        filter_mode="contains",
        select_all=False,
        wrap=True,
    )
    resource_type = type_column.pills(
        "Type",
        types,
        selection_mode="multi",
        key="resource_type",
        bind="query-params",
        wrap=True,
    )
    chosen = {
        "text": (text or "").strip(),
        "tags": chosen_tags,
        "user_id": user_id,
        "resource_type": resource_type,
    }
    return {word: value for word, value in chosen.items() if value}


def _unknown_types() -> list[str]:
    """What a link takes for types and are none: as with users, nothing is of such a type."""
    # Once removed, they are still in the URL that this run knows of.
    asked = st.session_state.get("resource_type", st.query_params.get_all("resource_type"))
    return list(dict.fromkeys(word for word in asked if word and word not in RESOURCE_TYPES))


def _linked_filters() -> dict[str, Any]:
    """The filter words that only the page's URL holds, shown with a way to be rid of them."""
    found: dict[str, Any] = {}
    for word in _LINKED:
        values = [value for value in st.query_params.get_all(word) if value]
        if not values:
            continue
        if word in _SEVERAL:
            found[word] = values
        else:
            value = values[-1]
            found[word] = int(value) if word in _NUMBERS and value.isdecimal() else value
    # Whoever wrote it wrongly would take everything for what was asked for.
    unknown = [word for word in st.query_params if word not in _KNOWN]
    told = [f"**{literal(word)}** {literal(_told(value))}" for word, value in found.items()]
    parts = [f"And by this link: {', '.join(told)}"] if told else []
    if unknown:
        parts.append(f"Not a filter: {listed((f'**{literal(word)}**' for word in unknown), _TOLD)}")
    if types := _unknown_types():
        parts.append(f"Not a type: {listed((f'**{literal(word)}**' for word in types), _TOLD)}")
    if parts:
        with st.container(horizontal=True, vertical_alignment="center", key="linked_filters"):
            st.markdown(". ".join(parts), width="content")
            st.button("Remove", on_click=_remove_linked_filters)
    return found


def _told(value: Any) -> str:
    return listed(value, _TOLD, " or ") if isinstance(value, list) else str(value)


def _remove_linked_filters() -> None:
    chosen = st.session_state.get("resource_type", [])
    st.session_state["resource_type"] = [word for word in chosen if word in RESOURCE_TYPES]
    for word in list(st.query_params):
        if word not in (*_UNFILTERED, ASSET_PARAMETER):
            st.query_params.pop(word)


def _clear_filters() -> None:
    st.session_state.update(_UNFILTERED)
    _remove_linked_filters()


def _place(filters: dict[str, Any]) -> dict[str, str]:
    """Where the page stands, in `kit.page`'s words; other filters begin at the newest."""
    if st.session_state.setdefault(_PLACED, filters) != filters:
        st.session_state[_PLACED] = filters
        _turn_to_newest()
    way, _, cursor = st.query_params.get(_PLACE, "").partition(":")
    if not way:
        return {}
    return {"before" if way == "before" else "after": cursor}


def _turn_to_newest() -> None:
    if _PLACE in st.query_params:
        del st.query_params[_PLACE]


@st.fragment
def _shelf(kit: MediaToolkit, page: Page, total: Count, view: str) -> None:
    """Gallery, selection and pager; selecting reruns only this and asks no database."""
    bar = st.container(horizontal=True, vertical_alignment="center", key="shelf_bar")
    assets = {asset_token(asset): asset for asset in page.items}
    if st.session_state.setdefault(_SHOWN, view) != view:
        st.session_state[_SHOWN] = view
        # Who comes back to a view finds nothing selected: the session may still hold what was
        # selected there, the browser does not.
        _clear_selection()
    clearings = st.session_state.get(_CLEARINGS, 0)
    event = gallery(
        [_tile(kit, token, asset) for token, asset in assets.items()],
        view=f"{view} {clearings}",
        key="gallery",
    )
    with bar:
        _position(page, total)
        _selection([assets[token] for token in event.selected])
        _pager(page, "top")
    if page.previous_cursor or page.next_cursor:
        with st.container(horizontal=True, vertical_alignment="center"):
            _position(page, total)
            _pager(page, "bottom")
    if event.opened in assets:
        ask_to_open(assets[event.opened])
        st.rerun()


def _tile(kit: MediaToolkit, token: str, asset: Asset) -> Tile:
    return Tile(
        id=token,
        name=asset.name,
        names=names(asset),
        facts=facts(asset),
        label=kind(asset),
        thumbnail=None if asset.resource_type == "raw" else kit.url(asset, "thumbnail"),
        is_video=asset.resource_type == "video",
    )


def _position(page: Page, total: Count) -> None:
    if page.position is None:
        said = f"{len(page.items)} beyond the first 10,000 of {total.label}"
    else:
        last = page.position + len(page.items) - 1
        said = f"{page.position:,}–{last:,} of {total.label}"
    st.markdown(said, width="stretch")


def _selection(selected: list[Asset]) -> None:
    if selected:
        st.markdown(f"**{len(selected)} selected**", width="content")
    else:
        st.caption(_HINT, width="content", unsafe_allow_html=True)
    # Always there, so that nothing jumps at the first click.
    if st.button("Open", disabled=len(selected) != 1):
        ask_to_open(selected[0])
        st.rerun()
    st.button("Clear", disabled=not selected, on_click=_clear_selection)


def _clear_selection() -> None:
    st.session_state[_CLEARINGS] = st.session_state.get(_CLEARINGS, 0) + 1


def _pager(page: Page, row: str) -> None:
    newer, older = page.previous_cursor, page.next_cursor
    if newer is None and older is None:
        return
    if st.button("← Newer", key=f"newer_{row}", disabled=newer is None):
        if page.position is not None and page.position <= PAGE_SIZE + 1:
            _turn_to_newest()
        else:
            st.query_params[_PLACE] = f"before:{newer}"
        st.rerun()
    if st.button("Older →", key=f"older_{row}", disabled=older is None):
        st.query_params[_PLACE] = f"after:{older}"
        st.rerun()


def _unreadable_place() -> None:
    with st.container(border=True, horizontal_alignment="center", key="unreadable_place"):
        st.subheader("This link leads to no page of the library", width="content")
        st.markdown("Perhaps a part of it was lost on the way.", width="content")
        st.button("Go to the first page", on_click=_turn_to_newest)


def _no_hits() -> None:
    with st.container(border=True, horizontal_alignment="center", key="no_hits"):
        st.subheader("Nothing matches these filters", width="content")
        st.button("Clear filters", on_click=_clear_filters)


def _empty_library(kit: MediaToolkit) -> None:
    with st.container(border=True, horizontal_alignment="center", key="empty_library"):
        st.subheader("Nothing here yet", width="content")
        st.markdown(
            "Upload pictures and videos, or begin with ten public-domain pictures.",
            width="content",
        )
        with st.container(horizontal=True, horizontal_alignment="center"):
            load = st.button("Load sample media", type="primary")
            if st.button("Upload files"):
                st.switch_page("views/upload.py")
        if load:
            _load_sample_media(kit)


def _load_sample_media(kit: MediaToolkit) -> None:
    with st.spinner("Loading sample media …"):
        report = kit.ingest(SAMPLE_MEDIA, progress=False)
    if not report.failed:
        st.rerun()
    for result in report.failed:
        st.error(f"**{literal(result.label)}**: {literal(result.error)}")


if __name__ == "__main__":
    show()
