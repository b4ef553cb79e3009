"""The plan: what differs between Cloudinary and the table, found within a budget of Admin calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from html import escape
from math import ceil
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from media_toolkit.asset import RESOURCE_TYPES, Asset
from media_toolkit.cloud.client import CloudClient
from media_toolkit.cloud.listing import DELIVERY_TYPES, PAGE_SIZE, ListingScope
from media_toolkit.cloud.pacing import AdminBudget, calls_in_words
from media_toolkit.errors import CloudUnavailable, FilterError, RateLimited, StoreError, UploadError
from media_toolkit.identity import Identity
from media_toolkit.reconcile.mending import Direction, Mender, MendReport, as_frame
from media_toolkit.store.assets import AssetStore
from media_toolkit.store.filters import AssetFilter
from media_toolkit.store.intent import LEEWAY, Intent, uploaded_at
from media_toolkit.store.intents import IntentStore
from media_toolkit.store.listings import Difference, ListingStore, Run

if TYPE_CHECKING:
    import pandas as pd

_INTENTS_AT_ONCE = 1_000


@dataclass(slots=True)
class ReconcilePlan:
    """What differs; prints as a summary. `frame` has the differences, `apply` mends them.

    Attributes:
        differences: of every kind, with the intents that would be settled.
        listed, total: assets seen in Cloudinary, and how many there are in this scope.
        calls: Admin calls that this reconcile made. estimated_calls: what a listing costs.
        is_complete: whether the whole listing was read; rows whose asset is missing are told
            only then.
        stopped: why not, and what to do; "" when it is.
        budget: what is left of it is there for `apply`.
    """

    differences: list[Difference]
    intents: dict[int, Intent]
    listed: int
    total: int | None
    calls: int
    estimated_calls: int
    is_complete: bool
    stopped: str
    budget: AdminBudget
    _mender: Mender

    @property
    def frame(self) -> pd.DataFrame:
        """One row a difference.

        Returns:
            Columns kind (only_in_cloudinary, only_in_table, differing, unsettled_intent),
            resource_type, delivery_type, public_id, asset_id, fields (list of asset_id,
            public_id, version, etag, tags, context, folder), in_cloudinary and in_table
            (dicts of these fields), user_id (the row's owner, or whose it would become),
            intent_id (Int64). Text is str; lists and dicts are object columns.
        """
        return as_frame(self.differences, self.intents)

    def apply(
        self,
        direction: Direction = "to_table",
        *,
        dry_run: bool = True,
        budget: int | None = None,
        progress: bool = True,
        all_gone: bool = False,
    ) -> MendReport:
        """Mend the differences, each after a look at its asset; one Admin call a difference.

        Args:
            direction: `to_table`: Cloudinary is right: rows are saved, updated and, where
                Cloudinary says that the asset is gone, deleted softly. `to_cloudinary`: the
                table is right about tags, context and folder; nothing else is changed.
            dry_run: say what would be done, without a call and without a change.
            budget: Admin calls at most; what is left of the plan's unless given.
            all_gone: that most assets are gone is no mistake.

        Raises:
            FilterError: for another direction. Conflict: most of the rows that were compared, and
                20 at least, would be deleted; nothing was changed. Not for a dry run.
        """
        allowed = self.budget if budget is None else AdminBudget(budget, self.budget.wait_s)
        return self._mender.mend(
            self.differences,
            self.intents,
            direction,
            dry_run,
            allowed,
            progress,
            self.listed,
            all_gone,
        )

    def __str__(self) -> str:
        counts = Counter(difference.kind for difference in self.differences)
        told = ", ".join(f"{n:,} {kind.replace('_', ' ')}" for kind, n in counts.items())
        seen = f"{self.listed:,} of {self.total or 0:,} assets listed"
        if self.total is None:
            seen = "nothing listed"
        nothing = "no difference" if self.is_complete else "no difference so far"
        text = f"{told or nothing}; {seen} with {calls_in_words(self.calls)}"
        if self.is_complete:
            cost = sum(d.kind != "unsettled_intent" for d in self.differences)
            return text + (f"; apply costs up to {cost:,} more" if cost else "")
        return (
            f"{text}\nNot complete: {self.stopped}"
            f"\nThe whole listing costs about {calls_in_words(self.estimated_calls)}; "
            "rows without an asset are told at its end"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        lines = "<br>".join(escape(line) for line in str(self).splitlines())
        table = self.frame.head(20).to_html(index=False) if self.differences else ""
        return f"<p><b>{lines}</b></p>{table}"


class Reconciler:
    """Compares one account with one table, as one caller; for `adopts` see `Mender`."""

    def __init__(
        self,
        client: CloudClient,
        store: AssetStore,
        listings: ListingStore,
        intents: IntentStore,
        identity: Identity,
        adopts: bool,
    ) -> None:
        self._client = client
        self._store = store
        self._listings = listings
        self._intents = intents
        self._identity = identity
        self._adopts = adopts

    def plan(
        self,
        scope: ListingScope,
        budget: AdminBudget,
        resume: bool = True,
        progress: bool = True,
    ) -> ReconcilePlan:
        """List what the budget allows, going on from where the last one stopped, and compare.

        Raises:
            SettingsError: Cloudinary refuses the key. CloudUnavailable: it does not answer.
            Conflict: another reconcile took this one's place, which it had not moved for long.
            Unavailable, StoreError: Postgres.
        """
        described = {
            "cloud": f"{self._client.account.upload_prefix}/{self._client.account.cloud_name}",
            "folder": scope.folder,
            "since": scope.since.isoformat() if scope.since else None,
            "resource_types": sorted(scope.resource_types),
        }
        run = self._listings.begin(self._identity, described, resume)
        try:
            pages = self._estimate(scope, run)
            stopped = ""
            with tqdm(
                total=pages,
                initial=run.calls,
                unit="call",
                desc=f"about {calls_in_words(pages)}",
                disable=not progress,
            ) as bar:
                while not run.is_complete:
                    try:
                        run = self._next_page(run, scope, budget)
                    except (RateLimited, CloudUnavailable) as error:
                        if isinstance(error, CloudUnavailable) and not run.calls:
                            raise
                        stopped = str(error)
                        break
                    except UploadError:
                        if run.cursor is None:
                            raise
                        # The cursor has expired: from the beginning.
                        self._listings.release(run, self._identity)
                        run = self._listings.begin(self._identity, described, resume=False)
                    pages = self._estimate(scope, run)
                    bar.total = max(pages, run.calls)
                    bar.set_description(calls_in_words(pages), refresh=False)
                    bar.update(run.calls - bar.n)
            differences = self._listings.differences(
                run,
                self._identity,
                resource_types=scope.resource_types,
                delivery_types=DELIVERY_TYPES,
                folder=scope.folder,
                since=scope.since,
            )
            intents: dict[int, Intent] = {}
            differences += self._unsettled(run, differences, intents)
            if run.is_complete:
                self._listings.finish(run, self._identity)
        finally:
            if not run.is_complete:
                self._release(run)
        return ReconcilePlan(
            differences,
            intents,
            run.listed,
            run.total,
            budget.spent,
            pages,
            run.is_complete,
            stopped,
            budget,
            Mender(
                self._client,
                self._store,
                self._listings,
                self._intents,
                self._identity,
                self._adopts,
            ),
        )

    def _release(self, run: Run) -> None:
        # What ended the walk is to be told, be it Ctrl-C or a Postgres that is away.
        with suppress(StoreError):
            self._listings.release(run, self._identity)

    def _next_page(self, run: Run, scope: ListingScope, budget: AdminBudget) -> Run:
        page = self._client.listing(scope, run.cursor, budget)
        found = {}
        for item in page.items:
            asset = Asset.from_response(item, "")
            if scope.holds(asset.folder, asset.created_at):
                found[asset.identity] = asset
        return self._listings.add(run, self._identity, found.values(), page.next_cursor, page.total)

    def _estimate(self, scope: ListingScope, run: Run) -> int:
        """Pages of the whole listing: by the first one's total, before it by the table's rows."""
        total = run.total
        if total is None:
            wanted = AssetFilter(folder=scope.folder, resource_type=scope.resource_types)
            total = self._store.count(wanted, self._identity)
        return max(1, ceil(total / PAGE_SIZE))

    def _unsettled(
        self, run: Run, differences: list[Difference], intents: dict[int, Intent]
    ) -> list[Difference]:
        """Intents whose upload is among what was listed; `intents` gets them by their place.

        An intent that signed no name is settled only by an asset that has no row: with a row
        it was saved, and that save settled what it came from.
        """
        waiting = self._intents.unsettled(self._identity, limit=_INTENTS_AT_ONCE)
        if not waiting:
            return []
        new = {
            (d.resource_type, d.delivery_type, d.public_id): at
            for at, d in enumerate(differences)
            if d.kind == "only_in_cloudinary" or ("asset_id" in d.fields and d.row_asset_id)
        }
        found: list[Difference] = []
        taken: set[int] = set()
        first = min(intent.signed_at for intent in waiting) - LEEWAY
        last = max(intent.expires_at for intent in waiting) + LEEWAY
        for asset in self._listings.uploaded_between(run, self._identity, first, last):
            if len(taken) == len(waiting):
                break
            if not _in_a_window(asset, waiting):
                continue
            place = new.get(asset.identity)
            intent = self._intents.find(
                asset,
                "reconcile",
                self._identity,
                named_only=place is None,
                passed_over=taken,
            )
            if intent is None or intent.is_settled:
                continue
            taken.add(intent.id)
            if place is not None:
                intents[place] = intent
            intents[len(differences) + len(found)] = intent
            found.append(
                Difference(
                    "unsettled_intent",
                    asset.resource_type,
                    asset.delivery_type,
                    asset.public_id,
                    asset.asset_id,
                    intent.user_id,
                    asset=asset,
                )
            )
        return found


def read_scope(
    folder: str | None,
    since: datetime | date | str | None,
    resource_types: str | Iterable[str] | None,
) -> ListingScope:
    """What a caller gives → a scope.

    Raises:
        FilterError: naming what cannot be read.
    """
    kinds: tuple[str, ...] = RESOURCE_TYPES
    if resource_types is not None:
        kinds = (resource_types,) if isinstance(resource_types, str) else tuple(resource_types)
    unknown = sorted(set(kinds) - set(RESOURCE_TYPES))
    if unknown or not kinds:
        raise FilterError(
            f"unknown resource_type {', '.join(unknown) or 'none'}",
            hint=f"known: {', '.join(RESOURCE_TYPES)}",
            ids=tuple(unknown),
        )
    return ListingScope((folder or "").strip("/") or None, _moment(since), kinds)


def _moment(since: datetime | date | str | None) -> datetime | None:
    if since is None:
        return None
    try:
        moment = datetime.fromisoformat(str(since))
    except ValueError as error:
        raise FilterError(
            f"since is not a date: {since!r}",
            hint="write it like 2026-01-31 or 2026-01-31T12:00:00+00:00",
            ids=("since",),
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _in_a_window(asset: Asset, waiting: list[Intent]) -> bool:
    moment = uploaded_at(asset)
    return any(i.signed_at - LEEWAY <= moment <= i.expires_at + LEEWAY for i in waiting)
