"""What is configured, what is reachable, what is wrong and how to mend it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from media_toolkit.cloud.client import CloudClient
from media_toolkit.cloud.origin import cloud_of, other_cloud
from media_toolkit.cloud.signing import sign_parameters
from media_toolkit.connection_string import host_of
from media_toolkit.errors import Forbidden, MediaToolkitError
from media_toolkit.identity import Identity
from media_toolkit.settings import CloudAccount, Settings
from media_toolkit.store import migrations, place, routes
from media_toolkit.store.database import Database
from media_toolkit.store.outage import our_errors

State = Literal["ok", "warning", "error"]
# Below the first uploads go on; below the second Postgres stops before long.
_LITTLE_SPACE, _NO_SPACE = 1_000_000_000, 50_000_000
# Jupyter aligns the cells of tables to the right, as suits numbers.
_CELL = "<td style='text-align:left'>"
# Of the login itself, whatever role a transaction of it has.
_GRANT = sa.text(
    "SELECT 'GRANT media_toolkit_app TO \"' || replace(session_user, '\"', '\"\"') || '\"'"
)
_NEWEST = sa.text("""
SELECT media_url FROM cloudinary_files WHERE deleted_at IS NULL
ORDER BY upload_timestamp DESC, id DESC LIMIT 20
""")
_MARKS: dict[State, str] = {"ok": "✓", "warning": "!", "error": "✗"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its name, how it went, what was seen, and what to do where it went wrong."""

    check: str
    state: State
    detail: str
    hint: str = ""


@dataclass(slots=True)
class Diagnosis:
    """All findings; prints as a list, and in a notebook as a table."""

    findings: list[Finding] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether nothing is broken; warnings do not count."""
        return all(f.state != "error" for f in self.findings)

    def __str__(self) -> str:
        return "\n".join(
            f"{_MARKS[f.state]} {f.check:<11} {f.detail}" + (f"\n  → {f.hint}" if f.hint else "")
            for f in self.findings
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr>{_CELL}{_MARKS[f.state]}</td>{_CELL}{escape(f.check)}</td>"
            f"{_CELL}{escape(f.detail)}</td>{_CELL}{escape(f.hint)}</td></tr>"
            for f in self.findings
        )
        return f"<table>{rows}</table>"


def diagnose(
    settings: Settings, client: CloudClient, database: Database, identity: Identity
) -> Diagnosis:
    """Run every check; one that fails does not stop the next. Costs one Admin API call."""
    account = client.account
    # Of the published vector: https://cloudinary.com/documentation/authentication_signatures
    vector = {
        "eager": "w_400,h_300,c_pad|w_260,h_200,c_crop",
        "public_id": "sample_image",
        "timestamp": 1315060510,
    }

    def signatures() -> Finding:
        right = sign_parameters(vector, "abcd") == "bfd09f95f331f558cbd1320e67aa8d488770583e"
        if right:
            return Finding("signing", "ok", "reproduces Cloudinary's published signature")
        return Finding("signing", "error", "a wrong signature", "reinstall the package cloudinary")

    def cloudinary() -> Finding:
        client.ping()
        where = f"the account {account.cloud_name} at {account.upload_prefix}"
        if settings.cloud is None:
            where = f"the embedded server at {account.upload_prefix}"
        return Finding("Cloudinary", "ok", f"{where} answers")

    def postgres() -> Finding:
        version = database.ping()
        host = host_of(database.pooled_url)
        where = host if host and not host.startswith("/") else "a local socket"
        name = "embedded Postgres" if settings.pooled_url is None else f"Postgres at {where}"
        return Finding("Postgres", "ok", f"{name}, version {version}")

    def table() -> Finding:
        if settings.may_be_apart:
            routes.check_together(database)
        if lacks := migrations.lacking(database, settings.policy, is_counted=True):
            said, remedies = zip(*lacks, strict=True)
            return Finding("table", "warning", "; ".join(said), "; ".join(dict.fromkeys(remedies)))
        return _table_as(database, identity, account)

    checks: dict[str, Callable[[], Finding]] = {
        "signing": signatures,
        "Cloudinary": cloudinary,
        "Postgres": postgres,
    }
    findings = [*_configuration(settings, identity), *(_try(n, c) for n, c in checks.items())]
    if findings[-1].state == "ok" or settings.database_direct_url is not None:
        findings.append(_try("table", table))
    else:
        # By the same way once more, it would be waited for once more.
        findings.append(Finding("table", "error", "not looked at, as Postgres cannot be reached"))
    return Diagnosis(findings)


def _table_as(database: Database, identity: Identity, account: CloudAccount) -> Finding:
    """Whether the login of DATABASE_URL may work on the table, which is migrated."""
    try:
        with database.begin(identity) as connection:
            if not database.reads_kept(connection):
                said = "cloudinary_files is read by a login outside the role media_toolkit_app"
                return Finding("table", "ok", said)
            policy = connection.scalar(sa.text("SELECT name FROM media_toolkit_policy"))
            urls = connection.scalars(_NEWEST).all()
            is_copy = place.is_copy(connection)
    except Forbidden as error:
        with our_errors(), database.engine.connect() as connection:
            grant = connection.scalar(_GRANT)
        return Finding("table", "error", error.message, f"as the owner: {grant}")
    doubts: list[tuple[str, str]] = []
    others = [cloud for url in urls if (cloud := other_cloud(url, account))]
    if others and len(others) == sum(cloud_of(url) is not None for url in urls):
        said = f"the newest rows are of the cloud {others[0]}, and {account.cloud_name} is in use"
        doubts.append((said, "set CLOUDINARY_URL and DATABASE_URL of one library"))
    if is_copy:
        said = f"{place.COPIED}: purge destroys nothing"
        doubts.append((said, f"if this is the library now: {place.WORD}"))
    if doubts:
        details, hints = zip(*doubts, strict=True)
        more = "; docs/branches.md says more"
        return Finding("table", "warning", "; ".join(details), "; ".join(hints) + more)
    return Finding("table", "ok", f"cloudinary_files is up to date, with the policy {policy}")


def _configuration(settings: Settings, identity: Identity) -> Iterator[Finding]:
    embedded = [
        name
        for name, given in (
            ("CLOUDINARY_URL", settings.cloud),
            ("DATABASE_URL", settings.pooled_url),
        )
        if given is None
    ]
    detail = f"acting as {identity.user_id}"
    if embedded:
        detail += f"; {' and '.join(embedded)} unset: embedded stack in {settings.home}"
    yield Finding("settings", "ok", detail)
    if embedded:
        yield _space(shutil.disk_usage(settings.home).free, settings.home)


def _space(free: int, home: Path) -> Finding:
    detail = f"{free / 1e9:,.1f} GB free in {home}"
    if free >= _LITTLE_SPACE:
        return Finding("disk", "ok", detail)
    return Finding(
        "disk",
        "warning" if free >= _NO_SPACE else "error",
        f"{free / 1e6:,.0f} MB free in {home}",
        "free some space, or set MEDIA_TOOLKIT_HOME to another disk: uploads fail on a full one",
    )


def _try(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except MediaToolkitError as error:
        return Finding(name, "error", error.message, error.hint)
