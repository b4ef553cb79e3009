"""Changing: in Cloudinary and in the rows alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from media_toolkit.asset import Asset
from media_toolkit.toolkit.parts import Parts

if TYPE_CHECKING:
    from datetime import date, datetime, timedelta

    import pandas as pd

    from media_toolkit.reconcile.plan import ReconcilePlan

    Assets: TypeAlias = Asset | str | Iterable[Asset | str] | pd.DataFrame


class Changing(Parts):
    """What becomes of assets."""

    def edit(
        self,
        assets: Assets,
        *,
        tags: Iterable[str] | None = None,
        add_tags: Iterable[str] = (),
        remove_tags: Iterable[str] = (),
        context: Mapping[str, str | None] | None = None,
    ) -> list[Asset]:
        """Change tags and context, in Cloudinary and then in the rows; the assets as they stand.

        Args:
            assets: an Asset, a public_id or asset_id, several of them, or rows of `assets()`.
            tags: all of them from now on; [] for none. add_tags, remove_tags: some; after `tags`.
            context: keys to set; a key that is None is removed; other keys stay.

        Raises:
            Forbidden: one is another user's; nothing was changed.
            InvalidName: a tag, key or value that Cloudinary would read as another; likewise.
            NotFound: no such row; or Cloudinary lacks some, and the others are changed.
        """
        return self._changes.edit(
            assets, self.identity,
            tags=tags, add_tags=add_tags, remove_tags=remove_tags, context=context,
        )  # fmt: skip

    def rename(self, asset: Asset | str, new_public_id: str) -> Asset:
        """Give an asset another public_id, in Cloudinary and then in its row.

        Raises:
            Forbidden: it is another user's. Conflict: the name is another user's, or
                that of a row whose asset Cloudinary has no more.
            UploadError: Cloudinary has an asset of that name. InvalidName, NotFound.
        """
        return self._changes.rename(asset, new_public_id, self.identity)

    def delete(self, assets: Assets) -> list[Asset]:
        """Hide assets, as given to `edit`; `restore` brings them back, `purge` destroys them.

        Raises:
            Forbidden: one is another user's; none is deleted. NotFound: no such asset.
        """
        return self._changes.delete(assets, self.identity)

    def restore(self, assets: Assets) -> list[Asset]:
        """Bring deleted assets back. Raises Forbidden and NotFound as `delete` does."""
        return self._changes.restore(assets, self.identity)

    def purge(self, older_than: str | timedelta = "30d") -> int:
        """Destroy for good, in Cloudinary too, what was deleted so long ago; returns how many.

        A user's own assets; an admin's are everybody's.

        Args:
            older_than: such as "30d", "12h", "2w", or a timedelta.

        Raises:
            FilterError: not an age. UploadError: Cloudinary failed; the same call goes on.
            Conflict: some were left as they are, or all, since this database is a copy.
        """
        return self._changes.purge(older_than, self.identity)

    def reconcile(
        self,
        *,
        folder: str | None = None,
        since: datetime | date | str | None = None,
        resource_types: str | Iterable[str] | None = None,
        budget: int = 400,
        wait_s: float = 0,
        resume: bool = True,
        progress: bool = True,
    ) -> ReconcilePlan:
        """Compare Cloudinary with the table; changes nothing until `.apply(dry_run=False)`.

        The listing costs one Admin call for 500 assets; the plan tells how many. When the
        budget is spent it stops, and the next call with the same arguments goes on from there.

        Args:
            folder: this one and those below. since: created then or later. resource_types:
                image, video, raw. Everything unless given.
            budget: Admin calls at most, by this call and the plan's `apply` together. A free
                plan has 500 an hour; 0 only estimates.
            wait_s: how long to wait for the account's limit to be reset; 0 stops instead.
            resume: go on with a listing that stopped in the last 24 hours.

        Returns:
            A plan; `.frame` has one row a difference: only_in_cloudinary, only_in_table,
            differing (version, etag, tags, context, folder …) or unsettled_intent.

        Raises:
            FilterError: for a date or type that cannot be read. CloudUnavailable, Unavailable.
        """
        from media_toolkit.cloud.pacing import AdminBudget
        from media_toolkit.reconcile.plan import Reconciler, read_scope
        from media_toolkit.store.listings import ListingStore

        scope = read_scope(folder, since, resource_types)
        listings = ListingStore(self._database)
        worker = Reconciler(
            self._client,
            self._store,
            listings,
            self._intents,
            self.identity,
            adopts=not self.settings.admins,
        )
        return worker.plan(scope, AdminBudget(budget, wait_s), resume, progress)
