"""Names by which this server may be called where nobody is asked who they are.

Any site may let its own name lead to this machine (DNS rebinding): its page then is of our own
origin, and reads and posts as it likes. An address cannot be led elsewhere; and where callers
must sign in, a browser sends neither cookie nor token to another name.
"""

from __future__ import annotations

import ipaddress
import socket
from functools import cache
from urllib.parse import urlsplit

from media_toolkit.settings import Settings
from media_toolkit.web.refusals import ForeignHost


def check_host(host: str | None, settings: Settings) -> None:
    """Refuse a `Host` that is not known to be ours; programs may send none.

    Raises:
        ForeignHost: for what is neither an address, localhost, this machine's own name, nor
            named in MEDIA_TOOLKIT_HOSTS or MEDIA_TOOLKIT_ORIGINS.
    """
    if host is None or "*" in settings.hosts:
        return
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        name = ""
    known = settings.hosts | {urlsplit(origin).hostname for origin in settings.origins}
    if name in known or name in _own_names() or name.endswith(".localhost") or _is_address(name):
        return
    raise ForeignHost(
        f"{name[:100] or 'this'} is not known as a name of this server",
        hint="name it in MEDIA_TOOLKIT_HOSTS, or let callers sign in",
    )


@cache
def _own_names() -> frozenset[str]:
    return frozenset({"localhost", socket.gethostname().lower()})


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
