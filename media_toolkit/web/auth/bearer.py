"""`Authorization: Bearer <JWT>`, verified against the keys that the OIDC issuer publishes.

The issuer and the audience are those of Streamlit's `[auth]` section, so that dashboard and
programs sign in at the same place. joserfc checks signatures and claims.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import Any

import urllib3
from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import KeySet

from media_toolkit.settings import Settings
from media_toolkit.web.refusals import IssuerUnavailable, NotSignedIn

LEEWAY_S = 30
MAX_TOKEN_CHARS = 16_384
# Withdrawn keys are forgotten after ten minutes, or an hour while the issuer is away; unknown
# ones make us look, once in a while.
KEYS_LIVE_S = 600
KEYS_LAST_S = 3600
LOOK_AGAIN_S = 20
_MAX_DOCUMENT_BYTES = 1_000_000
# Never `none`, and none of those where the issuer's public key would be the secret.
ASYMMETRIC = frozenset(
    {
        *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
        *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
    }
)
_issuers: dict[str, Issuer] = {}
_guard = threading.Lock()


def claims_of(token: str, auth: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
    """What the issuer says of the bearer.

    Raises:
        NotSignedIn: the token is not one that this issuer signed for us, or has expired.
        IssuerUnavailable: its keys cannot be had.
    """
    url = str(auth.get("server_metadata_url", ""))
    audience = settings.audience or str(auth.get("client_id", ""))
    if not url or not audience:
        raise NotSignedIn(
            "tokens are not accepted here",
            hint="[auth] lacks server_metadata_url or client_id: sign in to the dashboard",
        )
    with _guard:
        issuer = _issuers.setdefault(url, Issuer(url))
    return issuer.verified(token, audience)


class Issuer:
    """One OIDC issuer: its name, its algorithms and its keys, kept for ten minutes."""

    def __init__(self, metadata_url: str) -> None:
        self._url = metadata_url
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(10), retries=2)
        self._guard = threading.Lock()
        self._name = ""
        self._algorithms: list[str] = []
        self._keys: KeySet | None = None
        # So that the first look is never too soon after another.
        self._fetched_at = self._looked_at = -float(KEYS_LIVE_S)

    def verified(self, token: str, audience: str) -> Mapping[str, Any]:
        """The claims of a token; NotSignedIn tells why one is not accepted."""
        if len(token) > MAX_TOKEN_CHARS:
            raise NotSignedIn("the token is too long", hint="send the ID token alone")
        keys, name, algorithms = self._known_keys(_key_id(token))
        try:
            found = jwt.decode(token, keys, algorithms=algorithms)
            jwt.JWTClaimsRegistry(
                leeway=LEEWAY_S,
                iss={"essential": True, "value": name},
                aud={"essential": True, "value": audience},
                exp={"essential": True},
                sub={"essential": True},
            ).validate(found.claims)
        except ExpiredTokenError as error:
            raise NotSignedIn("the token has expired", hint="sign in again") from error
        except (JoseError, ValueError) as error:
            # The library's own words name the claim or the algorithm, never the token.
            said = getattr(error, "description", "") or type(error).__name__
            raise NotSignedIn(
                f"the token is not accepted: {said}",
                hint=f"send an ID token of {name} for {audience}",
            ) from error
        return found.claims

    def _known_keys(self, key_id: str | None) -> tuple[KeySet, str, list[str]]:
        with self._guard:
            now = time.monotonic()
            is_known = self._keys is not None and (
                key_id is None or any(key.kid == key_id for key in self._keys)
            )
            if not is_known or now - self._fetched_at > KEYS_LIVE_S:
                # Whoever sends rubbish must not make us ask the issuer each time.
                if now - self._looked_at > LOOK_AGAIN_S:
                    self._looked_at = now
                    self._fetch_unless_known(is_known and now - self._fetched_at < KEYS_LAST_S)
                elif self._keys is None:
                    raise _unavailable("not yet")
            assert self._keys is not None
            return self._keys, self._name, self._algorithms

    def _fetch_unless_known(self, is_known: bool) -> None:
        try:
            self._fetch()
        except IssuerUnavailable:
            if not is_known:
                raise

    def _fetch(self) -> None:
        try:
            metadata = self._document(self._url)
            keys = KeySet.import_key_set(self._document(str(metadata["jwks_uri"])))
            name = str(metadata["issuer"])
        except (urllib3.exceptions.HTTPError, JoseError, KeyError, TypeError, ValueError) as error:
            raise _unavailable(type(error).__name__) from error
        announced = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        self._name, self._keys = name, keys
        self._algorithms = sorted(ASYMMETRIC.intersection(announced))
        self._fetched_at = time.monotonic()

    def _document(self, url: str) -> Any:
        answer = self._pool.request("GET", url, preload_content=False)
        try:
            if answer.status != 200:
                raise ValueError(f"HTTP {answer.status}")
            return json.loads(answer.read(_MAX_DOCUMENT_BYTES))
        finally:
            answer.release_conn()


def _unavailable(why: str) -> IssuerUnavailable:
    return IssuerUnavailable(
        f"the keys of the OIDC issuer cannot be had: {why}",
        hint="check server_metadata_url in [auth] and the network",
        retry_after_s=LOOK_AGAIN_S,
    )


def _key_id(token: str) -> str | None:
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError) as error:
        raise NotSignedIn(
            "the token is not a JWT", hint="send the ID token as it was issued"
        ) from error
    key_id = header.get("kid")
    return key_id if isinstance(key_id, str) else None
