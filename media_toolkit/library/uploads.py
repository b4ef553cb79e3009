"""What comes in: Cloudinary first, then the row."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from media_toolkit import media, naming
from media_toolkit.asset import RESOURCE_TYPES, Asset
from media_toolkit.cloud.client import CloudClient
from media_toolkit.cloud.names import check_kind, check_name
from media_toolkit.cloud.signing import SignedUpload, sign_upload, verify_response
from media_toolkit.cloud.transformation import delivery_url
from media_toolkit.errors import (
    Conflict,
    NotFound,
    SignatureError,
    StoreError,
    UploadError,
)
from media_toolkit.identity import Identity
from media_toolkit.store.asset_ids import AssetIds
from media_toolkit.store.assets import AssetStore
from media_toolkit.store.claims import Claims
from media_toolkit.store.intents import IntentStore
from media_toolkit.store.saving import Overtaken, asked_again

if TYPE_CHECKING:
    from media_toolkit.media import Source

# After it was sent, a row is in the table within this; an import saves some at a time.
_UNTIL_SAVED_S = 0.6
UNTIL_IMPORTED_S = 6.0
# A version is of whole seconds, by Cloudinary's clock.
_OF_A_SECOND_S = 1.0
_FIRST_LOOK_AFTER_S = 0.1


class Uploads:
    """Sends, signs for others, and saves what Cloudinary confirms."""

    def __init__(
        self,
        client: CloudClient,
        store: AssetStore,
        intents: IntentStore,
        claims: Claims,
        asset_ids: AssetIds,
    ) -> None:
        self._client = client
        self._store = store
        self._intents = intents
        self._claims = claims
        self._asset_ids = asset_ids
        self._unsaved: set[tuple[str, str | None, int | None]] = set()

    def send(
        self,
        thing: media.Media,
        identity: Identity,
        resource_type: str | None = None,
        **options: Any,
    ) -> Asset:
        """Check and upload; the row is the caller's to save.

        Raises:
            UnsupportedMedia: nothing was sent. UploadError: Cloudinary refused it.
        """
        kind = media.kind_to_send(thing, resource_type, options)
        filename = options.pop("filename", None) or thing.filename
        if isinstance(thing.data, bytes) and kind != "raw":
            media.check_whole(thing.data, media.label_of(filename, options))
        response = self._client.upload(thing.data, filename, kind, **options)
        verify_response(response, self._client.account.api_secret.get_secret_value())
        return Asset.from_response(response, identity.user_id)

    def send_new(
        self,
        thing: media.Media,
        identity: Identity,
        resource_type: str | None = None,
        until_saved_s: float = _UNTIL_SAVED_S,
        **options: Any,
    ) -> Asset:
        """As `send`, by a name that is not known to be the caller's: so first without overwriting.
        Another may be uploading it at this moment, and only Cloudinary knows the name it makes of
        a file's, or with a prefix or an upload preset.

        Args:
            until_saved_s: how long after it was sent the row of another's upload is waited for.

        Raises:
            Conflict: it is another user's by now, or was signed for one and has no row yet;
                nothing of theirs was replaced.
            UnsupportedMedia, UploadError: as `send`.
        """
        asset = self.send(thing, identity, resource_type, **{**options, "overwrite": False})
        if not asset.raw.get("existing") or not naming.is_on(options.get("overwrite"), True):
            return asset
        named = {"public_id": asset.public_id, "type": asset.delivery_type}
        most_s, wait_s = until_saved_s + _OF_A_SECOND_S, _FIRST_LOOK_AFTER_S
        left_s = (asset.version or 0) + most_s - self._client.now()
        if _upload_of(asset, identity) in self._unsaved:
            left_s = 0.0
        end = time.monotonic() + min(left_s, most_s)
        while True:
            self._refuse_foreign(named, identity)
            if self._store.owns(_names(named), identity):
                break
            if self._intents.is_signed_for_another(asset, identity):
                raise Conflict(
                    f"{asset} is in Cloudinary, and signed for another user to upload",
                    hint="choose another public_id, or ask an admin",
                    ids=(asset.public_id,),
                )
            if (left_s := end - time.monotonic()) <= 0:
                break
            wait_s = min(2 * wait_s, left_s)
            time.sleep(wait_s)
        # By the same options, which have just come to this name, whatever made it of them.
        return self.send(thing, identity, resource_type, **options)

    def send_named(
        self,
        thing: media.Media,
        identity: Identity,
        resource_type: str | None = None,
        until_saved_s: float = _UNTIL_SAVED_S,
        is_known: bool = True,
        **options: Any,
    ) -> Asset:
        """As `send`, and nothing is replaced but an asset of the caller's own, or nobody's.

        Args:
            until_saved_s: as in `send_new`.
            is_known: False where the caller has no row of the name.

        Raises:
            Conflict: the name is another user's; nothing of theirs was replaced.
            InvalidName: nothing was sent. UnsupportedMedia, UploadError: as `send`.
            StoreError: Postgres is only to be read here; nothing was sent.
        """
        _check_naming(options)
        self._store.refuse_read_only(identity)
        if naming.is_random(options):
            return self.send(thing, identity, resource_type, **options)
        self._refuse_foreign(options, identity)
        if is_known and naming.is_certain(options):
            kind = media.kind_to_send(thing, resource_type, options)
            if self._store.owns(_names(options, kind), identity):
                return self.send(thing, identity, resource_type, **options)
        return self.send_new(thing, identity, resource_type, until_saved_s, **options)

    def upload(
        self, source: Source, identity: Identity, resource_type: str | None = None, **options: Any
    ) -> Asset:
        """Upload to Cloudinary, then save the row.

        Raises:
            UploadError and its kinds: nothing was stored.
            Conflict: the public_id is another user's; nothing of theirs was replaced.
            StoreError: the asset is in Cloudinary, the row is missing, and the hint says so; or
                Postgres is only to be read here, and nothing was sent.
        """
        thing, began = media.read_source(source), time.monotonic()
        asset = self.send_named(thing, identity, resource_type, **options)
        try:
            return self.keep(asset, identity, began)
        except NotFound:
            raise  # purged meanwhile: it is in Cloudinary no more
        except StoreError as error:
            self.note_unsaved(asset, identity)
            error.hint = f"{asset} is in Cloudinary already: save it again. {error.hint}".strip()
            error.ids = (*error.ids, asset.public_id)
            raise

    def keep(self, asset: Asset, identity: Identity, began: float) -> Asset:
        """Save the row of what was just sent: its sender's, whoever told of it first.

        Args:
            began: `time.monotonic()` of before it was sent.

        Raises:
            Conflict: it is another user's. NotFound: it was purged meanwhile. StoreError,
            Unavailable: as `AssetStore.save`.
        """
        # Of what stood there already nothing was sent: Cloudinary told of it as it is.
        is_senders = not asset.raw.get("existing")
        asked_at = None if is_senders else began
        try:
            saved = self._store.save(asset, identity, revive=True, asked_at=asked_at)
        except Overtaken:
            # What was changed here meanwhile stays, as after an upload's own answer.
            saved = self._store.save(asset, identity, revive=True)
        except Conflict:
            is_so = is_senders and self._claims.claim_sent(asset, identity)
            is_so = is_so or self._asset_ids.give(asset, identity, is_senders=is_senders)
            if not is_so and not (is_senders and self._succeeds(asset, identity)):
                raise
            saved = self._store.save(asset, identity, revive=True, asked_at=asked_at)
        if saved.identity == asset.identity or (saved.version or 0) >= (asset.version or 0):
            return saved
        # Renamed meanwhile: what it is by now, Cloudinary tells.
        with suppress(Conflict, NotFound, Overtaken, UploadError):
            if saved.asset_id == asset.asset_id:
                return self._save_as_it_is(saved, identity)
        return saved

    def _save_as_it_is(self, asset: Asset, identity: Identity) -> Asset:
        def ask(asked_at: float) -> Asset:
            known = self._as_it_is(asset)
            return self._store.save(known, identity, revive=True, asked_at=asked_at)

        return asked_again(ask)

    def _succeeds(self, asset: Asset, identity: Identity) -> bool:
        """Whether Cloudinary has this asset where another user's row is of one that has gone.

        That row then makes way, so that a second try saves it.

        Raises:
            Conflict: as `AssetStore.make_way`.
        """
        try:
            known = self._client.explicit(asset.public_id, asset.resource_type, asset.delivery_type)
        except NotFound:
            return False
        now = Asset.from_response(known, identity.user_id)
        if asset.asset_id is None or now.asset_id != asset.asset_id:
            return False
        return self._store.make_way(now, identity.user_id)

    def note_unsaved(self, asset: Asset, identity: Identity) -> None:
        """Know later whose upload it is that has no row; not of what stood there already."""
        if not asset.raw.get("existing"):
            self._unsaved.add(_upload_of(asset, identity))

    def save(self, response: Mapping[str, Any], identity: Identity) -> Asset:
        """Save what a browser or another program says it uploaded, once it is shown to be true.

        With `signature` and `version` the answer is verified locally, yet only public_id and
        version are covered by it: so Cloudinary is asked for the rest either way.

        Raises:
            SignatureError: when the signature is wrong or fields are missing.
            NotFound: when Cloudinary never saw it. Conflict: when it is somebody else's, or was
                signed for somebody else.
        """
        claimed = Asset.from_response(response, identity.user_id)
        is_proven = bool(response.get("signature"))
        if is_proven:
            verify_response(response, self._client.account.api_secret.get_secret_value())
        seen: Asset | None = None

        def ask(asked_at: float) -> Asset:
            nonlocal seen
            # Replaced meanwhile, its URL may be another's than that of the upload.
            seen = self.confirm(claimed) if seen is None else self._as_it_is(seen)
            version = claimed.version if is_proven else None
            return self._save_confirmed(seen, identity, is_proven, version, asked_at)

        return asked_again(ask)

    def _save_confirmed(
        self,
        asset: Asset,
        identity: Identity,
        is_proven: bool,
        proven_version: int | None,
        asked_at: float,
    ) -> Asset:
        self.refuse_anothers(asset, identity, is_proven)
        try:
            saved = self._store.save(asset, identity, revive=True, asked_at=asked_at)
        except Conflict:
            intent = self._intents.find(asset, "save", identity)
            if intent is None and is_proven:
                intent = self._intents.find_guessed(asset, identity)
            is_senders = intent is not None
            is_claimed = self._claims.claim(asset, identity) or (
                is_proven
                and proven_version == asset.version
                and intent is not None
                and intent.is_before(asset)
                and self._claims.claim_proven(asset, identity)
            )
            is_so = is_claimed or self._asset_ids.give(asset, identity, is_senders=is_senders)
            is_senders = asset.asset_id is not None and (is_senders or is_proven)
            if not is_so and not (is_senders and self._store.make_way(asset, identity.user_id)):
                raise
            saved = self._store.save(asset, identity, revive=True, asked_at=asked_at)
        self._intents.settle(asset, "save", identity)
        return saved

    def refuse_anothers(self, asset: Asset, identity: Identity, is_proven: bool) -> None:
        """Say before a save that this upload was signed for somebody else, who has not saved it.

        Who shows Cloudinary's signed answer has sent it, where a signature of theirs fits; of
        a name that only others had signed that is no proof either, nor where the caller signed it
        after it came and others before: what is there already is answered with a signature too.
        An admin may save anything.

        Args:
            is_proven: the answer's signature was verified.

        Raises:
            Conflict: it is another's, or may be.
        """
        if identity.role == "admin":
            return
        found = self._intents.contenders(asset, identity)
        others = [intent for intent in found if intent.user_id != identity.user_id]
        before = {one.user_id for one in found if one.is_settled or one.is_before(asset)}
        has_signed = len(others) < len(found)
        is_late = is_proven and has_signed and bool(before) and identity.user_id not in before
        is_fitting = has_signed and not is_late
        is_named = any(intent.is_settled or intent.public_id for intent in others)
        if not others or (is_proven and not is_late and (is_fitting or not is_named)):
            return
        if self.is_own(asset, identity):
            return
        if is_fitting:
            raise Conflict(
                f"{asset} may be an upload of another user, who had the same signed",
                hint="save the whole of Cloudinary's answer, with its signature and version",
                ids=(asset.public_id,),
            )
        self._store.refuse_foreign([asset.identity], identity)
        raise Conflict(
            f"{asset} was uploaded by another user",
            hint="save what you uploaded yourself",
            ids=(asset.public_id,),
        )

    def is_own(self, asset: Asset, identity: Identity) -> bool:
        """Whether the caller has a row of that name, not deleted."""
        found = self._store.by_identity(
            asset.resource_type, [asset.public_id], identity, asset.delivery_type
        )
        known = found.get(asset.public_id)
        return known is not None and known.user_id == identity.user_id

    def confirm(self, claimed: Asset) -> Asset:
        """The asset as Cloudinary itself tells of it; the claim's user.

        By the Upload API's `explicit`, which has no limit of calls an hour.

        Raises:
            NotFound: Cloudinary never saw it. SignatureError: the claimed URL is another's.
            Conflict: another asset has the name by now.
        """
        asset = self._as_it_is(claimed)
        self._check_url(claimed, asset)
        return asset

    def _as_it_is(self, asset: Asset) -> Asset:
        """What Cloudinary tells of it now. Raises NotFound; Conflict: another has the name."""
        known = self._client.explicit(asset.public_id, asset.resource_type, asset.delivery_type)
        now = Asset.from_response(known, asset.user_id)
        if None not in (asset.asset_id, now.asset_id) and asset.asset_id != now.asset_id:
            raise Conflict(
                f"another asset has the name of {asset} in Cloudinary by now",
                hint="this one was renamed or deleted since: kit.reconcile saves it where it is",
                ids=(asset.public_id,),
            )
        return now

    def sign_upload(
        self, identity: Identity, resource_type: str = "auto", **options: Any
    ) -> SignedUpload:
        """Sign one upload for somebody else to send, and write down that it is to come.

        overwrite=false is signed too, whatever is asked for, unless the name is that of an asset
        of the caller's: until the upload comes, another may have it.

        Raises:
            UploadError: for an unknown option. InvalidName: for a public_id or folder.
            Conflict: the public_id is another user's, which the upload would overwrite.
            StoreError: the intent could not be written; nothing is handed out.
        """
        check_kind(resource_type, options.get("type"))
        _check_naming(options)
        asks = naming.is_on(options.get("overwrite"), True)
        if not (asks and self.spares_others(options, identity)) and naming.may_meet(options):
            options["overwrite"] = False
        return self.sign_exactly(identity, resource_type, **options)

    def sign_exactly(self, identity: Identity, resource_type: str, **options: Any) -> SignedUpload:
        """As `sign_upload`, these options and no other: what they overwrite is not looked at."""
        check_kind(resource_type, options.get("type"))
        _check_naming(options)
        signed = sign_upload(self._client.account, resource_type, **options)
        self._intents.open(identity, signed.fields, signed.expires_at)
        return signed

    def spares_others(self, options: Mapping[str, Any], identity: Identity) -> bool:
        """Whether an upload may overwrite: it meets nothing but the caller's own, for certain.

        Raises:
            Conflict: it would overwrite another user's.
        """
        if not naming.may_meet(options):
            return True
        self._refuse_foreign(options, identity)
        return naming.is_certain(options) and self._store.owns(_names(options), identity)

    def _refuse_foreign(self, options: Mapping[str, Any], identity: Identity) -> None:
        """Before sending: Cloudinary overwrites by default, and knows nothing of our owners."""
        if names := _names(options):
            self._store.refuse_foreign(names, identity)

    def _check_url(self, claimed: Asset, asset: Asset) -> None:
        """The claimed URL must be this asset's: a mismatch means the caller mixed two up.

        What is stored is Cloudinary's own URL in any case, so host and scheme do not matter here.
        """
        if _path(claimed.media_url) not in (
            _path(asset.media_url),
            _path(delivery_url(self._client.account, asset)),
        ):
            raise SignatureError(
                f"secure_url is not the URL of {asset.public_id}",
                hint="send secure_url as the upload answered it",
                ids=(asset.public_id,),
            )


def _names(options: Mapping[str, Any], *kinds: str) -> list[tuple[str, str, str]]:
    """What an upload may come to be called: (resource_type, delivery_type, public_id) each."""
    public_id = naming.full_name(options)
    delivery_type = str(options.get("type") or "upload")
    return [(kind, delivery_type, public_id) for kind in kinds or RESOURCE_TYPES if public_id]


def _upload_of(asset: Asset, identity: Identity) -> tuple[str, str | None, int | None]:
    return identity.user_id, asset.asset_id, asset.version


def _check_naming(options: Mapping[str, Any]) -> None:
    check_name(options.get("public_id"), options.get("folder"))
    check_name(naming.full_name(options))


def _path(url: str) -> str:
    """The path without its version: an overwrite between upload and save changes that."""
    parts = unquote(urlsplit(url).path).split("/")
    return "/".join(part for part in parts if not (part[:1] == "v" and part[1:].isdigit()))
