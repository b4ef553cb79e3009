"""Mending: each difference is looked at once more in Cloudinary, then put right on one side."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Literal, get_args

from tqdm.auto import tqdm

from media_toolkit.asset import Asset
from media_toolkit.cloud.client import CloudClient
from media_toolkit.cloud.origin import other_cloud
from media_toolkit.cloud.pacing import AdminBudget, calls_in_words
from media_toolkit.errors import (
    Conflict,
    FilterError,
    MediaToolkitError,
    NotFound,
    RateLimited,
)
from media_toolkit.identity import CLOUDINARY, Identity
from media_toolkit.store.assets import AssetStore
from media_toolkit.store.intent import Intent
from media_toolkit.store.intents import IntentStore
from media_toolkit.store.listings import Difference, ListingStore
from media_toolkit.store.saving import asked_again

if TYPE_CHECKING:
    import pandas as pd

Direction = Literal["to_table", "to_cloudinary"]
Outcome = Literal["planned", "mended", "unchanged", "left", "refused", "unfinished"]

# What the table may say of an asset; bytes, version and names are Cloudinary's.
_LABELS = frozenset({"tags", "context", "folder"})
_ACTIONS = {
    "only_in_cloudinary": "save the row",
    "only_in_table": "delete the row softly",
    "differing": "update the row",
    "unsettled_intent": "settle the intent",
}
# So many rows whose assets are all gone are rather a wrong account, or a listing that was empty.
_MANY = 20


@dataclass(frozen=True, slots=True)
class Mended:
    """One difference and what became of it.

    `outcome` is planned (a dry run), mended, unchanged (it differs no more), left (not in this
    direction), refused (see `detail`) or unfinished (the budget was spent before it).
    """

    difference: Difference
    action: str
    outcome: Outcome
    detail: str = ""


@dataclass(slots=True)
class MendReport:
    """What was done about each difference; prints as a summary."""

    results: list[Mended] = field(default_factory=list)
    intents: Mapping[int, Intent] = field(default_factory=dict)
    calls: int = 0
    is_dry_run: bool = True

    @property
    def is_complete(self) -> bool:
        """Whether nothing was refused and nothing waits for more budget."""
        return all(r.outcome not in ("refused", "unfinished") for r in self.results)

    @property
    def is_stopped(self) -> bool:
        """Whether something waits for more budget: apply it again."""
        return any(r.outcome == "unfinished" for r in self.results)

    @property
    def frame(self) -> pd.DataFrame:
        """The plan's columns, then action, outcome and detail (str)."""
        frame = as_frame([r.difference for r in self.results], self.intents)
        for name in ("action", "outcome", "detail"):
            frame[name] = _text([getattr(r, name) for r in self.results])
        return frame

    def __str__(self) -> str:
        counts = Counter(result.outcome for result in self.results)
        told = ", ".join(f"{n:,} {outcome}" for outcome, n in counts.items()) or "nothing to mend"
        text = f"{told} with {calls_in_words(self.calls)}"
        if self.is_dry_run:
            text += " (a dry run: apply(dry_run=False) does it)"
        for result in self.results:
            if result.outcome == "refused":
                text += f"\n  {result.difference.public_id}: {result.detail}"
        return text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table = self.frame.head(20).to_html(index=False) if self.results else ""
        return f"<p><b>{escape(str(self).splitlines()[0])}</b></p>{table}"


