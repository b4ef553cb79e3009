"""The route that puts faults in force and ends them: `/v1_1/<cloud>/_faults`, on loopback only."""

from __future__ import annotations

import ipaddress

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..cloud import Cloud
from ..errors import ApiError
from ..protocol.form import received
from .injection import Faults, fault_of


class FaultsApi:
    """The endpoint that governs the faults."""

    def __init__(self, cloud: Cloud, faults: Faults) -> None:
        self._cloud = cloud
        self._faults = faults

    async def govern(self, request: Request) -> Response:
        """GET tells the faults in force, POST adds one, DELETE ends them all."""
        host = request.client.host if request.client else ""
        if not host or not ipaddress.ip_address(host).is_loopback:
            raise ApiError(403, "Faults are governed from this machine only")
        if request.method == "POST":
            async with received(request, self._cloud.blobs.incoming) as form:
                self._faults.add(fault_of({name: form.text(name) for name in form.fields}))
        elif request.method == "DELETE":
            self._faults.clear()
        return JSONResponse({"faults": self._faults.told()})
