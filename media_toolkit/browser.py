"""Uploads by browsers: signed within the policy, saved once they are shown to be true."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import unquote

from media_toolkit import naming
from media_toolkit.asset import Asset
from media_toolkit.cloud.names import check_name
from media_toolkit.cloud.signing import SignedUpload, verify_response
from media_toolkit.cloud.transformation import delivery_url
from media_toolkit.errors import Conflict, NotFound, PolicyError
from media_toolkit.identity import Identity
from media_toolkit.library.uploads import Uploads
from media_toolkit.policy import UploadPolicy
from media_toolkit.settings import CloudAccount
from media_toolkit.store.arrivals import Arrival, ArrivalStore
from media_toolkit.store.asset_ids import AssetIds
from media_toolkit.store.assets import AssetStore
from media_toolkit.store.claims import Claims
from media_toolkit.store.intent import LEEWAY, Intent, uploaded_at
from media_toolkit.store.intents import IntentStore

# An answer proves its upload for as long as a signature lives, and as long again for the file;
# the asset of an older one may be gone by now.
TAKEN_AT_ITS_WORD_S = 7200
# A timestamp of the caller's own: within what two clocks may differ.
CLOCK_SKEW_S = 300
_log = logging.getLogger("media_toolkit")


class BrowserUploads:
    """What the HTTP API does for pages, which hold no secret and are not believed."""

    def __init__(
        self,
        account: CloudAccount,
        policy: UploadPolicy,
        uploads: Uploads,
        assets: AssetStore,
        intents: IntentStore,
        claims: Claims,
        arrivals: ArrivalStore,
        asset_ids: AssetIds,
    ) -> None:
        self._account = account
        self._policy = policy
        self._uploads = uploads
        self._assets = assets
        self._intents = intents
        self._claims = claims
        self._arrivals = arrivals
        self._asset_ids = asset_ids

    def sign(self, wanted: Mapping[str, Any] | None, identity: Identity) -> SignedUpload:
        """Sign one upload, and write down that it is to come.

        Args:
            wanted: upload options. None is the guide's plain call, which signs the timestamp
                alone where the policy allows that. Otherwise a random public_id is signed
                unless one is chosen, so that the signature is good for one asset. With a
                `timestamp` exactly these strings are signed, as Cloudinary's widget needs it.

        Raises:
            PolicyError: for what the policy does not allow; nothing is written.
            Conflict: it would overwrite another user's asset. UploadError: unknown option.
        """
        options = dict(wanted or {})
        resource_type = self._policy.resource_type_for(str(options.pop("resource_type", "auto")))
        if wanted is None and self._policy.forces_nothing:
            return self._uploads.sign_upload(identity, resource_type)
        timestamp = options.pop("timestamp", None)
        if timestamp is not None and abs(int(timestamp) - time.time()) > CLOCK_SKEW_S:
            raise PolicyError(
                "the timestamp is not the present one",
                hint="set this machine's clock, or leave the timestamp out",
            )
        exact = timestamp is not None
        options = self._policy.permit(options, identity.user_id, exact=exact)
        if not exact and naming.is_random(options):
            options |= {"public_id": secrets.token_hex(10), "overwrite": False}
        if not exact:
            return self._uploads.sign_upload(identity, resource_type, **options)
        spares = naming.is_random(options) or not naming.is_on(options.get("overwrite"), True)
        if not spares and not self._uploads.spares_others(options, identity):
            raise PolicyError(
                "the name is not of an asset of yours: it needs overwrite=false beside it",
                hint=self._policy.describe(identity.user_id),
            )
        return self._uploads.sign_exactly(
            identity, resource_type, timestamp=int(timestamp), **options
        )

    def save(self, response: Mapping[str, Any], identity: Identity) -> Asset:
        """Save what a page says it uploaded, once it is shown to be true.

        A fresh answer with a right signature is not asked about again, unless its URL is not
        the one that follows from it, the policy limits what no signature covers, or another's
        row has its asset_id. Otherwise Cloudinary tells what is so.

        Raises:
            SignatureError: a wrong signature, missing fields, another asset's URL.
            PolicyError: it is not what was signed. NotFound: Cloudinary never saw it,
                or it was purged since.
            Conflict: it is somebody else's, or may be: without Cloudinary's signature a
                signature of another's that fits as well stands against it.
        """
        claimed = Asset.from_response(response, identity.user_id)
        check_name(claimed.public_id)
        if response.get("signature"):
            verify_response(response, self._account.api_secret.get_secret_value())
            if self._is_proof(claimed):
                return self._keep(claimed, identity, is_proven=True, is_present=True)
        is_proven = bool(response.get("signature"))
        known = self._confirmed(claimed)
        return self._keep(known, identity, is_proven, is_present=known.version == claimed.version)

    def _confirmed(self, claimed: Asset) -> Asset:
        known = self._uploads.confirm(claimed)
        return replace(known, media_url=delivery_url(self._account, known))

    def _is_proof(self, claimed: Asset) -> bool:
        if self._policy.needs_facts or claimed.version is None:
            return False
        is_fresh = abs(time.time() - claimed.version) < TAKEN_AT_ITS_WORD_S
        return is_fresh and unquote(claimed.media_url) == unquote(
            delivery_url(self._account, claimed)
        )

    def _keep(self, asset: Asset, identity: Identity, is_proven: bool, is_present: bool) -> Asset:
        """`is_present`: the answer is that of the version which is there now."""
        if not is_proven:
            self._uploads.refuse_anothers(asset, identity, is_proven)
        if self._arrivals.save(Arrival(asset, identity, partial(self._fits, asset, identity))):
            return asset
        if is_proven:
            self._uploads.refuse_anothers(asset, identity, is_proven)
        intent = self._intent_of(asset, identity, is_proven)
        wrong = self._policy.objections(
            asset, identity.user_id, intent.parameters if intent is not None else None
        )
        if wrong:
            raise self._refused(asset, identity, wrong)
        try:
            saved = self._assets.save(asset, identity, revive=True)
        except Conflict:
            is_claimed = self._claims.claim(asset, identity) or (
                is_proven
                and is_present
                and intent is not None
                and intent.is_before(asset)
                and self._claims.claim_proven(asset, identity)
            )
            if not is_claimed and not self._gets_its_place(asset, identity, intent is not None):
                raise
            saved = self._assets.save(asset, identity, revive=True)
        if intent is not None and not intent.is_settled:
            self._intents.settle(asset, "save", identity)
        return saved

    def _gets_its_place(self, asset: Asset, identity: Identity, is_senders: bool) -> bool:
        try:
            known = self._confirmed(asset)
        except NotFound:
            return False
        return self._asset_ids.give(known, identity, is_senders=is_senders) or (
            is_senders
            and known.asset_id is not None
            and known.asset_id == asset.asset_id
            and self._assets.make_way(known, identity.user_id)
        )

    def _fits(self, asset: Asset, identity: Identity, signed: Mapping[str, str]) -> bool:
        return not self._policy.objections(asset, identity.user_id, signed)

    def _intent_of(self, asset: Asset, identity: Identity, is_proven: bool) -> Intent | None:
        """The signature that this upload came by, where it can be told.

        Raises:
            PolicyError: the caller's signatures of that time were all for something else.
        """
        found = self._intents.find(asset, "save", identity)
        if found is not None and found.user_id == identity.user_id:
            return found
        guessed = self._intents.find_guessed(asset, identity) if is_proven else None
        if guessed is not None:
            return guessed
        moment = uploaded_at(asset)
        open_then = [
            intent
            for intent in self._intents.unsettled(identity, identity.user_id, limit=100)
            if intent.signed_at - LEEWAY <= moment <= intent.expires_at + LEEWAY
        ]
        if open_then and not self._uploads.is_own(asset, identity):
            newest = open_then[0].parameters
            wrong = self._policy.objections(asset, identity.user_id, newest)
            raise self._refused(asset, identity, wrong or ["its name is not the signed one"])
        return None

    def _refused(self, asset: Asset, identity: Identity, wrong: list[str]) -> PolicyError:
        # It is in Cloudinary all the same: whoever keeps the account should know.
        _log.warning(
            "%s of %s was uploaded and is not saved, %s: %s",
            asset,
            identity.user_id,
            f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}",
            "; ".join(wrong),
        )
        return PolicyError(
            f"{asset} is not what was signed: {'; '.join(wrong)}",
            hint="it stays in Cloudinary and is not saved; upload it anew with a signature for it",
            ids=(asset.public_id,),
        )
