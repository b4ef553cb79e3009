"""What becomes of assets: Cloudinary first, then the row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from media_toolkit.asset import Asset
from media_toolkit.cloud.client import CloudClient
from media_toolkit.cloud.labels import Labels
from media_toolkit.cloud.names import check_name
from media_toolkit.cloud.origin import other_cloud
from media_toolkit.errors import (
    Conflict,
    InvalidName,
    MediaToolkitError,
    NotFound,
    StoreError,
    UploadError,
    listed,
)
from media_toolkit.identity import Identity
from media_toolkit.response import flat_context
from media_toolkit.store.assets import AssetStore
from media_toolkit.store.changes import AssetChanges, read_age
from media_toolkit.store.saving import asked_again
from media_toolkit.store.turns import Turns

_CALLS_AT_ONCE = 8
# Of more, each look would take longer than the change.
_LOOKED_AT = 100
# Of a turn, in which nobody else changes them: seconds, also with a call for each asset. A call
# takes 1,000: https://cloudinary.com/documentation/image_upload_api_reference#tags
_A_TURN = 500
_ASKED_A_TURN = 100


class Changes:
    """Edits, renames, deletes, restores and purges; holds the two sides together."""

    def __init__(
        self, client: CloudClient, store: AssetStore, rows: AssetChanges, turns: Turns
    ) -> None:
        self._client = client
        self._store = store
        self._rows = rows
        self._turns = turns

    def edit(
        self,
        assets: Any,
        identity: Identity,
        *,
        tags: Iterable[str] | None = None,
        add_tags: Iterable[str] = (),
        remove_tags: Iterable[str] = (),
        context: Mapping[str, str | None] | None = None,
    ) -> list[Asset]:
        """Change labels in Cloudinary, a call for up to 500 assets, then in the rows.

        A key of the context that is None is removed; that takes a call for each asset, and is
        done for 100 at a time. What is done stays done when a later part fails.

        Raises:
            Forbidden: an asset of another user; nothing was changed.
            Conflict: another asset has the name by now, or the row is of another cloud than the
                one in use (looked at for up to 100 at once); nothing was changed.
            InvalidName: a tag, key or value that Cloudinary would read as another; likewise.
            NotFound: Cloudinary does not have some; the others are changed.
            StoreError: Cloudinary has the change, the rows have not; the hint says so.
            Unavailable: others have been changing some for 30 s.
        """
        labels = Labels.read(tags, add_tags, remove_tags, context)
        rows = self._rows.find(assets, identity)
        self._rows.require_writable(rows, identity)
        edited: list[Asset] = []
        gone: list[Asset] = []
        for part in self._turns.parts(rows, _ASKED_A_TURN if labels.unset else _A_TURN):
            with _after(len(edited), len(rows)), self._turns.of(part, identity):
                # Whoever had the turn before may have renamed or deleted some.
                standing = self._rows.find(part, identity)
                if not (edited or gone):
                    self._refuse_other_clouds(rows)
                    self._refuse_successors(standing)
                known = self._change_labels(standing, labels)
                there = [asset for asset in standing if asset.identity in known]
                with _already_in_cloudinary("the change"):
                    edited += self._rows.label(
                        there, identity,
                        tags=labels.replaced, add_tags=labels.added, remove_tags=labels.removed,
                        context=labels.values, remove_context=labels.unset,
                    )  # fmt: skip
            gone += [asset for asset in standing if asset.identity not in known]
        if gone:
            raise NotFound(
                f"Cloudinary does not have {listed(gone)}",
                hint=("the others are changed; " if edited else "nothing was changed; ")
                + "delete these rows or upload the files again",
                ids=tuple(asset.public_id for asset in gone),
            )
        return sorted(edited, key=lambda asset: asset.id or 0)

    def rename(self, asset: Any, new_public_id: str, identity: Identity) -> Asset:
        """Rename in Cloudinary, then the row.

        Raises:
            Forbidden: another user's. Conflict: the name is taken by another user's asset, or
                by a row alone; or the asset's own has been taken by another; or the row is of
                another cloud than the one in use.
            InvalidName, NotFound. UploadError: the name is taken in Cloudinary.
        """
        check_name("" if new_public_id is None else new_public_id)
        (row,) = self._rows.find([asset], identity)
        self._rows.require_writable([row], identity)
        with self._turns.of([row], identity):
            (row,) = self._rows.find([row], identity)
            return self._rename(row, new_public_id, identity)

    def delete(self, assets: Any, identity: Identity) -> list[Asset]:
        """Hide rows; the assets stay in Cloudinary until `purge`. Raises Forbidden, NotFound."""
        rows = self._rows.find(assets, identity)
        self._rows.require_writable(rows, identity)
        return self._rows.delete(rows, identity)

    def restore(self, assets: Any, identity: Identity) -> list[Asset]:
        """Show deleted rows again. Raises Forbidden, NotFound."""
        rows = self._rows.find(assets, identity, is_deleted=True)
        self._rows.require_writable(rows, identity)
        return self._rows.restore(rows, identity)

    def purge(self, older_than: str | timedelta, identity: Identity) -> int:
        """Destroy what was deleted so long ago, in Cloudinary and then its row; how many.

        Raises:
            FilterError: no age. UploadError: Cloudinary failed; what is done stays done, and
                the same call goes on. Conflict: some stay, and the others are done: rows of
                other tables refer to them, a trigger holds them, they were uploaded again, they
                are of another cloud, or their asset has a name that the row never had. Or all
                stay, since this database is a copy, or was reset.
        """
        age, done = read_age(older_than), 0
        kept: dict[int, Asset] = {}
        elsewhere: list[Asset] = []
        unnamed: list[Asset] = []
        apart: list[Asset] = []

        def destroy(asset: Asset) -> bool:
            try:
                if self._is_elsewhere(asset):
                    apart.append(asset)
                    return False
                there = self._where_it_is(asset)
                if there is None:
                    return True
                if there.identity != asset.identity and not self._rows.had(asset, there, identity):
                    # An asset_id is nobody's proof: that name may be another user's.
                    elsewhere.append(asset)
                    return False
                if (there.version or 0) > (asset.version or 0) > 0:
                    return False
                self._client.destroy(there.public_id, there.resource_type, there.delivery_type)
            except InvalidName:
                unnamed.append(asset)
                return False
            return True

        while True:
            held = len(kept)
            if not self._rows.purge(age, identity, destroy, kept):
                break
            done += len(kept) == held
        if kept:
            raise Conflict(
                f"left as they are: {listed(kept.values())}; {done} others purged",
                hint=_why_kept(elsewhere, unnamed, apart, len(kept)),
                ids=tuple(asset.public_id for asset in kept.values()),
            )
        return done

    def _change_labels(self, rows: list[Asset], labels: Labels) -> set[tuple[str, str, str]]:
        """Change them in Cloudinary; the names of those that it has."""
        known: set[tuple[str, str, str]] = {asset.identity for asset in rows}
        for (kind, way), some in _by_kind(rows):
            public_ids = [asset.public_id for asset in some]
            told: list[set[str]] = []
            with _perhaps_begun():
                for command, tags in labels.commands():
                    told.append(self._client.change_tags(command, tags, public_ids, kind, way))
                if labels.unset:
                    told.append(self._replace_context(some, labels.values, labels.unset))
                elif labels.values:
                    told.append(self._client.add_context(labels.values, public_ids, kind, way))
            for found in told:
                known -= {(kind, way, public_id) for public_id in set(public_ids) - found}
        return known

    def _rename(self, row: Asset, new_public_id: str, identity: Identity) -> Asset:
        target = (row.resource_type, row.delivery_type, new_public_id)
        self._store.refuse_foreign([target], identity)
        if self._store.stands([target], identity) and not self._is_in_cloudinary(target):
            raise Conflict(
                f"a row of cloudinary_files has the name {new_public_id!r}, and Cloudinary no"
                " such asset",
                hint="choose another name; kit.delete and a later purge free this one",
                ids=(new_public_id,),
            )
        self._refuse_other_clouds([row])
        self._refuse_successors([row])
        try:
            answer = self._client.rename(
                row.public_id, new_public_id, row.resource_type, row.delivery_type
            )
        except NotFound:
            # Renamed already, by a call that ended before the row followed?
            there = self._where_it_is(row)
            if there is None or there.identity != target:
                raise
            answer = dict(there.raw)
        with _already_in_cloudinary("the new name"):
            renamed = Asset.from_response(answer, row.user_id)
            try:
                return self._rows.rename(row, renamed, identity)
            except NotFound as error:
                # Uploaded meanwhile, another asset has the former name, and with it the row.
                missing = error

            def save_as_it_is(asked_at: float) -> Asset:
                if (there := self._where_it_is(renamed)) is None:
                    raise missing
                return self._store.save(there, identity, revive=True, asked_at=asked_at)

            return asked_again(save_as_it_is)

    def _where_it_is(self, asset: Asset) -> Asset | None:
        """The asset under the name that it has in Cloudinary; None when it is not there.

        Another may have its former name by now. It costs an Admin call only then.
        """
        if asset.asset_id is None:
            return asset
        try:
            known = self._client.explicit(asset.public_id, asset.resource_type, asset.delivery_type)
            if known.get("asset_id") in (None, asset.asset_id):
                return Asset.from_response(known, asset.user_id)
        except NotFound:
            pass
        try:
            found = self._client.resource_by_asset_id(asset.asset_id)
        except NotFound:
            return None
        return None if found.get("placeholder") else Asset.from_response(found, asset.user_id)

    def _refuse_other_clouds(self, rows: Sequence[Asset]) -> None:
        """Another cloud's names are not ours to change.

        Raises:
            Conflict: naming some of them. Nothing was changed.
        """
        account = self._client.account
        some = [row for row in rows if other_cloud(row.media_url, account)][:_LOOKED_AT]
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            found = [
                row
                for row, is_so in zip(some, pool.map(self._is_elsewhere, some), strict=True)
                if is_so
            ]
        if found:
            raise Conflict(
                f"{listed(found)} is of the cloud {other_cloud(found[0].media_url, account)}, and"
                f" {account.cloud_name} is in use",
                hint="nothing was changed: set CLOUDINARY_URL to the account of these rows; where"
                " their files have moved, docs/branches.md says how the rows follow",
                ids=tuple(asset.public_id for asset in found),
            )

    def _is_elsewhere(self, asset: Asset) -> bool:
        """Whether it is another cloud's: by its URL, unless the one in use has this very asset,
        as after a change of the cloud's name."""
        if other_cloud(asset.media_url, self._client.account) is None:
            return False
        try:
            known = self._client.explicit(asset.public_id, asset.resource_type, asset.delivery_type)
        except NotFound:
            return True
        return asset.asset_id is None or known.get("asset_id") != asset.asset_id

    def _refuse_successors(self, rows: Sequence[Asset]) -> None:
        """Cloudinary goes by names: one that another asset has by now is not to be changed.

        Raises:
            Conflict: naming them. Nothing was changed.
        """

        def is_anothers(asset: Asset) -> bool:
            try:
                known = self._client.explicit(
                    asset.public_id, asset.resource_type, asset.delivery_type
                )
            except NotFound:
                return False
            return known.get("asset_id") not in (None, asset.asset_id)

        some = [asset for asset in rows if asset.asset_id is not None][:_LOOKED_AT]
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            found = [a for a, is_so in zip(some, pool.map(is_anothers, some), strict=True) if is_so]
        if found:
            raise Conflict(
                f"another asset has the name of {listed(found)} in Cloudinary by now",
                hint="nothing was changed: kit.reconcile gives the rows the names they have there",
                ids=tuple(asset.public_id for asset in found),
            )

    def _is_in_cloudinary(self, name: tuple[str, str, str]) -> bool:
        resource_type, delivery_type, public_id = name
        try:
            self._client.explicit(public_id, resource_type, delivery_type)
        except NotFound:
            return False
        return True

    def _replace_context(
        self, assets: list[Asset], values: Mapping[str, str], unset: list[str]
    ) -> set[str]:
        """Remove all of the context, then set what is to stay; returns the public_ids that exist.

        What stays is what Cloudinary has and what the row has: should the second step fail, the
        row still knows what the first one took.
        """
        kind, way = assets[0].resource_type, assets[0].delivery_type

        def wanted(asset: Asset) -> dict[str, str] | None:
            try:
                known = self._client.explicit(asset.public_id, kind, way)
            except NotFound:
                return None
            context = {**asset.context, **flat_context(known.get("context")), **values}
            return {key: value for key, value in context.items() if key not in unset}

        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            contexts = list(pool.map(wanted, assets))
        there: dict[tuple[tuple[str, str], ...], list[str]] = {}
        for asset, context in zip(assets, contexts, strict=True):
            if context is not None:
                there.setdefault(tuple(sorted(context.items())), []).append(asset.public_id)
        known = [public_id for public_ids in there.values() for public_id in public_ids]
        if known:
            self._client.remove_context(known, kind, way)
        for pairs, public_ids in there.items():
            if pairs:
                self._client.add_context(dict(pairs), public_ids, kind, way)
        return set(known)


