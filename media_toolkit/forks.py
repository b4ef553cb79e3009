"""Forks: two processes on one connection read each other's answers, so none is handed down."""

from __future__ import annotations

import os
import weakref
from functools import cache
from typing import Protocol


class Connected(Protocol):
    """What holds connections."""

    def close(self) -> None:
        """Close those that lie idle; the object can be used again."""

    def forget(self) -> None:
        """In a forked process: begin anew, and leave what there is to the parent, unclosed."""


_ALL: weakref.WeakSet[Connected] = weakref.WeakSet()


def watch(one: Connected) -> None:
    """Have it closed before each fork of this process, and forgotten in the child."""
    _ALL.add(one)
    _register()


@cache
def _register() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_close, after_in_child=_forget)


def _close() -> None:
    for one in list(_ALL):
        one.close()


def _forget() -> None:
    for one in list(_ALL):
        one.forget()
