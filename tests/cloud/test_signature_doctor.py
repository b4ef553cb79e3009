"""The signature doctor, held against what the server really refuses."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import requests

import media_toolkit as mt
from media_toolkit.cloud.signature_doctor import SignatureExplanation, explain
from media_toolkit.cloud.signing import now, sign_parameters, upload_url
from media_toolkit.settings import CloudAccount

T = str(now())


def string(pairs: Mapping[str, Any]) -> str:
    return "&".join(sorted(f"{k}={v}" for k, v in pairs.items()))


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@pytest.fixture
def explained(kit: mt.MediaToolkit, sample_media: Any) -> Callable[..., SignatureExplanation]:
    """Send what a program sends, be refused, and ask the doctor about it."""

    def ask(
        sent: Mapping[str, Any], signature: str, has: Mapping[str, Any] | None = None
    ) -> SignatureExplanation:
        fields = {**sent, "signature": signature, "api_key": kit.account.api_key}
        url = upload_url(kit.account, "image")
        with (sample_media / "horse.png").open("rb") as file:
            answer = requests.post(url, data=fields, files={"file": file}, timeout=30)
        assert answer.status_code in (400, 401), answer.text
        message = answer.json()["error"]["message"]
        found = kit.explain_signature({**sent, **(has or {})}, message)
        assert kit.account.api_secret.get_secret_value() not in str(found)
        if "String to sign" in message:
            assert found.cloudinary_string
            assert f"'{found.cloudinary_string}'" in message
        return found

    return ask


@pytest.fixture
def secret(kit: mt.MediaToolkit) -> str:
    return kit.account.api_secret.get_secret_value()


CASES: dict[str, tuple[str, Mapping[str, Any], str, Mapping[str, Any]]] = {
    # name → cause, what was sent, the string that was signed, what the program has besides
    "extra": ("unsigned_parameter", {"timestamp": T, "tags": "a"}, f"timestamp={T}", {}),
    "three extra": (
        "unsigned_parameter",
        {"timestamp": T, "source": "uw", "tags": "a", "folder": "f", "phash": "1"},
        f"phash=1&timestamp={T}",
        {},
    ),
    "missing": (
        "missing_parameter", {"timestamp": T}, f"folder=spring&timestamp={T}", {"folder": "spring"}
    ),
    "true": ("boolean", {"timestamp": T, "overwrite": "1"}, f"overwrite=true&timestamp={T}", {}),
    "one": ("boolean", {"timestamp": T, "overwrite": "true"}, f"overwrite=1&timestamp={T}", {}),
    "python": ("boolean", {"timestamp": T, "phash": "1"}, f"phash=True&timestamp={T}", {}),
    "false dropped": ("boolean", {"timestamp": T, "overwrite": "0"}, f"timestamp={T}", {}),
    "excluded file": (
        "excluded_parameter", {"timestamp": T}, f"file=a.jpg&timestamp={T}", {"file": "a.jpg"}
    ),
    "excluded kind": (
        "excluded_parameter", {"timestamp": T}, f"resource_type=image&timestamp={T}", {}
    ),
    "excluded cloud": (
        "excluded_parameter", {"timestamp": T}, f"cloud_name=embedded&timestamp={T}", {}
    ),
    "other value": (
        "changed_value", {"timestamp": T, "tags": "a"}, f"tags=b&timestamp={T}", {"tags": "b"}
    ),
    "clock read twice": (
        "changed_value", {"timestamp": T}, f"timestamp={int(T) - 3}", {}
    ),
    "milliseconds": ("milliseconds", {"timestamp": T}, f"timestamp={T}000", {}),
    "list as JSON": (
        "list",
        {"timestamp": T, "tags": "a,b"},
        f'tags=["a", "b"]&timestamp={T}',
        {"tags": ["a", "b"]},
    ),
    "list as parameters": (
        "list", {"timestamp": T, "tags": "a,b"}, f"tags=a&tags=b&timestamp={T}", {}
    ),
    "list with spaces": ("list", {"timestamp": T, "tags": "a,b"}, f"tags=a, b&timestamp={T}", {}),
    "context as JSON": (
        "list",
        {"timestamp": T, "context": "alt=x"},
        f'context={{"alt": "x"}}&timestamp={T}',
        {"context": {"alt": "x"}},
    ),
    "percent": (
        "encoding", {"timestamp": T, "public_id": "a b/c"}, f"public_id=a%20b%2Fc&timestamp={T}", {}
    ),
    "version 2 sent": (
        "encoding", {"timestamp": T, "tags": "a%26b"}, f"tags=a&b&timestamp={T}", {}
    ),
    "version 2 twice": (
        "encoding", {"timestamp": T, "tags": "a&b"}, f"tags=a%2526b&timestamp={T}", {}
    ),
    "unsorted": (
        "order", {"timestamp": T, "folder": "f"}, f"timestamp={T}&folder=f", {}
    ),
    "not joined": ("order", {"timestamp": T, "folder": "f"}, f"folder=ftimestamp={T}", {}),
    "two at once": (
        "unsigned_parameter",
        {"timestamp": T, "overwrite": "1", "source": "uw"},
        f"overwrite=true&timestamp={T}",
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_mistake_that_reproduces_the_signature_is_named(
    name: str, explained: Callable[..., SignatureExplanation], secret: str
) -> None:
    cause, sent, signed, has = CASES[name]
    found = explained(sent, sha1(signed + secret), has)
    assert found.cause == cause, found
    assert found.is_proven
    assert found.signed_string == signed
    assert "gives exactly this signature" in found.evidence


def test_two_mistakes_at_once_are_both_told(
    explained: Callable[..., SignatureExplanation], secret: str
) -> None:
    sent = {"timestamp": T, "overwrite": "1", "source": "uw"}
    found = explained(sent, sha1(f'overwrite=1&timestamp={T}"{secret}"'))
    assert (found.cause, found.is_proven) == ("unsigned_parameter", True)
    assert "without source and with the secret between double quotes" in found.evidence
    assert "without quotes" in found.hint


@pytest.mark.parametrize(
    ("cause", "spoil"),
    [
        ("quoted_secret", lambda secret: f'"{secret}"'),
        ("quoted_secret", lambda secret: f"'{secret}'"),
        ("quoted_secret", lambda secret: secret + "\n"),
        ("quoted_secret", lambda secret: " " + secret),
        ("quoted_secret", lambda secret: secret[:-1]),
        ("quoted_secret", lambda secret: ""),
    ],
)
def test_a_secret_that_changed_on_its_way_is_recognized(
    cause: str,
    spoil: Callable[[str], str],
    explained: Callable[..., SignatureExplanation],
    secret: str,
) -> None:
    sent = {"timestamp": T, "tags": "a"}
    found = explained(sent, sha1(string(sent) + spoil(secret)))
    assert (found.cause, found.is_proven) == (cause, True)
    assert found.our_string == found.cloudinary_string == string(sent)


def test_the_key_in_place_of_the_secret(
    explained: Callable[..., SignatureExplanation], kit: mt.MediaToolkit
) -> None:
    sent = {"timestamp": T}
    found = explained(sent, sha1(string(sent) + kit.account.api_key))
    assert (found.cause, found.is_proven) == ("key_as_secret", True)


def test_another_way_to_make_the_digest(
    explained: Callable[..., SignatureExplanation], secret: str
) -> None:
    sent = {"timestamp": T}
    text, key = string(sent).encode(), secret.encode()
    digest = hashlib.sha1(text + key, usedforsecurity=False).digest()
    for signature, told in (
        (hmac.digest(key, text, "sha1").hex(), "HMAC-SHA-1"),
        (hmac.digest(key, text, "sha256").hex(), "HMAC-SHA-256"),
        (hashlib.md5(text + key, usedforsecurity=False).hexdigest(), "MD5"),
        (hashlib.sha512(text + key).hexdigest(), "SHA512"),
        (digest.hex().upper(), "SHA-1, in capital letters"),
        (base64.b64encode(digest).decode(), "SHA-1 in base64"),
        (base64.urlsafe_b64encode(hashlib.sha256(text + key).digest()).decode().rstrip("="),
         "SHA-256 in base64"),
    ):  # fmt: skip
        found = explained(sent, signature)
        assert (found.cause, found.is_proven) == ("algorithm", True), told
        assert f"by {told}" in found.evidence


def test_a_wrong_secret_in_the_settings_is_seen_from_the_signature_that_it_gives(
    kit: mt.MediaToolkit, sample_media: Any
) -> None:
    right = kit.account
    for wrong, cause in (
        ('"quoted"', "quoted_secret"),
        (right.api_key, "key_as_secret"),
        ("of-another-account", "another_secret"),
    ):
        account = CloudAccount(right.cloud_name, right.api_key, wrong, right.upload_prefix)
        fields = {"timestamp": T}
        signature = sign_parameters(fields, wrong, "sha256" if cause == "quoted_secret" else "sha1")
        with (sample_media / "horse.png").open("rb") as file:
            answer = requests.post(
                upload_url(right, "image"),
                data={**fields, "signature": signature, "api_key": right.api_key},
                files={"file": file},
                timeout=30,
            )
        found = explain(fields, answer.json()["error"]["message"], account)
        assert (found.cause, found.is_proven) == (cause, cause != "another_secret")
        assert wrong == right.api_key or wrong not in str(found)


def test_what_cannot_be_proven_is_not_claimed(
    explained: Callable[..., SignatureExplanation],
) -> None:
    found = explained({"timestamp": T}, "0" * 40)
    assert (found.cause, found.is_proven) == ("another_secret", False)
    found = explained({"timestamp": T}, "0" * 40, {"folder": "f"})
    assert (found.cause, found.is_proven, found.signed_string) == ("unknown", False, "")
    assert "differ in folder" in found.evidence
    assert "not proven" in str(found)


def test_stale_requests_tell_a_wrong_clock_from_a_late_upload(
    explained: Callable[..., SignatureExplanation], kit: mt.MediaToolkit, secret: str
) -> None:
    for offset, cause in ((-7200, "clock_skew"), (-5000, "expired"), (5000, "clock_skew")):
        sent = {"timestamp": str(now() + offset)}
        found = explained(sent, sha1(string(sent) + secret))
        assert (found.cause, found.is_proven) == (cause, True), found
        assert sent["timestamp"] in found.evidence
    message = "Stale request - reported time is 2020-01-01 00:00:00 +0000 which is more than 1 hour"
    fresh = kit.explain_signature({"timestamp": now()}, message)
    assert fresh.cause == "clock_skew"
    assert "which is fresh" in fresh.evidence


def test_python_values_are_read_as_this_toolkit_would_sign_them(kit: mt.MediaToolkit) -> None:
    sent = {"timestamp": int(T), "tags": ["a", "b"], "overwrite": True, "context": {"k": "v"}}
    found = kit.explain_signature(sent | {"file": b"..", "folder": None}, "Unknown API key 9")
    assert found.cause == "unknown_key"
    assert found.our_string == f"context=k=v&overwrite=1&tags=a,b&timestamp={T}"


def test_without_parameters_cloudinarys_string_is_enough(kit: mt.MediaToolkit, secret: str) -> None:
    message = f"Invalid Signature {sha1(f'timestamp={T}{secret}')}. String to sign - "
    found = kit.explain_signature({}, message + f"'source=uw&timestamp={T}'.")
    assert (found.cause, found.our_string) == ("unsigned_parameter", f"source=uw&timestamp={T}")
    assert str(found).count("source=uw") == 2


def test_a_secret_that_was_sent_as_a_parameter_is_not_repeated(secret: str) -> None:
    sent = {"timestamp": T, "api_secret": secret}
    message = (
        f"Invalid Signature {sha1(f'timestamp={T}{secret}')}. String to sign - '{string(sent)}'."
    )
    account = CloudAccount("c", "k", secret)
    found = explain(sent, message, account)
    assert found.cause == "unsigned_parameter"
    assert secret not in str(found)
    assert "api_secret=<secret>" in found.cloudinary_string


def test_an_account_that_reads_ampersands_in_the_other_version_is_told(secret: str) -> None:
    account = CloudAccount("c", "k", secret)
    plain, escaped = f"tags=a&b&timestamp={T}", f"tags=a%26b&timestamp={T}"
    for signed, received, version in ((plain, escaped, 1), (escaped, plain, 2)):
        message = f"Invalid Signature {sha1(signed + secret)}. String to sign - '{received}'."
        found = explain({"tags": "a&b", "timestamp": T}, message, account)
        assert (found.cause, found.signed_string) == ("encoding", signed)
        assert f"signature version {version}" in found.evidence