class Mender:
    """Puts differences right, as one caller: rows and lost uploads of others are an admin's.

    Args:
        adopts: whether a caller who is no admin gets the assets that nobody had signed: where
            there is no admin to do it.
    """

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
        self._former: Mapping[str, tuple[str, bool]] = {}
        self._adopts = adopts

    def mend(
        self,
        differences: Sequence[Difference],
        intents: Mapping[int, Intent],
        direction: Direction,
        dry_run: bool,
        budget: AdminBudget,
        progress: bool,
        listed: int,
        all_gone: bool,
    ) -> MendReport:
        """Do what `ReconcilePlan.apply` says; one difference that fails stops no other."""
        if direction not in get_args(Direction):
            raise FilterError(
                f"unknown direction {direction!r}",
                hint=f"known: {', '.join(get_args(Direction))}",
                ids=(direction,),
            )
        if direction == "to_table" and not (all_gone or dry_run):
            self._refuse_to_hide_most(differences, listed)
        self._former = self._store.former_owners(
            [one.asset_id for one in differences if one.asset_id and not _is_of_the_row(one)],
            self._identity,
        )
        before = budget.spent
        report = MendReport(intents=intents, is_dry_run=dry_run)
        stopped = ""
        for at, one in enumerate(
            tqdm(differences, unit="difference", disable=not progress or dry_run)
        ):
            action = _action(one, direction)
            result = self._beforehand(one, action, intents.get(at))
            if result is None and dry_run:
                result = Mended(one, action, "planned")
            elif result is None and stopped:
                result = Mended(one, action, "unfinished", stopped)
            elif result is None:
                try:
                    result = self._mend(one, intents.get(at), action, direction, budget)
                except RateLimited as error:
                    stopped = str(error)
                    result = Mended(one, action, "unfinished", stopped)
                except MediaToolkitError as error:
                    result = Mended(one, action, "refused", str(error))
            report.results.append(result)
        report.calls = budget.spent - before
        return report

    def _refuse_to_hide_most(self, differences: Sequence[Difference], listed: int) -> None:
        """Raises Conflict for more than half of the rows compared, less those of another cloud."""
        kinds = Counter(
            "gone" if one.kind == "differing" and not _is_of_the_row(one) else one.kind
            for one in differences
            if not self._other_cloud(one)
        )
        gone = kinds["gone"] + kinds["only_in_table"]
        there = listed - kinds["gone"] - kinds["only_in_cloudinary"]
        if gone >= _MANY and gone > there:
            account = self._client.account
            raise Conflict(
                f"the account {account.cloud_name} does not have the assets of {gone:,} of the"
                f" {gone + there:,} rows that were compared; nothing was changed",
                hint="kit.doctor() says whether CLOUDINARY_URL and DATABASE_URL belong together;"
                " if these assets are gone, apply(all_gone=True) goes on, in a shell --all-gone",
            )

    def _other_cloud(self, one: Difference) -> str | None:
        """The cloud that the row is of, where the one in use tells nothing about its asset."""
        if one.row_id is None:
            return None
        if one.kind != "only_in_table" and one.row_asset_id == one.asset_id is not None:
            # The same asset: the cloud has another name by now, or the URL was made by hand.
            return None
        return other_cloud(one.media_url, self._client.account)

    def _beforehand(self, one: Difference, action: str, intent: Intent | None) -> Mended | None:
        """What needs no look at Cloudinary: not in this direction, or not the caller's."""
        if not action:
            return Mended(one, "leave it", "left", "not in this direction")
        if one.user_id is not None and not self._identity.may_write(one.user_id):
            detail = f"belongs to {one.user_id}: for the owner or an admin"
            return Mended(one, action, "refused", detail)
        if cloud := self._other_cloud(one):
            detail = f"the row is of the cloud {cloud}, and {self._client.account.cloud_name} is"
            return Mended(one, action, "refused", f"{detail} in use: docs/branches.md")
        owner, is_deleted = self._former.get(one.asset_id or "", (None, False))
        is_another = not _is_of_the_row(one)
        if is_another and owner is not None:
            if is_deleted:
                return Mended(one, action, "left", "was deleted here: kit.save brings it back")
            if not self._identity.may_write(owner):
                detail = f"belongs to {owner}: for the owner or an admin"
                return Mended(one, action, "refused", detail)
            return None
        if is_another and self._identity.role == "admin":
            if intent is not None and one.asset is not None and len(self._signers(one.asset)) > 1:
                detail = "several had this signed: for the one who sent it, or kit.save"
                return Mended(one, action, "refused", detail)
        elif is_another:
            if self._is_signed_for_another(one, intent):
                detail = "signed for another user: for them or an admin"
                return Mended(one, action, "refused", detail)
            if intent is None and not self._adopts:
                detail = "nobody asked for it here: for an admin to adopt"
                return Mended(one, action, "refused", detail)
        return None

    def _is_signed_for_another(self, one: Difference, intent: Intent | None) -> bool:
        """Whether another's intent fits; as well as the caller's, where that signed more than the
        time."""
        if one.asset is None:
            return False
        if signers := self._signers(one.asset):
            return signers != {self._identity.user_id}
        # Others' intents are an admin's to see; here only whether there is one is told.
        everybody = Identity(self._identity.user_id, "admin")
        found = self._intents.find(one.asset, "reconcile", everybody)
        if found is None or found.user_id == self._identity.user_id:
            return False
        return intent is None

    def _signers(self, asset: Asset) -> set[str]:
        return {intent.user_id for intent in self._intents.contenders(asset, self._identity)}

    def _mend(
        self,
        one: Difference,
        intent: Intent | None,
        action: str,
        direction: Direction,
        budget: AdminBudget,
    ) -> Mended:
        if one.kind == "unsettled_intent":
            changed = self._settle(one, intent)
        elif direction == "to_cloudinary":
            changed = self._relabel(one, budget)
        else:
            return asked_again(lambda asked_at: self._follow(one, intent, action, budget, asked_at))
        return Mended(one, action, "mended" if changed else "unchanged")

    def _follow(
        self,
        one: Difference,
        intent: Intent | None,
        action: str,
        budget: AdminBudget,
        asked_at: float,
    ) -> Mended:
        try:
            fresh = self._look(one, budget)
        except NotFound:
            return self._gone(one)
        if one.kind == "only_in_table":
            action = "update the row"
        changed = self._save(one, intent, fresh, asked_at)
        return Mended(one, action, "mended" if changed else "unchanged")

    def _look(self, one: Difference, budget: AdminBudget) -> dict[str, Any]:
        if one.asset_id is not None:
            fresh = self._client.resource_by_asset_id(one.asset_id, budget)
        else:
            fresh = self._client.resource(
                one.public_id, one.resource_type, one.delivery_type, budget
            )
        if fresh.get("placeholder"):
            # Deleted, with a backup kept: Cloudinary still tells of it, with no bytes.
            raise NotFound(f"{one.public_id} was deleted in Cloudinary", ids=(one.public_id,))
        return fresh

    def _gone(self, one: Difference) -> Mended:
        if one.row_id is None or one.kind == "only_in_cloudinary":
            return Mended(one, _ACTIONS[one.kind], "unchanged", "gone from Cloudinary meanwhile")
        hidden = self._listings.hide(one, self._identity)
        action = _ACTIONS["only_in_table"]
        if hidden:
            return Mended(one, action, "mended", "Cloudinary says that it is not there")
        return Mended(one, action, "unchanged", "the row has changed meanwhile")

    def _save(
        self, one: Difference, intent: Intent | None, fresh: Mapping[str, Any], asked_at: float
    ) -> bool:
        is_new = one.kind == "only_in_cloudinary"
        former, _ = self._former.get(one.asset_id or "", (None, False))
        if _is_of_the_row(one):
            owner = one.user_id or self._identity.user_id
        else:
            owner = former or (intent.user_id if intent else self._identity.user_id)
        asset = Asset.from_response(fresh, owner)
        if asset.asset_id is not None:
            self._store.make_way(asset, owner)
        row = None if is_new else self._row_if_there(one)
        if row is not None:
            if _agree(row, asset):
                return False
            asset = _with_what_only_the_upload_told(asset, row)
        identity = self._identity
        if is_new and former is None:
            self._store.refuse_foreign([asset.identity], identity)
            # Whoever is uploading it just now can still claim what no user has made a row of.
            identity = Identity(CLOUDINARY, "admin")
        report = self._store.save_many([asset], identity, revive=is_new, asked_at=asked_at)
        return bool(report.inserted + report.updated)

    def _relabel(self, one: Difference, budget: AdminBudget) -> bool:
        row = self._row(one)
        assert one.asset_id is not None
        self._client.relabel(
            one.asset_id,
            tags=row.tags if "tags" in one.fields else None,
            context=row.context if "context" in one.fields else None,
            folder=row.folder if "folder" in one.fields else None,
            budget=budget,
        )
        return True

    def _row_if_there(self, one: Difference) -> Asset | None:
        """None where it is hidden by now, or went when another took its name a moment ago."""
        try:
            return self._row(one)
        except NotFound:
            return None

    def _row(self, one: Difference) -> Asset:
        if one.row_asset_id is not None:
            return self._store.get(one.row_asset_id, self._identity)
        return self._store.get(one.public_id, self._identity, one.resource_type, one.delivery_type)

    def _settle(self, one: Difference, intent: Intent | None) -> bool:
        if one.asset is None or intent is None:
            return False
        signed_at = int(intent.signed_at.timestamp())
        known = self._intents.find(one.asset, "reconcile", self._identity, signed_at)
        if known is None or known.is_settled:
            return False
        # Not before the row is there: an adoption may have been refused.
        self._store.get(one.public_id, self._identity, one.resource_type, one.delivery_type)
        return self._intents.settle(one.asset, "reconcile", self._identity, signed_at) is not None


