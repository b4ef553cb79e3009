"""Postgres that sleeps, restarts or is away: what may be tried again, and for how long."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import exc
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from media_toolkit.errors import Conflict, Forbidden, StoreError, Unavailable

T = TypeVar("T")

MIGRATE = "run: python -m media_toolkit migrate"
READ_ONLY = (
    "this login or endpoint may only read (a read replica, or default_transaction_read_only): "
    "write through another DATABASE_URL"
)

_UNDEFINED_TABLE, _UNDEFINED_OBJECT, _UNDEFINED_FUNCTION = "42P01", "42704", "42883"
# When to try again where all connections are busy.
BUSY_S = 5.0
_NO_SCHEMA = "3F000"
_NO_PRIVILEGE = "42501"
_UNIQUE = "23505"
_OF_READ_ONLY = "25006"
_CANCELLED, _BY_REQUEST = "57014", "due to user request"
_RAISED = "P0001"
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_SHUTTING_DOWN = ("57P01", "57P02", "57P03", "57P05")
_CONCURRENT = ("40001", "40P01")
# Of Postgres, and the last one of PgBouncer.
_TOO_MANY = (
    "too many clients|remaining connection slots|too many connections|no more connections allowed"
)
# After a login that failed, PgBouncer refuses everybody at once, for 15 s unless told otherwise;
# psycopg2 sees no more of it than that a connection, which there was, is closed.
_OF_A_POOLER = ("server_login_retry", "server closed the connection unexpectedly",
                "SSL connection has been closed unexpectedly", "SSL SYSCALL error")  # fmt: skip
_WITH_A_POOLER = 1.5
# Of libpq's connect_timeout: until then nothing was done but to wait.
_NO_ANSWER = "timeout expired"
# What a second try cannot mend, and what may: a refused connection carries no SQLSTATE, only this
# text.
_CHECK = "check user, password, database and options of {setting}"
_FINAL = {
    "certificate": "sslrootcert of {setting} names the file of who signed it; with sslmode=require "
    "nobody looks who did, nor at the name",
    "SSL required": "write sslmode=require into {setting}",
    "no encryption": "write sslmode=require into {setting}",
    "does not support SSL": "it is no Neon: leave sslmode out of {setting}",
    "SSL negotiation": "what answers there is no Postgres: check host and port of {setting}",
    "startup parameter": "a pooler takes no options: leave them out of {setting}",
    "command-line argument": "check the options of {setting}",
    "no password supplied": "write the password into {setting}: postgresql://USER:PASSWORD@…",
} | dict.fromkeys(
    ("authentication failed", "does not exist", "no pg_hba.conf entry", "channel binding",
     "bind message supplies", "invalid sslmode", "invalid channel_binding",
     "invalid connection option"), _CHECK
)  # fmt: skip
# What a migration makes; all else that is missing, no migration will bring.
_OURS = re.compile(r"cloudinary_files|media_toolkit|upload_intents|notification_|reconcile_|auth\b")
# Values that ADBC has no type for: another try would meet them again.
_UNREAD = re.compile(
    r"ReadRecord failed at row \d+: (?:\[libpq\] )?(.*(?:not supported|overflow).*)"
)
# Before what libpq says, ADBC puts its status and what it was about to do.
_OF_ADBC = re.compile(r"^[A-Z_]+: (\[libpq\] )?(Failed to [\w ]+: )?(could not begin COPY: )?")
_DENIED = re.compile(
    r"permission denied for (?:(?:foreign )?table|view|materialized view|(sequence)) (\S+)"
)
# What a trigger or function was about to do, as its context tells.
_AT_WORK = re.compile(r'^SQL statement "\s*(INSERT|UPDATE|DELETE|TRUNCATE)\b', re.IGNORECASE)
_LET_IN = 'let the login of DATABASE_URL act: GRANT media_toolkit_app TO "<login>"'


def retrying(
    call: Callable[[], T], is_worth_it: Callable[[BaseException], bool], patience_s: float
) -> T:
    """Call until it succeeds, for `patience_s` at most: at once after the first failure, which may
    be of a connection that ended long ago, then with jitter between.

    What worked before it failed was not waited for, and has it all still.
    """
    start = time.monotonic()
    try:
        return call()
    except Exception as error:
        if not is_worth_it(error):
            raise
        if _NO_ANSWER not in str(error):
            start = time.monotonic()
    for attempt in Retrying(
        retry=retry_if_exception(is_worth_it),
        wait=wait_random_exponential(multiplier=0.1, max=1.5),
        stop=lambda state: time.monotonic() - start > _patience_s(state, patience_s),
        reraise=True,
    ):
        with attempt:
            return call()
    raise AssertionError("tenacity always returns or raises")


def _patience_s(state: RetryCallState, patience_s: float) -> float:
    said = str(state.outcome.exception()) if state.outcome is not None else ""
    return patience_s * (_WITH_A_POOLER if any(words in said for words in _OF_A_POOLER) else 1)


def is_away(error: BaseException) -> bool:
    """Whether Postgres could not be reached, or went away in the middle."""
    if not isinstance(error, Exception) or not _is_of_a_driver(error):
        return False
    if any(words in str(error) for words in _FINAL) or _UNREAD.search(str(error)):
        return False
    code = _sqlstate(error)
    if code is not None:
        return code.startswith("08") or code in _SHUTTING_DOWN
    original = getattr(error, "orig", error)
    return type(original).__name__ in ("OperationalError", "InterfaceError")


def is_crowded(error: Exception) -> bool:
    """Whether Postgres or its pooler has no connection left."""
    return _is_of_a_driver(error) and re.search(_TOO_MANY, _cause(error)) is not None


def is_passing(error: BaseException) -> bool:
    """Whether a whole transaction that may run twice can succeed at a second try."""
    return is_away(error) or _sqlstate(error) in _CONCURRENT


def is_of_data(error: BaseException | None) -> bool:
    """Whether Postgres refused a row for what it holds: a number out of range, a text too long
    for an index, a constraint, a trigger, a policy."""
    code = (error is not None and _sqlstate(error)) or ""
    if error is not None and code == _NO_PRIVILEGE:
        # In Postgres' own sentence: after it SQLAlchemy shows the statement with its comments.
        return "row-level security" in diagnosis(error).get("primary", "")
    return code.startswith(("22", "23", "54")) or code == _RAISED


@contextmanager
def our_errors(setting: str = "DATABASE_URL") -> Iterator[None]:
    """Errors of psycopg2, SQLAlchemy and ADBC as ours, with what to do next.

    Args:
        setting: the name of the one that holds the connection string.

    Raises:
        Unavailable: no Postgres, or no connection of the pool in time.
        Forbidden: row-level security or a missing privilege.
        Conflict: a row that is unique stands there already.
        StoreError: all else that Postgres refuses.
    """
    try:
        yield
    except Exception as error:
        if not _is_of_a_driver(error):
            raise
        if _is_ctrl_c(error):
            raise KeyboardInterrupt("the query was cancelled") from error
        raise _translated(error, setting) from error


def _is_ctrl_c(error: Exception) -> bool:
    """ADBC takes Ctrl-C itself while it waits, and has the query cancelled."""
    is_cancelled = _sqlstate(error) == _CANCELLED and _BY_REQUEST in str(error)
    is_of_adbc = type(error).__module__.startswith("adbc")
    return is_cancelled and is_of_adbc and threading.current_thread() is threading.main_thread()


def _translated(error: Exception, setting: str) -> StoreError:
    code, cause, said = _sqlstate(error), _cause(error), diagnosis(error)
    original = getattr(error, "orig", error)
    if isinstance(error, exc.TimeoutError):
        return Unavailable(
            "all of this kit's connections to Postgres are busy",
            hint="nothing was done: try again, with fewer threads at once; pg_stat_activity shows "
            "what runs so long",
            retry_after_s=BUSY_S,
        )
    if is_crowded(error):
        return Unavailable(
            f"all connections to Postgres are busy: {cause}",
            hint="nothing was done: try again; pg_stat_activity shows who has them. A kit keeps up "
            "to 7 for four minutes after its last call, unless it is closed: kit.close(). Many "
            f"programs share few by the pooled string of Neon (-pooler) in {setting}",
            retry_after_s=BUSY_S,
        )
    if code is None and (unread := _UNREAD.search(str(error))):
        return StoreError(
            f"the answer holds a value that a DataFrame has no type for: {unread[1]}",
            hint="ask for that column as text: …::text",
        )
    if is_away(error) or (code is None and type(original).__name__ == "OperationalError"):
        wrong = next((hint for words, hint in _FINAL.items() if words in cause), "")
        return Unavailable(
            f"Postgres cannot be reached: {cause}",
            hint=wrong.format(setting=setting)
            or "nothing is half done: try again once Postgres is back; until then check "
            f"{setting}, the network and, on Neon, the project's page",
        )
    if code in (_UNDEFINED_TABLE, _UNDEFINED_OBJECT, _UNDEFINED_FUNCTION, _NO_SCHEMA):
        return StoreError(cause, hint=MIGRATE if _OURS.search(cause) else said.get("hint", ""))
    if code == _NO_PRIVILEGE and "set role" in cause:
        return Forbidden(cause, hint=_LET_IN)
    if code == _NO_PRIVILEGE and (denied := _DENIED.search(cause)) and not _OURS.search(cause):
        if denied[2].startswith("pg_"):
            # Passwords stand in some of them.
            return Forbidden(cause, hint="Postgres' own tables are not for the app's role")
        at_work = _AT_WORK.match(said.get("context", ""))
        right = f"{at_work[1].upper() if at_work else 'SELECT'} ON {denied[2]}"
        if denied[1]:
            right = f"USAGE ON SEQUENCE {denied[2]}"
        return Forbidden(cause, hint=f"as the owner of it: GRANT {right} TO media_toolkit_app")
    if code == _NO_PRIVILEGE and "for schema" in cause:
        return Forbidden(
            cause, hint="put the connection string of the table's owner into DATABASE_DIRECT_URL"
        )
    if code == _NO_PRIVILEGE and "must be owner" in cause:
        return Forbidden(
            cause,
            hint="put the connection string of its owner into DATABASE_DIRECT_URL, or as the "
            'owner: GRANT "<owner>" TO "<login>"',
        )
    if code == _NO_PRIVILEGE:
        of_a_row = "row-level security" in cause
        return Forbidden(
            cause,
            hint="only the owner of a row or an admin may change it"
            if of_a_row
            else f"{_LET_IN}; where it has been let in, {MIGRATE}",
        )
    if code == _UNIQUE:
        return Conflict(cause)
    if code == _OF_READ_ONLY:
        return StoreError(cause, hint=READ_ONLY)
    return StoreError(cause, hint=said.get("hint", ""))


def _is_of_a_driver(error: Exception) -> bool:
    if isinstance(error, exc.DBAPIError | exc.TimeoutError):
        return True
    # Loaded where they are used only; what is not loaded has raised nothing. COPY goes to
    # psycopg2 past SQLAlchemy, so its errors come as they are.
    drivers = (sys.modules.get(name) for name in ("psycopg2", "adbc_driver_manager"))
    return any(driver is not None and isinstance(error, driver.Error) for driver in drivers)


def _sqlstate(error: BaseException) -> str | None:
    original: Any = getattr(error, "orig", error)
    code = getattr(original, "pgcode", None) or getattr(original, "sqlstate", None)
    return str(code) if code and code.strip("\0") else None


def _cause(error: Exception) -> str:
    """Postgres' own sentence; that of the driver where Postgres said nothing."""
    if said := diagnosis(error).get("primary"):
        return said
    original = getattr(error, "orig", error)
    lines = str(original).strip().splitlines()
    return _OF_ADBC.sub("", lines[0]) if lines else type(original).__name__


def diagnosis(error: BaseException) -> dict[str, str]:
    """What Postgres itself said of a driver's error: primary, hint and, where told, its place:
    context, of psycopg2, or position, of ADBC."""
    original: Any = getattr(error, "orig", error)
    if (diag := getattr(original, "diag", None)) is not None:
        told = {
            "primary": diag.message_primary,
            "hint": diag.message_hint,
            "detail": diag.message_detail,
            "context": diag.context,
        }
        return {name: text for name, text in told.items() if text}
    return {
        bytes(name).decode().rpartition("_")[2].lower(): bytes(text).decode()
        for name, text in getattr(original, "details", None) or ()
    }