def _why_kept(elsewhere: list[Asset], unnamed: list[Asset], apart: list[Asset], kept: int) -> str:
    """Why a purge left some; each list may have one twice, after a restart."""
    hints = []
    if apart:
        hints.append(
            f"the URL of {listed(dict.fromkeys(map(str, apart)))} is of another cloud than the one"
            " in use: docs/branches.md says what to do after a change of the account"
        )
    if elsewhere:
        hints.append(
            f"in Cloudinary the asset_id of {listed(dict.fromkeys(map(str, elsewhere)))} has a name"
            " that the row never had: kit.restore and kit.reconcile give the row that name if it"
            " is free, and then it can go"
        )
    if unnamed:
        hints.append(
            f"{listed(dict.fromkeys(map(str, unnamed)))} names no asset in Cloudinary: the owner of"
            " the table can delete the row by SQL"
        )
    if kept > len({asset.id for asset in (*elsewhere, *unnamed, *apart)}):
        hints.append(
            "rows of other tables refer to these, or a trigger or policy holds them, or they were"
            " uploaded again since: kit.reconcile brings those back"
        )
    return "; ".join(hints)


@contextmanager
def _after(done: int, of: int) -> Iterator[None]:
    try:
        yield
    except MediaToolkitError as error:
        if done:
            there = f"{done:,} of {of:,} assets are changed on both sides"
            error.hint = f"{there}; of the next ones: {error.hint}"
        raise


@contextmanager
def _perhaps_begun() -> Iterator[None]:
    try:
        yield
    except UploadError as error:
        error.hint = (
            "Cloudinary may have a part of the change already, the rows have nothing of it: run "
            f"the same again. {error.hint}"
        ).strip()
        raise


@contextmanager
def _already_in_cloudinary(what: str) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        error.hint = f"Cloudinary has {what} already: run the same again. {error.hint}".strip()
        raise


def _by_kind(assets: list[Asset]) -> Iterator[tuple[tuple[str, str], list[Asset]]]:
    """(resource_type, delivery_type) → assets."""
    kinds: dict[tuple[str, str], list[Asset]] = {}
    for asset in assets:
        kinds.setdefault((asset.resource_type, asset.delivery_type), []).append(asset)
    yield from kinds.items()
