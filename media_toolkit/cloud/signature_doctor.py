"""Why Cloudinary refused a signature: the mistake that reproduces it, shown and not guessed.

The signature that was refused is a digest of some string. The usual mistakes are made one by
one, and two at once, until a digest is that signature: then this is what the program did.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from dataclasses import fields as fields_of
from datetime import UTC, datetime
from itertools import product
from typing import Any

from cloudinary import utils as sdk

from media_toolkit.cloud import signing
from media_toolkit.cloud.signature_variants import (
    EXCLUDED,
    Cause,
    Edit,
    Pairs,
    Step,
    combined,
    digests,
    edits,
    renderings,
    secrets,
)
from media_toolkit.errors import UploadError
from media_toolkit.settings import CloudAccount

_INVALID = re.compile(
    r"Invalid Signature (?P<signature>\S+?)\.? String to sign - '(?P<string>.*)'", re.DOTALL
)
_STALE = re.compile(r"Stale request - reported time is (?P<moment>[\d-]+ [\d:]+(?: [+-]\d{4})?)")
_NEXT_PAIR = re.compile(r"&(?=[A-Za-z_][\w\[\]]*=)")
_LONGEST_VALID_S = 3600
_HOUR_S, _ABOUT_S = 3600, 120

_HINTS: dict[Cause, str] = {
    "unsigned_parameter": "sign every parameter that is sent, or do not send it",
    "missing_parameter": "send every parameter that was signed, with the same value",
    "excluded_parameter": f"leave {', '.join(EXCLUDED)} out of the string",
    "changed_value": "sign exactly the strings that are sent: compute them once, use them twice",
    "boolean": "turn booleans into the text that is sent, 1 or true, before signing",
    "list": "join lists with commas before signing, and send the same text",
    "encoding": "sign values as they are, before any URL encoding; & alone becomes %26",
    "order": "sort the name=value pairs by name, join them with &, append the secret",
    "quoted_secret": "store the secret without quotes, spaces and line ends around it",
    "key_as_secret": "sign with the API secret; the API key is only sent",
    "another_secret": "check that key and secret stand in the same line of the console, and "
    "whether the account accepts SHA-256 only (Settings, Security)",
    "algorithm": "take the plain SHA-1 or SHA-256 of the string and the secret, as lower-case hex",
    "clock_skew": "set this machine's clock (NTP), and take Unix time, which is UTC everywhere",
    "expired": "sign when the upload begins, one signature for one upload",
    "milliseconds": "the timestamp is in whole seconds: divide by 1000",
    "unknown_key": "check the API key and the cloud name",
    "unknown": "compare both strings; pass the parameters as the program signed them",
}


@dataclass(frozen=True, slots=True)
class SignatureExplanation:
    """Why a signature was refused; prints as a few lines. The secret is in none of it.

    Attributes:
        cause: one word; of several mistakes the first.
        evidence: what reproduces the refused signature, or what was seen.
        hint: what to do.
        cloudinary_string: what Cloudinary signed to compare; "" where it did not say.
        our_string: what this toolkit would sign for the same parameters.
        signed_string: what the program signed; "" when that was not found out.
        is_proven: whether the cause reproduces the signature (or the clock shows it).
    """

    cause: Cause
    evidence: str
    hint: str
    cloudinary_string: str
    our_string: str
    signed_string: str = ""
    is_proven: bool = False

    def __str__(self) -> str:
        lines = [f"cause       {self.cause}{'' if self.is_proven else ' (not proven)'}"]
        lines.append(f"evidence    {self.evidence}")
        if self.cloudinary_string:
            lines.append(f"Cloudinary  {self.cloudinary_string}")
        lines.append(f"ours        {self.our_string}")
        if self.signed_string:
            lines.append(f"signed      {self.signed_string}")
        return "\n".join([*lines, f"→ {self.hint}"])

    __repr__ = __str__


def explain(
    parameters: Mapping[str, Any], error_message: str, account: CloudAccount
) -> SignatureExplanation:
    """Find out what a program did that Cloudinary refused.

    Args:
        parameters: what it signed and sent, as it has them: lists, booleans and all; `signature`,
            `api_key` and `file` may be among them. Empty: only Cloudinary's string is known.
        error_message: Cloudinary's words, `Invalid Signature …` or `Stale request …`.
        account: whose key and secret they should be.
    """
    found = _explain(parameters, error_message, account)
    hidden = account.api_secret.get_secret_value()
    texts = {f.name: getattr(found, f.name) for f in fields_of(found) if f.name != "is_proven"}
    # A program may have sent the secret as a parameter: then Cloudinary repeats it.
    shown = {name: text.replace(hidden, "<secret>") for name, text in texts.items()}
    return replace(found, **shown) if hidden else found


def _explain(
    parameters: Mapping[str, Any], text: str, account: CloudAccount
) -> SignatureExplanation:
    refused = _INVALID.search(text)
    signature = str(parameters.get("signature") or (refused["signature"] if refused else ""))
    string = refused["string"] if refused else ""
    texts = _texts(parameters)
    if not texts and string:
        texts = dict(_pairs(string, {}))
    ours = sdk.api_string_to_sign(texts, signing.REQUEST_SIGNATURE_VERSION)
    if stale := _STALE.search(text):
        return _of_the_clock(parameters, stale["moment"], ours)
    if "unknown api" in text.lower():
        key = account.api_key
        return _explained("unknown_key", f"Cloudinary does not know the key; ours is {key}", ours)
    if len(str(parameters.get("timestamp", ""))) >= 13:
        return _explained("milliseconds", "the timestamp has thirteen digits", ours, string)
    if not signature:
        return _explained("unknown", "the message names no signature", ours, string)
    received = _pairs(string, texts) if string else tuple(texts.items())
    search = _Search(string, received, signature)
    found = search.run(parameters, texts, account)
    if found is not None:
        steps, signed = found
        return _of_steps(steps, signed, ours, string, account)
    if ours == string:
        told = "the strings agree, and the secret gives another signature: it was not this secret"
        return _explained("another_secret", told, ours, string)
    differing = sorted(
        name.split("=")[0] for name in set(_NEXT_PAIR.split(ours)) ^ set(_NEXT_PAIR.split(string))
    )
    told = f"no usual mistake gives this signature; the strings differ in {', '.join(differing)}"
    return _explained("unknown", told, ours, string)


class _Search:
    """Tries what may have been signed until a digest is the signature that was refused."""

    def __init__(self, string: str, received: Pairs, signature: str) -> None:
        self._string = string
        self._received = received
        self._signature = signature

    def run(
        self, sent: Mapping[str, Any], texts: Mapping[str, str], account: CloudAccount
    ) -> tuple[list[Step], str] | None:
        """The mistakes, fewest first, and the string that was signed with them."""
        api_secret = account.api_secret.get_secret_value()
        used = secrets(api_secret, account.api_key)
        ways = digests(self._signature)
        order = list(sent) or list(texts)
        single = edits(self._received, sent, texts, _excluded(sent, account))
        for steps, pairs in self._candidates(single):
            # All at once would be too many: two changes are tried with the right secret only.
            few = len(steps) < 2
            for rendered, text in renderings(pairs, order):
                if not few and rendered.cause is not None:
                    break
                for secret, (way, digest) in product(used[: None if few else 1],
                                                     ways[: None if few else 1]):  # fmt: skip
                    if digest(text.encode(), secret.value.encode()) == self._signature:
                        told = [*steps, rendered, secret.step, way]
                        made = [step for step in told if step.cause is not None]
                        return made or self._version(text), text
        return None

    def _version(self, text: str) -> list[Step]:
        """Signed rightly but for `&` in a value, which Cloudinary reads in the other way."""
        if not self._string or text == self._string:
            return []
        version = 2 if "%26" in text else 1
        return [Step("encoding", f"with & in values as in signature version {version}")]

    def _candidates(self, single: list[Edit]) -> Iterator[tuple[tuple[Step, ...], Pairs]]:
        yield (), self._received
        for edit in single:
            yield (edit.step,), edit.apply(self._received)
        for some, pairs in combined(single, self._received):
            yield tuple(edit.step for edit in some), pairs


def _of_steps(
    steps: list[Step], signed: str, ours: str, string: str, account: CloudAccount
) -> SignatureExplanation:
    secret = account.api_secret.get_secret_value()
    if steps:
        told = " and ".join(step.told for step in steps)
        causes: list[Cause] = [step.cause for step in steps if step.cause is not None]
        hints = dict.fromkeys(_HINTS[cause] for cause in causes)
        return SignatureExplanation(
            causes[0],
            f"the string {told} gives exactly this signature",
            "; ".join(hints),
            string,
            ours,
            signed,
            is_proven=True,
        )
    # Signed as it should be: so the secret itself is wrong.
    cause: Cause
    if secret == account.api_key:
        told, cause = "the secret in the settings is the API key", "key_as_secret"
    elif secret != secret.strip().strip("\"'").strip():
        told, cause = "the secret in the settings has quotes or spaces around it", "quoted_secret"
    else:
        told = "the secret in the settings gives this signature: Cloudinary has another one for "
        told += f"the key {account.api_key}"
        return _explained("another_secret", told, ours, string)
    return SignatureExplanation(
        cause,
        f"{told}, and gives exactly this signature",
        _HINTS[cause],
        string,
        ours,
        signed,
        is_proven=True,
    )


def _of_the_clock(parameters: Mapping[str, Any], moment: str, ours: str) -> SignatureExplanation:
    reported = datetime.fromisoformat(moment)
    reported = reported if reported.tzinfo else reported.replace(tzinfo=UTC)
    stamp = str(parameters.get("timestamp") or int(reported.timestamp()))
    now = signing.now()
    age = now - int(float(stamp))
    clock = f"this machine's clock says {datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC"
    apart = f"{abs(age):,} s {'after' if age >= 0 else 'before'} the timestamp {stamp}"
    if abs(age) <= _LONGEST_VALID_S:
        told = f"{clock}, {apart}, which is fresh; Cloudinary's clock says otherwise"
        return _explained("clock_skew", told, ours, is_proven=True)
    hours = abs(age) % _HOUR_S
    if age < 0 or min(hours, _HOUR_S - hours) <= _ABOUT_S:
        told = f"{clock}, {apart}"
        if min(hours, _HOUR_S - hours) <= _ABOUT_S:
            told += ", about a whole number of hours: local time may have been taken for UTC"
        return _explained("clock_skew", told, ours, is_proven=True)
    told = f"{clock}, {apart}: it was signed long before it was sent"
    return _explained("expired", told, ours, is_proven=True)


def _explained(
    cause: Cause, evidence: str, ours: str, string: str = "", is_proven: bool = False
) -> SignatureExplanation:
    return SignatureExplanation(cause, evidence, _HINTS[cause], string, ours, is_proven=is_proven)


def _texts(parameters: Mapping[str, Any]) -> dict[str, str]:
    """The parameters as this toolkit would sign and send them."""
    unsent = {*EXCLUDED, "signature", "api_secret"}
    wanted = {k: v for k, v in parameters.items() if k not in unsent and v not in (None, "")}
    found: dict[str, str] = {}
    for name, value in wanted.items():
        if isinstance(value, str):
            found[name] = value
        else:
            try:
                found |= signing.serialize_options({name: value})
            except UploadError:
                found[name] = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            if name == "timestamp":
                found[name] = str(value)
    return found


def _pairs(string: str, known: Mapping[str, str]) -> Pairs:
    """Cloudinary's string → names and values; its %26 is & unless the value was sent so."""
    found = []
    for pair in _NEXT_PAIR.split(string):
        name, _, value = pair.partition("=")
        sent = known.get(name)
        same = sent is not None and sent.replace("&", "%26") == value
        found.append((name, sent if same and sent is not None else value.replace("%26", "&")))
    return tuple(found)


def _excluded(sent: Mapping[str, Any], account: CloudAccount) -> Pairs:
    found = [("cloud_name", account.cloud_name), ("api_key", account.api_key)]
    found += [("resource_type", kind) for kind in ("image", "video", "raw", "auto")]
    found += [(k, str(sent[k])) for k in EXCLUDED if isinstance(sent.get(k), str)]
    found.append(("api_secret", account.api_secret.get_secret_value()))
    return tuple(dict.fromkeys(found))
