"""Who may fetch an asset, and from when until when.

https://cloudinary.com/documentation/control_access_to_media#access_controlled_media_assets
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ..errors import ApiError

Rules = list[dict[str, str]]

_TYPES = ("anonymous", "token")
_NAMES = frozenset({"access_type", "start", "end"})


def read_rules(text: str) -> Rules:
    """The rules of an `access_control` parameter: a JSON object or a list of them.

    ApiError 400 when it is neither, or a rule has an unknown name, type or moment.
    """
    try:
        read = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _invalid(text) from error
    rules = [read] if isinstance(read, dict) else read
    if not isinstance(rules, list) or not all(_is_rule(rule) for rule in rules):
        raise _invalid(text)
    return rules


def is_open(rules: Sequence[dict[str, str]], now: float) -> bool:
    """Whether anyone may fetch the asset now; else only a token would let in."""
    for rule in rules:
        start, end = (_moment(rule.get(name)) for name in ("start", "end"))
        begun, ended = start is None or start <= now, end is not None and end <= now
        if rule["access_type"] == "anonymous" and begun and not ended:
            return True
    return False


def _is_rule(rule: Any) -> bool:
    if not isinstance(rule, dict) or not rule.keys() <= _NAMES:
        return False
    try:
        for name in ("start", "end"):
            _moment(rule.get(name))
    except (TypeError, ValueError, OverflowError):
        return False
    return rule.get("access_type") in _TYPES


def _moment(text: str | None) -> float | None:
    if text is None:
        return None
    found = datetime.fromisoformat(re.sub(r"\s+([+-]\d)", r"\1", text))
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _invalid(text: str) -> ApiError:
    return ApiError(400, f"Invalid value for parameter access_control: {text[:200]}")
