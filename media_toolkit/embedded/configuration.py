"""What a home remembers: ports, names and secrets, chosen once and kept in `stack.json`."""

from __future__ import annotations

import json
import os
import random
import secrets
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from media_toolkit.errors import EmbeddedStackError
from media_toolkit.settings import CloudAccount, Settings

HOST = "127.0.0.1"
CLOUD_NAME = "embedded"
DATABASE = "media_toolkit"
# Below the range from which Linux and macOS hand out ports to outgoing connections, so that
# a kept port is not lent to somebody else while the stack is down.
_PORTS = range(20_000, 32_000)


@dataclass(frozen=True, slots=True)
class StackConfiguration:
    """One home's stack. Secrets are masked in repr."""

    home: Path
    cloud_port: int
    postgres_port: int
    api_key: str
    api_secret: str = field(repr=False)
    postgres_password: str = field(repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Read `stack.json`, or choose everything and write it; call it under the stack's lock.

        Ports named in the settings replace the kept ones.

        Raises:
            EmbeddedStackError: when the home cannot be written, or the file is damaged.
        """
        path = settings.home / "stack.json"
        kept = _read(path, settings.home)
        ports = _free_ports()
        if kept is None:
            chosen = cls(
                home=settings.home,
                cloud_port=settings.cloud_port or next(ports),
                postgres_port=settings.postgres_port or next(ports),
                api_key=str(random.SystemRandom().randrange(10**14, 10**15)),
                api_secret=secrets.token_urlsafe(24),
                postgres_password=secrets.token_urlsafe(24),
            )
        else:
            chosen = cls(home=settings.home, **kept)
            if settings.cloud_port:
                chosen = replace(chosen, cloud_port=settings.cloud_port)
            if settings.postgres_port:
                chosen = replace(chosen, postgres_port=settings.postgres_port)
        values = asdict(chosen)
        del values["home"]
        if values != kept:
            write_private(path, json.dumps(values, indent=2))
        return chosen

    @classmethod
    def kept(cls, home: Path) -> Self:
        """Read what `of` wrote.

        Raises:
            EmbeddedStackError: when there is nothing, or the file is damaged.
        """
        values = _read(home / "stack.json", home)
        if values is None:
            raise EmbeddedStackError(f"no embedded stack in {home}", ids=("MEDIA_TOOLKIT_HOME",))
        return cls(home=home, **values)

    @property
    def public_url(self) -> str:
        """Base of all URLs that the server hands out."""
        return f"http://{HOST}:{self.cloud_port}"

    @property
    def account(self) -> CloudAccount:
        """The embedded server, as the account that `cloud` speaks to."""
        return CloudAccount(
            CLOUD_NAME, self.api_key, self.api_secret, self.public_url, f"{HOST}:{self.cloud_port}"
        )

    @property
    def cloudinary_url(self) -> str:
        """For the official SDKs and the CLI, as CLOUDINARY_URL."""
        return (
            f"cloudinary://{self.api_key}:{self.api_secret}@{CLOUD_NAME}"
            f"?upload_prefix={self.public_url}&cname={HOST}:{self.cloud_port}"
        )

    @property
    def database_url(self) -> str:
        """For psycopg2, psql and others, as DATABASE_URL."""
        return (
            f"postgresql://{DATABASE}:{self.postgres_password}"
            f"@{HOST}:{self.postgres_port}/{DATABASE}"
        )


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; from its first byte on its owner alone can read it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with closing(os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w")) as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())
    draft.replace(path)


def _read(path: Path, home: Path) -> dict[str, Any] | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise EmbeddedStackError(
            f"cannot read {path.name} of the embedded stack: {error}",
            hint=f"mend it, or set MEDIA_TOOLKIT_HOME to another folder than {home}",
            ids=("MEDIA_TOOLKIT_HOME",),
        ) from error
    return dict(kept)


def _free_ports() -> Iterator[int]:
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        yield port
    raise EmbeddedStackError(f"no free port from {_PORTS.start} to {_PORTS.stop}")