def as_frame(differences: Sequence[Difference], intents: Mapping[int, Intent]) -> pd.DataFrame:
    """Differences as `ReconcilePlan.frame` describes them."""
    import pandas as pd

    owners = [
        one.user_id or (intents[at].user_id if at in intents else None)
        for at, one in enumerate(differences)
    ]
    ids = [intents[at].id if at in intents else None for at in range(len(differences))]
    return pd.DataFrame(
        {
            "kind": _text([one.kind for one in differences]),
            "resource_type": _text([one.resource_type for one in differences]),
            "delivery_type": _text([one.delivery_type for one in differences]),
            "public_id": _text([one.public_id for one in differences]),
            "asset_id": _text([one.asset_id for one in differences]),
            "fields": pd.Series([list(one.fields) for one in differences], dtype=object),
            "in_cloudinary": pd.Series(
                [dict(one.listed or {}) for one in differences], dtype=object
            ),
            "in_table": pd.Series([dict(one.row or {}) for one in differences], dtype=object),
            "user_id": _text(owners),
            "intent_id": pd.Series(ids, dtype="Int64"),
        }
    )


def _action(one: Difference, direction: Direction) -> str:
    """What is to be done about it, or "" when that is not in this direction."""
    if direction == "to_table":
        return _ACTIONS[one.kind]
    is_another = one.row_asset_id is not None and one.row_asset_id != one.asset_id
    if one.kind != "differing" or is_another or not set(one.fields) & _LABELS:
        return ""
    return f"set {', '.join(name for name in one.fields if name in _LABELS)} in Cloudinary"


