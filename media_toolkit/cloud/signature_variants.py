"""What a program may have signed instead: every usual mistake, as something that can be tried.

Rules of the signature: https://cloudinary.com/documentation/authentication_signatures
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import itertools
import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, quote_plus, unquote, unquote_plus

Cause = Literal[
    "unsigned_parameter", "missing_parameter", "excluded_parameter", "changed_value", "boolean",
    "list", "encoding", "order", "quoted_secret", "key_as_secret", "another_secret", "algorithm",
    "clock_skew", "expired", "milliseconds", "unknown_key", "unknown",
]  # fmt: skip
Pairs = tuple[tuple[str, str], ...]

EXCLUDED = ("file", "cloud_name", "resource_type", "api_key")
_TRUE, _FALSE = ("1", "true", "True"), ("0", "false", "False")
# Two calls of the clock, one for the signature and one for the form, are seconds apart.
_SECONDS_APART = 120
_MOST_SUBSETS_OF = 10


@dataclass(frozen=True, slots=True)
class Step:
    """One way in which what was signed may differ, and how it is told; "" tells of none."""

    cause: Cause | None = None
    told: str = ""


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of the parameters: those of these names go, these pairs come instead."""

    step: Step
    names: frozenset[str]
    pairs: Pairs

    def apply(self, pairs: Pairs) -> Pairs:
        """The parameters after the change; the places of what stays are kept."""
        kept: list[tuple[str, str]] = []
        placed = False
        for name, value in pairs:
            if name not in self.names:
                kept.append((name, value))
            elif not placed:
                kept += self.pairs
                placed = True
        return tuple(kept) if placed else (*kept, *self.pairs)


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that may have been used. Its value is in no text of ours."""

    step: Step
    value: str


Digest = Callable[[bytes, bytes], str]


def secrets(api_secret: str, api_key: str) -> list[Secret]:
    """The secret, and what it becomes on its way through files, shells and forms."""
    plain = api_secret.strip().strip("\"'").strip()
    variants = [
        ("between double quotes", f'"{plain}"'),
        ("between single quotes", f"'{plain}'"),
        ("with a double quote before it", f'"{plain}'),
        ("with a double quote after it", f'{plain}"'),
        ("with a line end after it", f"{plain}\n"),
        ("with a Windows line end after it", f"{plain}\r\n"),
        ("with a carriage return after it", f"{plain}\r"),
        ("with a space after it", f"{plain} "),
        ("with a space before it", f" {plain}"),
        ("with a tab after it", f"{plain}\t"),
        ("between angle brackets", f"<{plain}>"),
        ("without its quotes and spaces", plain),
        ("in lower case", plain.lower()),
        ("percent-encoded", quote(plain, safe="")),
        ("with its last character cut off", plain[:-1]),
        ("with its first character cut off", plain[1:]),
        ("with & before it", f"&{plain}"),
    ]
    found = [Secret(Step(), api_secret)]
    found.append(Secret(Step("key_as_secret", "with the API key in place of the secret"), api_key))
    found += [Secret(Step("quoted_secret", f"with the secret {told}"), v) for told, v in variants]
    found.append(Secret(Step("quoted_secret", "with no secret at all"), ""))
    return [one for at, one in enumerate(found) if one.value not in [o.value for o in found[:at]]]


def digests(signature: str) -> list[tuple[Step, Digest]]:
    """The ways to make a signature of this length; those that Cloudinary accepts come first."""
    found: list[tuple[Step, Digest]] = []
    hexadecimal = all(c in "0123456789abcdefABCDEF" for c in signature)
    for name in ("sha1", "sha256", "md5", "sha512"):
        size = hashlib.new(name, usedforsecurity=False).digest_size
        label = {"sha1": "SHA-1", "sha256": "SHA-256"}.get(name, name.upper())
        accepted = name in ("sha1", "sha256")
        if hexadecimal and len(signature) == 2 * size:
            capitals = ", in capital letters" if signature != signature.lower() else ""
            right = accepted and not capitals
            found.append((Step() if right else _wrong(label + capitals), _plain(name, signature)))
            found.append((_wrong(f"HMAC-{label}{capitals}"), _keyed(name, signature)))
        elif len(signature.rstrip("=")) == -(-size * 4 // 3):
            found.append((_wrong(f"{label} in base64"), _plain(name, signature)))
            found.append((_wrong(f"HMAC-{label} in base64"), _keyed(name, signature)))
    return found


def renderings(pairs: Pairs, given: Sequence[str]) -> Iterator[tuple[Step, str]]:
    """The string that these parameters make: as it should be, then in other orders."""
    yield Step(), _joined(sorted(_pair(p) for p in pairs))
    escaped = [_pair(p).replace("&", "%26") for p in pairs]
    yield Step(), _joined(sorted(escaped))
    places = {name: at for at, name in enumerate(given)}
    as_given = sorted(pairs, key=lambda pair: places.get(pair[0], len(places)))
    orders: list[tuple[str, Sequence[tuple[str, str]]]] = [
        ("in the order in which they were given, not sorted", as_given),
        ("in reverse order", sorted(pairs, reverse=True)),
        ("sorted without regard to case", sorted(pairs, key=lambda p: p[0].lower())),
        ("with the timestamp last", sorted(pairs, key=lambda p: (p[0] == "timestamp", p))),
        ("with the timestamp first", sorted(pairs, key=lambda p: (p[0] != "timestamp", p))),
    ]
    for told, ordered in orders:
        yield Step("order", told), _joined([_pair(pair) for pair in ordered])
    plain = sorted(_pair(p) for p in pairs)
    for joiner, told in (("", "joined without &"), (",", "joined by commas"), ("\n", "by lines")):
        yield Step("order", told), joiner.join(plain)
    yield Step("order", "with & at the end"), _joined(plain) + "&"
    yield Step("order", "with ? at the beginning"), "?" + _joined(plain)


def edits(
    received: Pairs, sent: Mapping[str, Any], sent_texts: Mapping[str, str], excluded: Pairs
) -> list[Edit]:
    """One change each that may lead from what Cloudinary received to what was signed.

    Args:
        received: the parameters of Cloudinary's string.
        sent: the program's parameters as it has them; sent_texts: the same as strings.
        excluded: parameters that are never part of the string, with values.
    """
    names = {name for name, _ in received}
    found = []
    for name, value in received:
        found.append(_without(name, value))
    for name, text in sent_texts.items():
        if name not in names and name not in EXCLUDED:
            told = f"with {name}, which Cloudinary did not receive"
            found.append(_edit("missing_parameter", told, name, text))
    for name, value in received:
        if name in sent_texts and sent_texts[name] != value:
            told = f"with {name} as it was before it was sent"
            found.append(_edit("changed_value", told, name, sent_texts[name]))
        found += _booleans(name, value)
        found += _lists(name, value, sent.get(name))
        found += _encodings(name, value)
        if name == "timestamp" and value.isascii() and value.isdigit():
            found += _moments(value)
    for name, value in excluded:
        told = f"with {name}, which is never part of what is signed"
        found.append(_edit("excluded_parameter", told, name, value))
    return found


def combined(single: Sequence[Edit], received: Pairs) -> Iterator[tuple[tuple[Edit, ...], Pairs]]:
    """Two changes at once, then any number of parameters left out."""
    likely = [edit for edit in single if edit.names != {"timestamp"}]
    for one, other in itertools.combinations(likely, 2):
        if not one.names & other.names:
            yield (one, other), other.apply(one.apply(received))
    drops = [edit for edit in single if not edit.pairs]
    most = len(drops) if len(drops) <= _MOST_SUBSETS_OF else 3
    for count in range(3, most + 1):
        for some in itertools.combinations(drops, count):
            pairs = received
            for edit in some:
                pairs = edit.apply(pairs)
            yield some, pairs


def _edit(cause: Cause, told: str, name: str, value: str) -> Edit:
    return Edit(Step(cause, told), frozenset({name}), ((name, value),))


def _without(name: str, value: str) -> Edit:
    if value in _FALSE:
        step = Step(
            "boolean", f"without {name}, sent as {value}, which was false when it was signed"
        )
    else:
        step = Step("unsigned_parameter", f"without {name}")
    return Edit(step, frozenset({name}), ())


def _booleans(name: str, value: str) -> Iterator[Edit]:
    for family in (_TRUE, _FALSE):
        if value in family:
            for other in family:
                if other != value:
                    told = f"with {name} as {other}, sent as {value}"
                    yield _edit("boolean", told, name, other)


def _lists(name: str, value: str, given: Any) -> Iterator[Edit]:
    if isinstance(given, Mapping):
        for text in (json.dumps(given), json.dumps(given, separators=(",", ":")), str(given)):
            yield _edit("list", f"with {name} written as {text}", name, text)
        return
    items = [str(i) for i in given] if isinstance(given, list | tuple) else value.split(",")
    if len(items) < 2 and not isinstance(given, list | tuple):
        return
    texts = [joiner.join(items) for joiner in ("|", ";", " ", ", ", "")]
    texts += [json.dumps(items), json.dumps(items, separators=(",", ":")), str(items)]
    for text in texts:
        yield _edit("list", f"with {name} written as {text}", name, text)
    for written in (f"{name}[]", name):
        pairs = tuple((written, item) for item in items)
        told = f"with {name} as {len(items)} parameters {written}"
        yield Edit(Step("list", told), frozenset({name}), pairs)


def _encodings(name: str, value: str) -> Iterator[Edit]:
    changed = {
        "percent-encoded": quote(value, safe=""),
        "percent-encoded, / left": quote(value),
        "encoded as in a form": quote_plus(value),
        "percent-decoded": unquote(value),
        "decoded as from a form": unquote_plus(value),
        "with %26 as &": value.replace("%26", "&"),
        "with & as %26 twice over": value.replace("&", "%26").replace("%", "%25"),
        "with & as &amp;": html.escape(value),
        "without spaces at its ends": value.strip(),
        "in another Unicode form (NFC)": unicodedata.normalize("NFC", value),
        "in another Unicode form (NFD)": unicodedata.normalize("NFD", value),
    }
    for told, text in changed.items():
        if text != value:
            yield _edit("encoding", f"with {name} {told}", name, text)


def _moments(value: str) -> Iterator[Edit]:
    for apart in range(1, _SECONDS_APART + 1):
        for other in (int(value) - apart, int(value) + apart):
            told = f"with timestamp {other}, {apart} s apart from the one that was sent"
            yield _edit("changed_value", told, "timestamp", str(other))
    told = "with the timestamp in milliseconds"
    yield _edit("milliseconds", told, "timestamp", f"{value}000")


def _plain(name: str, signature: str) -> Digest:
    def digest(text: bytes, secret: bytes) -> str:
        return _like(hashlib.new(name, text + secret, usedforsecurity=False).digest(), signature)

    return digest


def _keyed(name: str, signature: str) -> Digest:
    def digest(text: bytes, secret: bytes) -> str:
        return _like(hmac.digest(secret, text, name), signature)

    return digest


def _like(digest: bytes, signature: str) -> str:
    """A digest, written in the way of the signature that it is to be compared with."""
    if len(signature) == 2 * len(digest):
        text = digest.hex()
        return text if signature == signature.lower() else text.upper()
    urlsafe = "-" in signature or "_" in signature
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    text = encode(digest).decode()
    return text if signature.endswith("=") else text.rstrip("=")


def _wrong(label: str) -> Step:
    return Step("algorithm", f"by {label}")


def _pair(pair: tuple[str, str]) -> str:
    return f"{pair[0]}={pair[1]}"


def _joined(parts: Sequence[str]) -> str:
    return "&".join(parts)
