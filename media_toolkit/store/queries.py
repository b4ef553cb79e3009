"""SQL of the analyst's own, and the named queries of `sql/queries`: read-only, as the caller."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

from media_toolkit.errors import FilterError, MediaToolkitError, StoreError
from media_toolkit.identity import Identity
from media_toolkit.store.answers import answer, columns_of, readable
from media_toolkit.store.database import Database
from media_toolkit.store.filters import read_count, read_name
from media_toolkit.store.migrations import SQL
from media_toolkit.store.outage import diagnosis

if TYPE_CHECKING:
    import pandas as pd
    from adbc_driver_postgresql.dbapi import Connection as ArrowConnection

_HARMLESS = frozenset(
    {"random", "clock_timestamp", "timeofday", "gen_random_uuid", "uuidv4", "uuidv7"}
    | {"pg_relation_size", "pg_table_size", "pg_indexes_size", "pg_total_relation_size"}
)
# What Postgres itself calls volatile may change something: the role, the claims, a sequence, a
# file; or runs text as SQL (query_to_xml), which no look at the statement could see through.
# Triggers and handlers cannot be called; `system` is the name of one, and a common word.
# So do some that are called stable: of extensions (tablefunc, xml2), and the team's own.
_VOLATILE = """
SELECT DISTINCT proname::text FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
WHERE prorettype::regtype::text
    NOT IN ('trigger', 'tsm_handler', 'index_am_handler', 'table_am_handler', 'language_handler')
  AND (provolatile = 'v' OR CASE lanname
        -- They open tables and views by names that are put together.
        WHEN 'internal' THEN proname ~ '^(table|schema|database)_to_xml'
        WHEN 'c' THEN prosrc IN ('crosstab', 'crosstab_hash', 'connectby_text',
                                 'connectby_text_serial', 'xpath_table')
        WHEN 'sql' THEN coalesce(pg_get_function_sqlbody(p.oid), prosrc) ~* 'set_config'
        WHEN 'plpgsql' THEN prosrc ~* 'execute|set_config'
        ELSE true END)
"""
# A dollar is part of a name, or ends what stands in $tag$ quotes before one: both are looked at.
_WORDS = (re.compile(r"[^\W\d][\w$]*"), re.compile(r"[^\W\d]\w*"))
# `::type` is a cast. Texts, quoted names and comments are passed over as they are.
_NUMBERED = re.compile(r"\$(\d{1,5})")
_NAMED = re.compile(
    r"""
    (?<!\w)[eE]'(?:\\.|''|[^'\\])*' | '(?:''|[^'])*' | "(?:""|[^"])*"
    | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$ | --[^\n]* | /\*.*?\*/
    | (?<![:\w]):(?P<name>[^\W\d]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)
_TIMED_OUT, _SYNTAX, _READ_ONLY, _PARAMETERS = "57014", "42601", "25006", "08P01"
_NO_TABLE = "42P01"
# What ADBC says of composite values, which it takes for broken ones.
_OF_ROWS = "nested record type"
_OF_DICTS = "Can't map Arrow type 'struct'"
# Postgres counts milliseconds in 31 bits.
_LONGEST_S = 2_147_483
_ONE_SELECT = "kit.sql takes one SELECT, VALUES, TABLE or WITH"
_CHANGES = "kit.sql only reads; kit.edit, kit.rename, kit.delete and kit.save change rows"