def _is_of_the_row(one: Difference) -> bool:
    """Whether what is in Cloudinary is the row's own asset; not of one that has its name now."""
    if one.kind != "differing":
        return one.kind != "only_in_cloudinary"
    return None in (one.row_asset_id, one.asset_id) or one.row_asset_id == one.asset_id


def _agree(row: Asset, fresh: Asset) -> bool:
    return (
        (row.asset_id, row.identity, row.version, row.etag, row.context, row.folder or "")
        == (fresh.asset_id, fresh.identity, fresh.version, fresh.etag, fresh.context,
            fresh.folder or "")
        and set(row.tags) == set(fresh.tags)
    )  # fmt: skip


def _with_what_only_the_upload_told(fresh: Asset, row: Asset) -> Asset:
    """The details lack the perceptual hash, colours and the file's name unless asked for them."""
    same_bytes = fresh.etag is not None and fresh.etag == row.etag
    return dataclasses.replace(
        fresh,
        phash=fresh.phash or (row.phash if same_bytes else None),
        original_filename=fresh.original_filename or row.original_filename,
        raw={**(row.raw if same_bytes else {}), **fresh.raw},
    )


def _text(values: Sequence[str | None]) -> pd.Series:
    import pandas as pd

    return pd.Series(values, dtype=pd.StringDtype(na_value=pd.NA))
