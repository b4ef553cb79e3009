"""A pooler that requires TLS, as Neon's does: sslmode and certificates hold on every way."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.embedded.stack import EmbeddedStack
from media_toolkit.identity import Identity
from media_toolkit.store.database import Database

ANA = Identity("ana")


@pytest.fixture(scope="module")
def tls_url(stack: EmbeddedStack, certificates: Path, pooler_before: Any) -> Iterator[str]:
    """The run's Postgres by a pooler that takes nothing but TLS."""
    with pooler_before(stack.database_url, certificate=certificates / "ours") as pooler:
        yield pooler.url(stack.database_url)


def answers(database: Database, way: str) -> object:
    """Whether Postgres answers by this way."""

    def read(connection: sa.Connection) -> object:
        return connection.scalar(sa.text("SELECT 1"))

    if way == "run":
        return database.run(ANA, read)
    if way == "ping":
        return bool(database.ping())
    if way == "script":
        return database.script([(ANA, [("SELECT 1", {})])])[0][0]
    if way == "direct":
        with database.direct() as owner:
            return read(owner)
    if way == "begin":
        with database.begin(ANA) as connection:
            return read(connection)

    def batches(connection: Any) -> Generator[object]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            yield cursor.fetchone()[0]

    if way == "iterate_arrow":
        return next(database.iterate_arrow(ANA, batches))
    return database.run_arrow(ANA, lambda connection: next(batches(connection)))


WAYS = ("run", "ping", "begin", "script", "direct", "run_arrow", "iterate_arrow")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sslmode", ["require", "verify-ca", "verify-full"])
@pytest.mark.parametrize("route", ["pooled"])
def test_every_way_connects_by_tls(
    settings: mt.Settings, certificates: Path, tls_url: str, way: str, sslmode: str
) -> None:
    root = certificates / "ours" / "server.crt"
    url = f"{tls_url}?sslmode={sslmode}&sslrootcert={root}"
    with closing(Database(url, patience_s=0)) as database:
        assert answers(database, way) == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("sslmode=disable", "SSL required.*write sslmode=require"),
        ("sslmode=verify-full&sslrootcert={other}", "certificate verify failed.*sslrootcert"),
        ("sslmode=require&channel_binding=require", "channel binding"),
    ],
    ids=["without TLS", "another root", "channel binding"],
)
@pytest.mark.parametrize("route", ["pooled"])
def test_no_way_drops_what_the_string_asks_for(
    settings: mt.Settings, certificates: Path, tls_url: str, way: str, options: str, said: str
) -> None:
    """The pooler has no channel binding: who passes has lost the word on the way. No second try
    helps, so none is made."""
    url = f"{tls_url}?{options.format(other=certificates / 'other' / 'server.crt')}"
    with (
        closing(Database(url, patience_s=60)) as database,
        pytest.raises(mt.Unavailable, match=said),
    ):
        answers(database, way)


@pytest.mark.parametrize("route", ["pooled"])
def test_a_kit_works_by_tls_from_save_to_parquet(
    settings: mt.Settings, certificates: Path, tls_url: str, tmp_path: Path
) -> None:
    root = certificates / "ours" / "server.crt"
    url = f"{tls_url}?sslmode=verify-full&sslrootcert={root}"
    settings = settings.model_copy(
        update={"database_url": mt.Settings(database_url=url).database_url,
                "database_direct_url": None}
    )  # fmt: skip
    answer = {
        "public_id": "photo",
        "version": 1,
        "resource_type": "image",
        "secure_url": "https://res.cloudinary.com/demo/image/upload/v1/photo.jpg",
    }
    with mt.connect(settings, user_id="ana") as kit:
        assert kit.migrate() == []
        assert kit.save_many([{**answer, "public_id": f"photo{n}"} for n in range(600)]).inserted
        assert len(kit.assets()) == kit.count() == 600
        assert kit.sql("SELECT count(*) AS n FROM cloudinary_files")["n"].tolist() == [600]
        assert kit.to_parquet(tmp_path / "all.parquet") == 600
