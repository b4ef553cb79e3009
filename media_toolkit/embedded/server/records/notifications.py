"""Notifications that wait to be delivered, and the triggers that ask for them.

https://cloudinary.com/documentation/admin_api_triggers
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .connections import Connections

NOTIFICATION_SCHEMA = """
create table if not exists notifications (
    id integer primary key autoincrement,
    url text not null,
    body text not null,
    attempts integer not null,
    due_at real not null
);
create table if not exists triggers (
    id text primary key,
    uri text not null,
    event_type text not null,
    additive integer not null,
    created_at integer not null,
    updated_at integer not null
);
"""


@dataclass(frozen=True)
class Waiting:
    """A notification that was not delivered yet; `due_at` is in unix seconds."""

    id: int
    url: str
    body: str
    attempts: int
    due_at: float


@dataclass(frozen=True)
class Trigger:
    """A URL that is told of every event of one type, or of `all`.

    An additive one is told also when the call names a `notification_url` of its own.
    """

    uri: str
    event_type: str
    additive: bool = False
    id: str = ""
    created_at: int = 0
    updated_at: int = 0


class NotificationRecords(Connections):
    """The part of the records that keeps notifications and triggers."""

    def add_notifications(self, urls: Sequence[str], body: str, limit: int) -> bool:
        """Keep one notification for each URL; False when more than `limit` wait already."""
        with self._writing() as connection:
            count = connection.execute("select count(*) as n from notifications").fetchone()["n"]
            if count + len(urls) > limit:
                return False
            connection.executemany(
                "insert into notifications (url, body, attempts, due_at) values (?, ?, 0, ?)",
                [(url, body, time.time()) for url in urls],
            )
            return True

    def waiting_notifications(self, limit: int) -> list[Waiting]:
        """Those that are due first."""
        query = "select * from notifications order by due_at, id limit ?"
        with self._reading() as connection:
            return [Waiting(**dict(row)) for row in connection.execute(query, (limit,))]

    def delay_notification(self, id: int, due_at: float) -> None:
        """Count a failed attempt; the next one is due then."""
        with self._writing() as connection:
            connection.execute(
                "update notifications set attempts = attempts + 1, due_at = ? where id = ?",
                (due_at, id),
            )

    def delete_notification(self, id: int) -> None:
        """Forget a notification that was delivered or given up."""
        with self._writing() as connection:
            connection.execute("delete from notifications where id = ?", (id,))

    def triggers(self, event_type: str | None = None) -> list[Trigger]:
        """All triggers, oldest first, or those that fire at an event."""
        where = "1" if event_type is None else "event_type in (?, 'all')"
        values = () if event_type is None else (event_type,)
        query = f"select * from triggers where {where} order by created_at, rowid"
        with self._reading() as connection:
            return [_to_trigger(row) for row in connection.execute(query, values)]

    def trigger(self, id: str) -> Trigger | None:
        """The trigger with that id."""
        with self._reading() as connection:
            row = connection.execute("select * from triggers where id = ?", (id,)).fetchone()
        return None if row is None else _to_trigger(row)

    def put_trigger(self, new: Trigger) -> Trigger:
        """Keep a trigger, a new one when it has no id."""
        now = int(time.time())
        values = (
            new.id or secrets.token_hex(32),
            new.uri,
            new.event_type,
            new.additive,
            new.created_at or now,
            now,
        )
        with self._writing() as connection:
            connection.execute("insert or replace into triggers values (?, ?, ?, ?, ?, ?)", values)
        return Trigger(new.uri, new.event_type, new.additive, values[0], values[4], now)

    def delete_trigger(self, id: str) -> bool:
        """Forget a trigger; False when there is none."""
        with self._writing() as connection:
            return connection.execute("delete from triggers where id = ?", (id,)).rowcount > 0


def _to_trigger(row: sqlite3.Row) -> Trigger:
    return Trigger(**{**dict(row), "additive": bool(row["additive"])})
