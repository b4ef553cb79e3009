"""The doctor where the database is away, missing, or not the one that was meant."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa

import media_toolkit as mt
from media_toolkit.embedded.configuration import StackConfiguration
from media_toolkit.embedded.postgres import EmbeddedPostgres
from media_toolkit.store import migrations
from media_toolkit.store.database import Database

APART = "DATABASE_DIRECT_URL leads to another database than DATABASE_URL"
# The command as it is, except that it waits for half a second and not for twelve.
_HURRIED = (
    "from media_toolkit.store.database import Database;"
    " Database.__init__.__defaults__ = (None, 0.5);"
    " from media_toolkit.__main__ import main; main()"
)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _HURRIED, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def checks(diagnosis: Any) -> dict[str, str]:
    return {finding.check: finding.state for finding in diagnosis.findings}


@pytest.fixture
def login(settings: mt.Settings, stack: Any) -> Iterator[str]:
    """The string of a login with no rights at all."""
    name = f"No Rights {secrets.token_hex(4)}"
    with closing(Database(stack.database_url)) as owner:
        with owner.direct() as connection:
            connection.exec_driver_sql(f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'x'")
        place = stack.database_url.rpartition("@")[2]
        yield f"postgresql://{name.replace(' ', '%20')}:x@{place}"
        with owner.direct() as connection:
            connection.exec_driver_sql(f'DROP OWNED BY "{name}"')
            connection.exec_driver_sql(f'DROP ROLE "{name}"')


@pytest.fixture(scope="module")
def branch(prepared_home: Any) -> Iterator[str]:
    """A copy of a server as it lay on the disk, as a branch is: the names and oids are the same."""
    with prepared_home() as home:
        configuration = StackConfiguration.of(mt.Settings(home=home))
        postgres = EmbeddedPostgres(configuration)
        postgres.start()
        yield configuration.database_url
        postgres.stop()


@pytest.fixture(scope="module")
def parent(prepared_home: Any) -> Iterator[str]:
    """What `branch` is a copy of."""
    with prepared_home() as home:
        configuration = StackConfiguration.of(mt.Settings(home=home))
        postgres = EmbeddedPostgres(configuration)
        postgres.start()
        yield configuration.database_url
        postgres.stop()


@pytest.mark.parametrize("is_missing", [False, True], ids=["away", "missing"])
def test_the_doctor_reports_every_check_where_the_database_does_not_answer(
    settings: mt.Settings, stack: Any, choose_port: Any, is_missing: bool
) -> None:
    url = f"postgresql://ana:s3cret@127.0.0.1:{choose_port()}/db"
    if is_missing:
        url = f"{stack.database_url.rpartition('/')[0]}/none"
    shown = run("doctor", DATABASE_URL=url, CLOUDINARY_URL=stack.cloudinary_url)
    assert (shown.returncode, shown.stderr) == (1, "")
    lines = [line for line in shown.stdout.splitlines() if not line.startswith("  →")]
    assert [line[:12].rstrip() for line in lines] == [
        "✓ settings",
        "✓ signing",
        "✓ Cloudinary",
        "✗ Postgres",
        "✗ table",
    ]
    assert "Postgres cannot be reached" in lines[3]
    assert ('"none" does not exist' in lines[3]) == is_missing
    assert "s3cret" not in shown.stdout


def test_a_refused_signature_is_explained_while_the_database_is_away(
    settings: mt.Settings, stack: Any, choose_port: Any
) -> None:
    url = f"postgresql://ana:s3cret@127.0.0.1:{choose_port()}/db"
    message = f"Invalid Signature {'0' * 40}. String to sign - 'timestamp=1'."
    shown = run(
        "doctor", "--signature", message, DATABASE_URL=url, CLOUDINARY_URL=stack.cloudinary_url
    )
    assert (shown.returncode, shown.stderr) == (1, "")


def test_the_doctor_names_the_login_that_is_to_be_let_in(
    settings: mt.Settings, stack: Any, login: str
) -> None:
    name = login.partition("//")[2].partition(":")[0].replace("%20", " ")
    for direct in ({}, {"database_direct_url": stack.database_url}):
        given = mt.Settings(cloudinary_url=stack.cloudinary_url, database_url=login, **direct)
        with mt.connect(given) as kit:
            (table,) = (f for f in kit.doctor().findings if f.check == "table")
        assert table.state == "error"
        assert table.hint == f'as the owner: GRANT media_toolkit_app TO "{name}"'
    with closing(Database(stack.database_url)) as owner, owner.direct() as connection:
        connection.exec_driver_sql(table.hint.removeprefix("as the owner: "))
    with mt.connect(given) as kit:
        assert kit.doctor().is_well


def test_the_doctor_is_content_with_a_login_that_has_policies_of_its_own(
    settings: mt.Settings, stack: Any, login: str
) -> None:
    name = login.partition("//")[2].partition(":")[0].replace("%20", " ")
    with closing(Database(stack.database_url)) as owner, owner.direct() as connection:
        connection.exec_driver_sql(f'GRANT SELECT ON cloudinary_files TO "{name}"')
    with mt.connect(mt.Settings(database_url=login)) as kit:
        (table,) = (f for f in kit.doctor().findings if f.check == "table")
    assert (table.state, "outside the role" in table.detail) == ("ok", True)


def test_two_strings_of_one_database_are_known_as_such(settings: mt.Settings, stack: Any) -> None:
    url = stack.database_url
    given = mt.Settings(database_url=url, database_direct_url=f"{url}?application_name=x")
    with mt.connect(given) as kit:
        assert checks(kit.doctor())["table"] == "ok"
        assert kit.migrate() == []


def test_a_direct_string_of_another_branch_is_told_and_nothing_is_changed_there(
    settings: mt.Settings, parent: str, branch: str
) -> None:
    same = (
        "SELECT oid, (SELECT system_identifier FROM pg_control_system()) FROM pg_class"
        " WHERE relname = 'cloudinary_files'"
    )
    seen = []
    for url in (parent, branch):
        with closing(Database(url)) as database, database.direct() as connection:
            seen.append(tuple(connection.execute(sa.text(same)).one()))
    assert seen[0] == seen[1]
    given = mt.Settings(database_url=parent, database_direct_url=branch, policy="private")
    with pytest.warns(UserWarning, match="policy team"):
        kit = mt.connect(given)
    with kit:
        (table,) = (f for f in kit.doctor().findings if f.check == "table")
        assert (table.state, table.detail) == ("error", APART)
        assert "DATABASE_DIRECT_URL may stay unset" in table.hint
        with pytest.raises(mt.StoreError, match=APART):
            kit.migrate()
    with closing(Database(branch)) as database, database.direct() as connection:
        assert migrations.policy_of(database) == "team"
    shown = run("migrate", DATABASE_URL=parent, DATABASE_DIRECT_URL=branch)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.startswith(f"Error: {APART}")


def test_nothing_is_said_of_a_pooled_string_that_does_not_answer(
    settings: mt.Settings, stack: Any, choose_port: Any
) -> None:
    away = f"postgresql://ana:x@127.0.0.1:{choose_port()}/db"
    given = mt.Settings(database_url=away, database_direct_url=stack.database_url)
    with mt.connect(given) as kit:
        assert kit.migrate() == []


def test_the_look_at_two_strings_leaves_no_lock(settings: mt.Settings, stack: Any) -> None:
    url = stack.database_url
    given = mt.Settings(database_url=url, database_direct_url=f"{url}?application_name=x")
    assert given.may_be_apart
    with mt.connect(given) as kit:
        kit.migrate()
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"
            )
            assert cursor.fetchone() == (0,)


def test_the_command_started_beside_the_stack_has_no_direct_string_of_another_database(
    settings: mt.Settings, stack: Any, home: Path
) -> None:
    code = "import os; print(os.environ['DATABASE_DIRECT_URL'] == os.environ['DATABASE_URL'])"
    shown = run("embedded", "run", "--", sys.executable, "-c", code,
                DATABASE_DIRECT_URL="postgresql://ana:x@db.example.org/db")  # fmt: skip
    assert (shown.returncode, shown.stdout) == (0, "True\n"), shown.stderr
