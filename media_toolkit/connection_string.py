"""Connection strings of Postgres: read once, so that every driver reads the same in them.

SQLAlchemy takes a string to pieces by a pattern of its own, ADBC hands it to libpq, and each
quotes what it cannot read, which is often the rest of a password. So whatever one of them would
stumble over is refused here, in a sentence that shows no part of it.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit, urlunsplit

_PASTED = (
    (re.compile(r"psql\s"), "give what stands between the quotes, without psql '…'"),
    (re.compile("['\"]"), "give it without the quotes around it"),
    (
        re.compile(r"(export\s+)?DATABASE_(DIRECT_)?URL\s*="),
        "give it without the name and the = before it",
    ),
    (
        re.compile(r"(postgres|postgresql)\+psycopg2?://", re.IGNORECASE),
        "give it without +psycopg2",
    ),
    (re.compile(r"\w+\s*="), "write what its keywords say as postgresql://user:password@host/name"),
)
# https://www.postgresql.org/docs/current/libpq-connect.html; the network's own, so that they keep
# no Neon awake.
_DEFAULTS = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
_SCHEME = re.compile("(postgres|postgresql)://", re.IGNORECASE)
# As libpq and `urlsplit` agree upon: who@place, /name, ?options.
_PARTS = re.compile(r"([^/?]*)(/[^?]*)?(?:\?(.*))?", re.DOTALL)
_PLACE = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]*)(?::([0-9]*))?")
_STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_OPTION = re.compile('invalid URI query parameter: "([a-z_]{1,40})"')
_ESCAPES = (
    "in a password @ must be written as %40, / as %2F, : as %3A, ? as %3F, # as %23, % as %25"
)


def read(given: str) -> str:
    """The string as every driver here takes it, `postgresql://…`.

    The folder of a socket that stands for the host, as libpq has it (`@%2Frun%2Fpostgresql`),
    is put where SQLAlchemy looks for it too: `?host=/run/postgresql`.

    Raises:
        ValueError: saying what is malformed, as the rest of a sentence that begins with the
            variable's name; no part of the string is quoted but the name of an option.
    """
    given = given.strip()
    scheme = _SCHEME.match(given)
    if scheme is None:
        told = next((f": {said}" for pattern, said in _PASTED if pattern.match(given)), "")
        raise ValueError(f"does not start with postgresql://{told}")
    rest = given[scheme.end() :]
    _check_characters(rest)
    parts = _PARTS.fullmatch(rest)
    assert parts is not None
    netloc, name, options = parts[1], parts[2] or "", parts[3] or ""
    who, at, place = netloc.rpartition("@")
    # A password that holds an @, a / or a ? moves the place where the host begins.
    is_moved = "@" in who + name or ("@" in options and not (at or name))
    if is_moved or "#" in rest or _STRAY_PERCENT.search(rest):
        raise ValueError(f"has a host or a port that cannot be read; {_ESCAPES}")
    host, port = _host_and_port(place, is_sure=bool(at) and "@" not in options)
    if host.lower().startswith("%2f"):
        options = "&".join(filter(None, (options, f"host={host}")))
        netloc = f"{who}{at}" + (f":{port}" if port else "")
    # SQLAlchemy dropped the scheme postgres:// in 1.4; Neon and Heroku strings still use it.
    url = f"postgresql://{netloc}{name}" + (f"?{options}" if options else "")
    _check_with_libpq(url)
    return url


def of_neon(url: str, is_pooled: bool) -> str:
    """The pooled or the direct form of a string of Neon's, whichever is given; others as it is.

    Rule: the pooled host is the direct one with `-pooler` after the endpoint's name,
    https://neon.com/docs/connect/connection-pooling
    """
    parts = urlsplit(url)
    who, at, place = parts.netloc.rpartition("@")
    endpoint, dot, rest = place.lower().partition(".")
    if not endpoint.startswith("ep-") or not (parts.hostname or "").endswith(".neon.tech"):
        return url
    # The pooler refuses startup options.
    if is_pooled and "options" in dict(parse_qsl(parts.query)):
        return url
    endpoint = endpoint.removesuffix("-pooler") + ("-pooler" if is_pooled else "")
    return urlunsplit(parts._replace(netloc=f"{who}{at}{endpoint}{dot}{rest}"))


def host_of(url: str) -> str | None:
    """Whom a string leads to: a host, the folder of a socket, or None where it names neither."""
    parts = urlsplit(url)
    return dict(parse_qsl(parts.query)).get("host", parts.hostname) or None


def _check_characters(rest: str) -> None:
    if re.search(r"[ \t\r\n\f\v]", rest):
        raise ValueError("has white space inside; a space is written %20")
    if "%00" in rest or re.search(r"[\x00-\x1f\x7f]", rest):
        raise ValueError("has a control character inside, or %00, which no driver takes")
    if re.search("[\ud800-\udfff]", rest):
        raise ValueError("has bytes inside that are no UTF-8; write them as %…")


def _host_and_port(place: str, is_sure: bool) -> tuple[str, str]:
    """Both as they are written; `is_sure`: no part of a password may be in them."""
    if "," in place and is_sure:
        raise ValueError("names several hosts; they are written ?host=a,b&port=5432,5432")
    found = _PLACE.fullmatch(place)
    if found is None and place.startswith("[") and is_sure:
        raise ValueError("has something beside the address in brackets; it is like [::1]:5432")
    if found is None or int(found[2] or 0) > 65535:
        if is_sure:
            raise ValueError("has a port that is no number up to 65535, behind the host")
        raise ValueError(f"has a host or a port that cannot be read; {_ESCAPES}")
    return found[1], found[2] or ""


def _check_with_libpq(url: str) -> None:
    """Raises ValueError for what libpq would refuse before it connects to anybody."""
    # Here and not above: settings without a string import no driver.
    import psycopg2
    from psycopg2.extensions import parse_dsn

    try:
        # `urlsplit` refuses letters that stand for several, / or @ among them.
        urlsplit(url)
        parse_dsn(url)
    except (ValueError, psycopg2.Error) as error:
        option = _OPTION.search(str(error))
        # With an @ behind it, what looks like an option may be the rest of a password.
        if option is not None and "@" not in url.partition("?")[2]:
            said = f"has the option {option[1]}, which Postgres does not know"
        elif "query parameter" in str(error):
            said = "has options that cannot be read; they are like ?sslmode=require&name=value"
        else:
            said = f"has a host or a port that cannot be read; {_ESCAPES}"
        raise ValueError(said) from None


def with_defaults(url: str) -> str:
    """Else libpq would wait for ever, and for an answer through a network that is gone two hours;
    all that the string says itself (sslmode …) stays as it is."""
    query = urlsplit(url).query
    given = dict(parse_qsl(query, keep_blank_values=True))
    rest = "&".join(f"{name}={value}" for name, value in _DEFAULTS.items() if name not in given)
    return f"{url.rstrip('?')}{'&' if query else '?'}{rest}" if rest else url