def sql_frame(
    database: Database,
    identity: Identity,
    query: str,
    params: Mapping[str, Any] | Sequence[Any] | None = None,
    timeout_s: float = 30,
) -> pd.DataFrame:
    """One SELECT as a DataFrame.

    Four walls: the transaction is read-only; the statement stands in parentheses, where only a
    query can; the extended protocol takes one statement; no function runs that Postgres holds
    to be volatile, such as `set_config`, by which a caller could become another, but for
    `_HARMLESS`, nor one that runs a text as SQL.

    Raises:
        FilterError: parameters that do not fit. StoreError: refused, failed or out of time.
    """
    import adbc_driver_manager
    import pyarrow as pa

    if not isinstance(timeout_s, Real) or not 0 < timeout_s <= _LONGEST_S:
        raise FilterError(
            f"timeout_s is no number above zero and up to {_LONGEST_S}: {timeout_s!r}",
            ids=("timeout_s",),
        )
    text = _without_end(read_name("query", query))
    if not text:
        raise StoreError("the query is empty", hint=_ONE_SELECT)
    text, values = _bound(text, params)

    def fetch(connection: ArrowConnection) -> pd.DataFrame:
        with connection.cursor() as cursor:
            cursor.execute(_VOLATILE)
            forbidden = {row[0] for row in cursor.fetchall()} - _HARMLESS
            _refuse_functions(text, forbidden)
            cursor.execute(
                "SELECT set_config('statement_timeout', $1, true)",
                (str(max(1, int(timeout_s * 1000))),),
            )
            cursor.fetchall()
            # On a line of its own: the query may end in a comment.
            asked = f"SELECT * FROM (\n{text}\n) AS asked"
            try:
                if values:
                    # Described alone, it would not have the types of what is bound to it.
                    cursor.execute(asked, values)
                    schema = columns_of(cursor)
                else:
                    schema = cursor.adbc_execute_schema(asked)
                in_full = readable(asked, schema)
                if not values or in_full != asked:
                    cursor.execute(in_full, values or None)
            except (TypeError, ValueError, OverflowError, NotImplementedError) as error:
                raise FilterError(
                    f"params hold what Postgres cannot take: {error}",
                    hint="a number may go as text: CAST(CAST(:name AS text) AS numeric)",
                    ids=("params",),
                ) from error
            return answer(cursor.fetch_arrow_table(), schema)

    def fetch_values(connection: ArrowConnection) -> pd.DataFrame:
        try:
            return fetch(connection)
        except (pa.ArrowInvalid, adbc_driver_manager.Error) as error:
            if _OF_ROWS in str(error):
                raise StoreError(
                    "a column of the answer holds whole rows, which a DataFrame has no type for",
                    hint="name the columns that you want, or write to_jsonb(…) around the row",
                ) from error
            raise

    try:
        return database.run_arrow(identity, fetch_values)
    except StoreError as error:
        raise _explained(error, timeout_s, text) from error.__cause__


def named_frame(
    database: Database,
    identity: Identity,
    name: str,
    params: Mapping[str, Any] | None = None,
    timeout_s: float = 120,
) -> pd.DataFrame:
    """The answer of `sql/queries/name.sql`; its parameters have defaults where it says so.

    Raises:
        FilterError: an unknown name or parameter, or one that is no whole number from zero on.
            StoreError: as `sql_frame`.
    """
    known = _files()
    if not isinstance(name, str) or name not in known:
        raise FilterError(f"no query {name!r}", hint=f"known: {', '.join(known)}", ids=(str(name),))
    _, defaults, text = known[name]
    unknown = sorted(set(params or {}) - set(defaults))
    if unknown:
        raise FilterError(
            f"{name} has no parameter {', '.join(unknown)}",
            hint=f"known: {', '.join(defaults) or 'none'}",
            ids=tuple(unknown),
        )
    # All of them count something.
    given = {key: read_count(key, value) for key, value in (params or {}).items()}
    return sql_frame(database, identity, text, {**defaults, **given}, timeout_s)


def listing() -> pd.DataFrame:
    """Columns name, answers, parameters ("limit=20, …"); one row a query."""
    import pandas as pd

    rows = [
        (name, comment, ", ".join(f"{key}={value}" for key, value in defaults.items()))
        for name, (comment, defaults, _) in _files().items()
    ]
    return pd.DataFrame(rows, columns=["name", "answers", "parameters"])


