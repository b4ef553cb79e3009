"""Query → DataFrame through Arrow (ADBC): five to nine times faster than rows in Python."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from media_toolkit.identity import Identity
from media_toolkit.store import filters, history
from media_toolkit.store.database import Database
from media_toolkit.store.filters import AssetFilter
from media_toolkit.store.schema import ASSET_COLUMNS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from adbc_driver_postgresql.dbapi import Connection as ArrowConnection

# ADBC numbers its parameters as Postgres itself does: $1, $2.
_DIALECT = postgresql.dialect(paramstyle="numeric_dollar")


def assets_frame(
    database: Database,
    identity: Identity,
    wanted: AssetFilter,
    order_by: str = "-upload_timestamp",
    limit: int | None = None,
    as_of: datetime | date | str | None = None,
) -> pd.DataFrame:
    """The matching assets, one row each; as they stood at the moment `as_of` where given.

    Returns:
        Columns as `ASSET_COLUMNS`. Integers are Int64 or Int32 (nullable), duration is
        Float64, text is str, times are datetime64[us, UTC], tags are lists of str and
        context is a dict, both in object columns.

    Raises:
        FilterError: for a word or value that cannot be read. Unavailable: no Postgres.
    """
    query = (
        sa.select(*ASSET_COLUMNS).where(*wanted.conditions()).order_by(*filters.ordering(order_by))
    )
    if limit is not None:
        query = query.limit(filters.read_limit(limit))
    if as_of is not None:
        query = history.as_of(query, as_of)
    return _to_pandas(_fetch(database, identity, query))


def _fetch(database: Database, identity: Identity, query: sa.Select[Any]) -> pa.Table:
    compiled = query.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    values = compiled.construct_params()
    parameters = tuple(values[name] for name in compiled.positiontup or ())

    def fetch(connection: ArrowConnection) -> pa.Table:
        with connection.cursor() as cursor:
            cursor.execute(str(compiled), parameters or None)
            return cursor.fetch_arrow_table()

    return database.run_arrow(identity, fetch)


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    nullable = {
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.float64(): pd.Float64Dtype(),
        pa.string(): pd.StringDtype(na_value=pd.NA),
    }
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if pa.types.is_list(kind):
            columns[name] = pd.Series(column.to_pylist(), dtype=object)
        elif isinstance(kind, pa.BaseExtensionType):
            values = column.cast(pa.string()).to_pylist()
            columns[name] = pd.Series([v and json.loads(v) for v in values], dtype=object)
        else:
            columns[name] = column.to_pandas(types_mapper=nullable.get)
    return pd.DataFrame(columns)
