"""How the embedded server is asked to behave, for as long as it runs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Handed from the command line to the supervisor; forgotten with the stack's last user.

    `search_lag` is how many seconds searches lag behind changes.
    `faults` are failures on purpose, `notification_urls` are told of every event, and
    `allow_private_urls` lets uploads by URL read from this machine and its network.
    """

    search_lag: float = 0.0
    faults: tuple[str, ...] = ()
    notification_urls: tuple[str, ...] = ()
    allow_private_urls: bool = False

    def to_json(self) -> str:
        """One line for the supervisor's arguments."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote."""
        values = json.loads(text)
        lists = {name: tuple(values[name]) for name in ("faults", "notification_urls")}
        return cls(**{**values, **lists})