def _files() -> dict[str, tuple[str, dict[str, Any], str]]:
    """Name → what it answers, its parameters with their defaults, its SQL."""
    found = {}
    for path in sorted((SQL / "queries").glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        comment = [line[2:].strip() for line in text.splitlines() if line.startswith("--")]
        defaults = {}
        for line in comment:
            if match := re.fullmatch(r":(\w+) = (\d+)", line):
                defaults[match[1]] = int(match[2])
        said = " ".join(line for line in comment if not line.startswith(":"))
        sql = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
        found[path.stem] = (said, defaults, sql)
    return found


def _without_end(query: str) -> str:
    """The query without what may follow it: semicolons, spaces, comments."""

    def blank(match: re.Match[str]) -> str:
        is_comment = match[0].startswith(("--", "/*"))
        return (" " if is_comment else "x") * len(match[0])

    return query[: len(_NAMED.sub(blank, query).rstrip("; \t\r\n\f\v"))]


def _bound(
    text: str, params: Mapping[str, Any] | Sequence[Any] | None
) -> tuple[str, tuple[Any, ...]]:
    """`:name` → `$n`, with the values in order."""
    if params is None:
        return text, ()
    if not isinstance(params, Mapping):
        is_table = hasattr(params, "columns")
        if isinstance(params, str | bytes) or is_table or not isinstance(params, Iterable):
            raise FilterError(
                f"params is one value: {params!r}",
                hint="pass a list or a dict of values",
                ids=("params",),
            )
        values, most = tuple(params), max((int(n) for n in _NUMBERED.findall(text)), default=0)
        if len(values) > most:
            # Of two for one, the driver would take the first.
            raise FilterError(
                f"the query has {most} parameters, params holds {len(values)}", ids=("params",)
            )
        return text, tuple(map(_plain, values))
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None or name not in params:
            return match[0]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    text = _NAMED.sub(number, text)
    unused = sorted(set(map(str, params)) - set(names))
    if unused:
        raise FilterError(
            f"the query has no {', '.join(f':{name}' for name in unused)}", ids=tuple(unused)
        )
    return text, tuple(_plain(params[name]) for name in names)


def _plain(value: Any) -> Any:
    """What numpy and pandas have for a moment and for no value, as what the driver knows."""
    kind = type(value).__name__
    if kind in ("NAType", "NaTType"):
        return None
    return value.astype("datetime64[us]").item() if kind == "datetime64" else value


def _explained(error: StoreError, timeout_s: float, text: str) -> MediaToolkitError:
    """What Postgres said of the statement, with what to do in the place of kit.sql's user."""
    cause: Any = error.__cause__
    code = getattr(cause, "sqlstate", None)
    if code == _TIMED_OUT and "statement timeout" in error.message:
        return StoreError(
            f"the query took more than {timeout_s:g} s and was ended",
            hint="ask for less, or pass a longer timeout_s",
        )
    if code == _SYNTAX:
        position = int(diagnosis(cause).get("position", 0)) - len("SELECT * FROM (\n")
        unbound = _NAMED.match(text, max(0, position - 1))
        if unbound is not None and (name := unbound["name"]):
            return FilterError(
                f"the query has :{name}, and params has no value for it",
                hint=f'pass {{"{name}": …}} as params',
                ids=(name,),
            )
        # What it stumbled over is then our own bracket.
        message = "syntax error at the end of the query" if position > len(text) else error.message
        return StoreError(message, hint=_ONE_SELECT)
    if code == _READ_ONLY:
        return StoreError(error.message, hint=_CHANGES)
    if code == _PARAMETERS and (numbers := re.findall(r"\d+", error.message)):
        return FilterError(
            f"the query has {numbers[-1]} parameters, params holds {numbers[0]}", ids=("params",)
        )
    if _OF_DICTS in error.message:
        return FilterError(
            "params hold a mapping, which is no value",
            hint="pass json.dumps(…) of it: CAST(CAST(:name AS text) AS jsonb)",
            ids=("params",),
        )
    if code == _NO_TABLE and not error.hint:
        return StoreError(error.message, hint="the assets are in cloudinary_files")
    error.hint = error.hint or "mend the query; nothing was changed"
    return error


def _refuse_functions(text: str, forbidden: set[str]) -> None:
    """By name and anywhere, in quotes too: no reading of the text that another could differ from.

    `U&"…"` could spell a name by numbers, so it is refused as such.
    """
    words = {word.lower() for pattern in _WORDS for word in pattern.findall(text)}
    found = sorted(words & forbidden)
    if found or re.search(r"u&[\"']", text, re.IGNORECASE):
        raise StoreError(
            f"kit.sql does not run {', '.join(found) or 'U& escapes'}",
            hint="only functions that change nothing; where it is a value, pass it in params",
            ids=tuple(found),
        )
