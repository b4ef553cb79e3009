"""Reading: frames, pages, counts and SQL, each as the acting user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from media_toolkit.asset import Asset
from media_toolkit.toolkit.parts import Parts

if TYPE_CHECKING:
    from datetime import date, datetime

    import pandas as pd

    from media_toolkit.store.assets import Page
    from media_toolkit.store.facets import Count, Facets


class Reading(Parts):
    """What is known of assets."""

    def assets(
        self,
        *,
        order_by: str = "-upload_timestamp",
        limit: int | None = None,
        columns: Iterable[str] | None = None,
        as_of: datetime | date | str | None = None,
        **filters: Any,
    ) -> pd.DataFrame:
        """The matching assets as a DataFrame, one row each; no filter means all.

        Args:
            order_by: a column, with "-" before it for descending.
            columns: only these, in this order; fewer are faster.
            as_of: the rows as they stood at that moment, such as "2026-03-01" (UTC) or a
                datetime; those deleted or purged since are there, those saved since are not.
            filters: the words of `media_toolkit.store.filters.AssetFilter`: user_id, tags, text …

        Returns:
            Columns id, asset_id, public_id, media_url, resource_type, delivery_type, user_id,
            upload_timestamp, version, format, width, height, duration, bytes, tags, context,
            folder, original_filename, etag, phash, created_at. Integers are nullable Int64 or
            Int32, times datetime64[us, UTC], tags lists, context a dict.

        Raises:
            FilterError: for an unknown word or a value that cannot be read.
        """
        from media_toolkit.store.filters import AssetFilter
        from media_toolkit.store.frames import assets_frame

        wanted = AssetFilter.of(**filters)
        return assets_frame(self._database, self.identity, wanted, order_by, limit, columns, as_of)

    def iter_assets(
        self,
        *,
        batch_size: int = 50_000,
        order_by: str = "-upload_timestamp",
        limit: int | None = None,
        columns: Iterable[str] | None = None,
        **filters: Any,
    ) -> Iterator[pd.DataFrame]:
        """What `assets` gives, as frames of at most `batch_size` rows: memory stays bounded.

        A connection is held until the last one, or until the iterator is closed. When Postgres
        goes away, a read by upload_timestamp or id goes on after the last row, with the rows as
        they are then.

        Raises:
            FilterError: for an unknown word at once; for a value that cannot be read when the
                first frame is asked for.
            Unavailable: Postgres stayed away, or went away in the middle of another order.
        """
        from media_toolkit.store.filters import AssetFilter
        from media_toolkit.store.frames import iterate

        wanted = AssetFilter.of(**filters)
        return iterate(self._database, self.identity, wanted, order_by, limit, columns, batch_size)

    def to_parquet(
        self,
        path: str | Path,
        *,
        order_by: str = "-upload_timestamp",
        limit: int | None = None,
        columns: Iterable[str] | None = None,
        **filters: Any,
    ) -> int:
        """Write what `assets` gives to a Parquet file, in bounded memory; returns the rows.

        The file appears when it is whole. Context is JSON text in it. It goes on as
        `iter_assets` does when Postgres goes away.

        Raises:
            FilterError: as `assets`. OSError: the file cannot be written.
            Unavailable: as `iter_assets`; a file that was there is as it was.
        """
        from media_toolkit.store.filters import AssetFilter
        from media_toolkit.store.frames import write_parquet

        path, wanted = Path(path).expanduser(), AssetFilter.of(**filters)
        return write_parquet(self._database, self.identity, path, wanted, order_by, limit, columns)

    def sql(
        self,
        query: str,
        params: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        timeout_s: float = 30,
    ) -> pd.DataFrame:
        """One SELECT as a DataFrame, dtypes as in `assets`; Postgres itself forbids writing.

        Args:
            query: SELECT, VALUES, TABLE or WITH; values as `:name`, or `$1`, `$2` in order.
            params: a mapping for names, a sequence for numbers: bound, never spliced.
            timeout_s: after it Postgres ends the query.

        Raises:
            FilterError: params that do not fit the query or that Postgres cannot take.
            StoreError: not one SELECT, a function that changes something, an error of Postgres,
                or the time is over.
        """
        from media_toolkit.store.queries import sql_frame

        return sql_frame(self._database, self.identity, query, params, timeout_s)

    def query(self, name: str, *, timeout_s: float = 120, **params: Any) -> pd.DataFrame:
        """A named query of `sql/queries` as a DataFrame; `queries()` lists them.

        Those that look at every asset take 5 to 10 s of 10,000,000, `duplicates` up to a minute.

        Raises:
            FilterError: an unknown name or parameter, or one that is no whole number from zero
                on. StoreError: as `sql`.
        """
        from media_toolkit.store.queries import named_frame

        return named_frame(self._database, self.identity, name, params, timeout_s)

    def queries(self) -> pd.DataFrame:
        """The named queries: columns name, answers (what each tells), parameters."""
        from media_toolkit.store.queries import listing

        return listing()

    def count(self, *, exact: bool = False, **filters: Any) -> Count:
        """How many assets match: exact to 10,000, beyond it Postgres' estimate unless `exact`.

        Returns:
            An int with `.is_exact` and `.label`, such as "about 56,000". Without a filter it
            is always exact.

        Raises:
            FilterError: as `assets`.
        """
        from media_toolkit.store.filters import AssetFilter

        return self._store.count(AssetFilter.of(**filters), self.identity, exact)

    def facets(self, *names: str, **filters: Any) -> Facets:
        """The values of user_id, resource_type, delivery_type, format or tags with counts.

        Returns:
            A dict of name → [(value, count), …], most first, with `.is_exact`: where a filter
            matches more than 10,000, they are counted among the newest 10,000 of them.

        Raises:
            FilterError: a name that has no facets; or as `assets`.
        """
        from media_toolkit.store.filters import AssetFilter

        return self._store.facets(names, AssetFilter.of(**filters), self.identity)

    def page(
        self,
        *,
        limit: int = 48,
        after: str | None = None,
        before: str | None = None,
        **filters: Any,
    ) -> Page:
        """One page of assets, newest first; `after` and `before` take its cursors.

        Raises:
            FilterError: for an unknown word, an unreadable value, or a cursor that is none.
        """
        from media_toolkit.store.filters import AssetFilter

        return self._store.page(AssetFilter.of(**filters), self.identity, limit, after, before)

    def asset(
        self,
        public_id: str,
        *,
        resource_type: str | None = None,
        delivery_type: str | None = None,
    ) -> Asset:
        """One asset by its public_id or asset_id.

        Raises:
            NotFound: there is none. Conflict: an image and a video, say, share the public_id.
        """
        return self._store.get(public_id, self.identity, resource_type, delivery_type)

    def history(self, asset: Asset | str) -> pd.DataFrame:
        """What happened to an asset, oldest first; also to one that is deleted or purged.

        Returns:
            Columns changed_at, changed_by, operation (insert, update, rename, delete, restore
            or purge), changes (column → (before, after)), old and new (whole rows as dicts).

        Raises:
            NotFound: no such asset, or not for this user to see.
        """
        from media_toolkit.store.history import history_frame

        return history_frame(self._database, self.identity, asset)

    def values(self, column: str) -> list[tuple[str, int]]:
        """The values of user_id, resource_type, delivery_type, format or tags with their counts,
        most first.

        Raises:
            FilterError: for another column.
        """
        return self._store.values(column, self.identity)
