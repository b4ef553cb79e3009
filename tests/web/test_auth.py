"""With `[auth]` a browser is known by Streamlit's cookie, a program by the issuer's token."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import RSAKey


def status(team: Any, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.get(f"{team.url}/generate-signature", headers=headers, timeout=30)
    if answer.status_code == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert not token or token not in answer.text
    return answer.status_code


def test_only_the_browser_that_signed_in_gets_a_signature(team: Any) -> None:
    def ask(cookies: dict[str, str]) -> int:
        url = f"{team.url}/generate-signature"
        return requests.get(url, cookies=cookies, timeout=30).status_code

    assert ask(team.cookie(email="ana@example.org")) == 200
    assert ask({}) == 401
    assert ask(team.cookie("another-secret-of-at-least-32-chars", email="a@b.c")) == 401
    assert ask(team.cookie(email="ana@example.org", origin="http://evil.example")) == 401
    assert ask(team.cookie(email="ana@example.org", is_logged_in=False)) == 401
    for rubbish in ("[]", "{", '"text"', "null", "1"):
        assert ask({"_streamlit_user": team.signed_cookie(rubbish)}) == 401
    assert ask({"_streamlit_user": "chunks-99999", "_streamlit_user_1": "x"}) == 401
    assert ask({"_streamlit_user": "rubbish"}) == 401


def test_a_token_of_the_issuer_is_its_bearer(team: Any, kit: Any) -> None:
    assert status(team, team.issuer.token("bo@example.org")) == 200
    assert kit.acting_as("bo@example.org").intents()["user_id"].tolist() == ["bo@example.org"]


def test_a_token_that_has_expired_is_refused(team: Any) -> None:
    assert status(team, team.issuer.signed(exp=int(time.time()) + 5)) == 200
    assert status(team, team.issuer.signed(exp=int(time.time()) - 120)) == 401
    assert status(team, team.issuer.signed(nbf=int(time.time()) + 120)) == 401


def test_a_token_for_another_program_is_refused(team: Any) -> None:
    assert status(team, team.issuer.token("bo@example.org", audience="another")) == 401


def test_a_token_of_another_issuer_is_refused(team: Any, another_issuer: Any) -> None:
    assert status(team, another_issuer.token("bo@example.org")) == 401
    # With our issuer's name, yet the other's key; and the other way round.
    assert status(team, another_issuer.signed(iss=team.issuer.url)) == 401
    assert status(team, team.issuer.signed(iss=another_issuer.url)) == 401


def test_a_token_signed_with_another_key_under_the_same_id_is_refused(team: Any) -> None:
    assert status(team, team.issuer.signed(key=RSAKey.generate_key(2048))) == 401


def test_algorithms_without_the_issuers_key_are_refused(team: Any) -> None:
    claims = {"iss": team.issuer.url, "aud": "mt", "sub": "x", "exp": int(time.time()) + 600}

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    for name in ("none", "None", "NONE"):
        assert status(team, f"{part({'alg': name})}.{part(claims)}.") == 401
    # The public key, which everybody has, as the secret of an HMAC.
    signed = f"{part({'alg': 'HS256', 'kid': team.issuer.key.kid})}.{part(claims)}"
    digest = hmac.digest(team.issuer.key.as_pem(private=False), signed.encode(), "sha256")
    made = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert status(team, f"{signed}.{made}") == 401
    # The issuer's own key, yet an algorithm that it does not announce.
    assert status(team, team.issuer.signed(alg="PS256")) == 401


def test_a_token_that_was_tampered_with_is_refused(team: Any) -> None:
    header, payload, signature = team.issuer.token("bo@example.org").split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    other = base64.urlsafe_b64encode(
        json.dumps({**claims, "email": "root@example.org"}).encode()
    ).rstrip(b"=").decode()  # fmt: skip
    assert status(team, f"{header}.{other}.{signature}") == 401
    assert status(team, f"{header}.{payload}.{signature[:-4]}AAAA") == 401
    assert status(team, f"{header}.{payload}") == 401
    assert status(team, "rubbish") == 401
    assert status(team, "") == 401
    assert status(team, "a" * 20_000) == 401


def test_a_token_lacking_claims_is_refused(team: Any) -> None:
    for missing in ("exp", "aud", "iss", "sub"):
        assert status(team, team.issuer.signed(**{missing: None})) == 401


def test_a_refused_token_is_not_passed_over_for_a_cookie(team: Any) -> None:
    answer = requests.get(
        f"{team.url}/generate-signature",
        headers={"Authorization": "Bearer rubbish"},
        cookies=team.cookie(email="ana@example.org"),
        timeout=30,
    )
    assert answer.status_code == 401


@pytest.mark.parametrize("is_verified", [False, "false", None])
def test_an_address_that_nobody_verified_is_no_identity(
    team: Any, kit: Any, is_verified: Any
) -> None:
    token = team.issuer.signed(sub="s-1", email="root@example.org", email_verified=is_verified)
    assert status(team, token) == 200
    assert kit.acting_as("s-1").intents()["user_id"].tolist() == ["s-1"]
    assert kit.acting_as("root@example.org").intents(user_id="root@example.org").empty


def test_keys_are_cached_and_an_unknown_one_is_looked_for_once_in_a_while(
    issuer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from media_toolkit.web.auth import bearer
    from media_toolkit.web.refusals import NotSignedIn

    asked: list[str] = []
    document = bearer.Issuer._document

    def counted(self: Any, url: str) -> Any:
        asked.append(url)
        return document(self, url)

    monkeypatch.setattr(bearer.Issuer, "_document", counted)
    known = bearer.Issuer(f"{issuer.url}/.well-known/openid-configuration")
    for _ in range(3):
        assert known.verified(issuer.token("bo@example.org"), "mt")["sub"] == "bo@example.org"
    assert len(asked) == 2
    foreign = RSAKey.generate_key(2048)
    header = {"alg": "RS256", "kid": "rotated"}
    token = jwt.encode(header, {"sub": "x"}, foreign)
    for _ in range(3):
        with pytest.raises(NotSignedIn):
            known.verified(token, "mt")
    assert len(asked) == 2
    monkeypatch.setattr(bearer, "LOOK_AGAIN_S", 0)
    with pytest.raises(NotSignedIn):
        known.verified(token, "mt")
    assert len(asked) == 4


def test_an_issuer_that_is_away_is_503_and_not_a_way_in() -> None:
    from media_toolkit.web.auth import bearer
    from media_toolkit.web.refusals import IssuerUnavailable

    away = bearer.Issuer("http://127.0.0.1:9/.well-known/openid-configuration")
    token = jwt.encode({"alg": "RS256"}, {"sub": "x"}, RSAKey.generate_key(2048))
    for _ in range(2):
        with pytest.raises(IssuerUnavailable) as told:
            away.verified(token, "mt")
        assert told.value.http_status == 503
