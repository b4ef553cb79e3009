"""Refusals that a client is told about."""

from __future__ import annotations


class ApiError(Exception):
    """A refusal: HTTP status and the message that the client is told."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class DeliveryError(ApiError):
    """A refusal to deliver, whose reason is told in the `X-Cld-Error` header too."""
