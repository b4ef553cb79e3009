"""Uploads: sent, signed for others, saved, imported and heard of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from media_toolkit.asset import Asset
from media_toolkit.errors import IngestError
from media_toolkit.toolkit.parts import Parts

if TYPE_CHECKING:
    import pandas as pd

    from media_toolkit.cloud.signing import SignedUpload
    from media_toolkit.ingest.report import IngestReport
    from media_toolkit.media import Source
    from media_toolkit.store.assets import SaveReport


class Uploading(Parts):
    """How assets come in."""

    def upload(self, source: Source, *, resource_type: str | None = None, **options: Any) -> Asset:
        """Upload one asset and save its row.

        Args:
            source: path, http(s) URL, bytes, binary file object or PIL image.
            resource_type: image, video, raw or auto; decided from the content unless given.
            options: the SDK's upload options: public_id, folder, tags, context, overwrite …;
                and `filename`, for bytes that have no name. By whatever options a name comes
                about, also with overwrite=True, no other user's asset is replaced.

        Raises:
            UnsupportedMedia, InvalidName, TooLarge: nothing was sent or stored.
            Conflict: the name belongs to another user; nothing of theirs was replaced.
            UploadError: Cloudinary refused. StoreError: Postgres only reads here, and nothing
                was sent; or the row is missing, and the hint says so.
        """
        return self._uploads.upload(source, self.identity, resource_type, **options)

    def save(self, response: Mapping[str, Any]) -> Asset:
        """Save what an upload elsewhere answered, once Cloudinary confirms it.

        Args:
            response: Cloudinary's JSON, or its public_id, secure_url and resource_type.

        Raises:
            SignatureError: it was not signed by this account, or lacks fields.
            NotFound: Cloudinary never saw it. Conflict: another asset has the name by now, or it
                is another user's, or was signed for one: with Cloudinary's signature it is the
                caller's who had it signed too.
        """
        return self._uploads.save(response, self.identity)

    def save_many(self, responses: Iterable[Mapping[str, Any]]) -> SaveReport:
        """Save trusted responses (own uploads, an Admin listing) without asking Cloudinary.

        What was purged here since its upload is left out, as unchanged.

        Args:
            responses: a list or generator of any number; of a generator two batches of 100,000
                are held at most. A moment without a time zone is UTC.

        Raises:
            Conflict: a row belongs to another user; its batch of 100,000 is left out.
            SignatureError: which is no response, and its field; batches before it are stored.
        """
        assets = Asset.from_responses(responses, self.identity.user_id)
        return self._store.save_many(assets, self.identity)

    def sign_upload(self, *, resource_type: str = "auto", **options: Any) -> SignedUpload:
        """Sign one upload for a browser or another program: post `.fields` and file to `.url`.

        An intent is written with it (`intents`); `save` of what comes back settles it.
        overwrite=false is signed, also where overwrite=True is asked for, unless public_id (and
        folder) are the name of an asset of the caller's now: with a prefix, an upload preset or a
        file's name without `unique_filename` it always is.

        Raises:
            UploadError: for an option that Cloudinary's upload does not have.
            InvalidName: for a public_id or folder that it does not allow.
            Conflict: the public_id is another user's, which the upload would overwrite.
        """
        return self._uploads.sign_upload(self.identity, resource_type, **options)

    def sign_for_browser(self, wanted: Mapping[str, Any] | None = None) -> SignedUpload:
        """Sign one upload for a page, within the settings' `upload_policy`.

        Args:
            wanted: upload options; None is the guide's plain call, and signs the timestamp
                alone where the policy allows that.

        Raises:
            PolicyError: the policy does not allow it. Conflict: it would overwrite another's.
        """
        return self._browser.sign(wanted, self.identity)

    def save_from_browser(self, response: Mapping[str, Any]) -> Asset:
        """Save what a page says it uploaded: its signature is verified, or Cloudinary asked.

        Raises:
            SignatureError, NotFound, Conflict: as `save`. PolicyError: it is not what was
                signed, or not what the policy allows.
        """
        return self._browser.save(response, self.identity)

    def receive_notification(self, body: bytes, timestamp: str, signature: str) -> int:
        """Apply one of Cloudinary's notifications; returns how many rows it changed.

        Args:
            body: as received. timestamp, signature: its X-Cld-Timestamp and X-Cld-Signature.

        Raises:
            SignatureError: it is not Cloudinary's, or not of now. Conflict: it came before.
        """
        return self._notifications.receive(body, timestamp, signature)

    def connect_notifications(self, url: str) -> list[str]:
        """Have Cloudinary tell `url` (…/webhooks/cloudinary) what happens to assets.

        Returns the event types that were not told there before. Costs one Admin API call, and
        one for each of those.
        """
        return self._notifications.connect(url)

    def intents(
        self, *, settled: bool | None = False, user_id: str | None = None, limit: int = 1_000
    ) -> pd.DataFrame:
        """Uploads that were signed, newest first: unless asked otherwise, those that never came.

        Args:
            settled: False for those without an upload, True for those with one, None for both.
            user_id: only whose. An admin sees everybody's, others their own.

        Returns:
            Columns id, user_id, created_at, signed_at, expires_at, settled_at, settled_by
            (save, notification or reconcile), public_id (where one was signed), parameters
            (what was signed), asset_id, asset_public_id, asset_resource_type,
            asset_delivery_type, asset_version (what settled it). id and asset_version are
            Int64, times datetime64[us, UTC], parameters dicts, the rest str.

        Raises:
            FilterError: for a value that cannot be read.
        """
        return self._intents.frame(self.identity, settled, user_id, limit)

    def ingest(
        self,
        source: str | Path,
        *,
        folder: str = "",
        recursive: bool = True,
        threads: int = 8,
        progress: bool = True,
        **options: Any,
    ) -> IngestReport:
        """Import a folder of pictures and videos. A second run sends only what changed.

        Args:
            source: the folder on this machine.
            folder: put before every public_id, e.g. "spring/2026".
            threads: parallel uploads. progress: show a bar.
            options: upload options for every file: tags, context, resource_type="raw" …

        Raises:
            IngestError: when the folder cannot be read. FilterError: threads below one.
            StoreError: Postgres only reads here, and nothing was sent. A file that is refused is
                no error here: the report says why.
        """
        from media_toolkit.ingest.runner import Runner

        unfit = sorted({"public_id", "filename"} & set(options))
        if unfit:
            raise IngestError(
                f"{', '.join(unfit)} cannot be the same for every file",
                hint="public_ids come from the files' paths; folder= goes before them",
            )
        runner = Runner(self._uploads, self._store, self.identity, threads)
        return runner.run(Path(source).expanduser(), folder, recursive, progress, **options)
