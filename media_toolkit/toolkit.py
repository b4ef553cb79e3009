"""MediaToolkit: the one object an analyst holds. Every method delegates in a line or three."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from media_toolkit.asset import Asset
from media_toolkit.errors import IngestError
from media_toolkit.identity import Identity
from media_toolkit.settings import CloudAccount, Settings

if TYPE_CHECKING:
    from datetime import date, datetime, timedelta

    import pandas as pd

    from media_toolkit.cloud.signature_doctor import SignatureExplanation
    from media_toolkit.cloud.signing import SignedUpload
    from media_toolkit.doctor import Diagnosis
    from media_toolkit.embedded.stack import EmbeddedStack
    from media_toolkit.ingest.report import IngestReport
    from media_toolkit.media import Source
    from media_toolkit.notebook.gallery import Gallery
    from media_toolkit.reconcile.plan import ReconcilePlan
    from media_toolkit.store.assets import Page, SaveReport
    from media_toolkit.store.database import Database
    from media_toolkit.store.facets import Count, Facets

    Assets: TypeAlias = Asset | str | Iterable[Asset | str] | pd.DataFrame


def connect(settings: Settings | None = None, *, user_id: str | None = None) -> MediaToolkit:
    """Connect to Cloudinary and Postgres, or to the embedded stack where they are not set.

    On the embedded stack pending migrations are applied; of a real database's they are only
    told: `python -m media_toolkit migrate` applies them.

    Args:
        settings: all of them; read from environment, `.env` and `st.secrets` unless given.
        user_id: who acts; MEDIA_TOOLKIT_USER or the system's user unless given.

    Raises:
        SettingsError: for half an account. EmbeddedStackError: when the stack does not start.
        Unavailable: when Postgres cannot be reached.
    """
    # Here and not above: `import media_toolkit` stays light, and the SDK, which reads
    # CLOUDINARY_URL when it is imported, comes after our own check of it.
    from media_toolkit.store import migrations
    from media_toolkit.store.database import Database

    settings = settings or Settings()
    account, url, stack = settings.cloud, settings.pooled_url, None
    if account is None or url is None:
        from media_toolkit.embedded.stack import EmbeddedStack

        stack = EmbeddedStack.join(settings)
        account, url = account or stack.account, url or stack.database_url
    database = Database(url, settings.direct_url)
    if settings.pooled_url is None and settings.policy is not None:
        migrations.migrate(database, settings.policy)
    if settings.pooled_url is not None:
        waiting = [m.name for m in migrations.pending(database)]
        if waiting:
            warnings.warn(
                f"the database lacks {', '.join(waiting)}; run: python -m media_toolkit migrate",
                stacklevel=2,
            )
    return MediaToolkit(settings, account, database, stack, user_id or settings.user_id)


class MediaToolkit:
    """One account, one database, one user. Made by `connect`; a context manager.

    Threads may share one; two may differ in everything: there is no global state.
    """

    def __init__(
        self,
        settings: Settings,
        account: CloudAccount,
        database: Database,
        stack: EmbeddedStack | None,
        user_id: str,
    ) -> None:
        from media_toolkit.browser import BrowserUploads
        from media_toolkit.cloud.client import CloudClient
        from media_toolkit.cloud.transformation import delivery_url
        from media_toolkit.library import Library
        from media_toolkit.notifications import Notifications
        from media_toolkit.store.arrivals import ArrivalStore
        from media_toolkit.store.assets import AssetStore
        from media_toolkit.store.changes import AssetChanges
        from media_toolkit.store.intents import IntentStore
        from media_toolkit.store.notifications import NotificationStore

        self.settings = settings
        self.account = account
        self.identity = _identity(settings, user_id)
        self._stack = stack
        self._database = database
        self._client = CloudClient(account)
        self._store = AssetStore(database)
        self._intents = IntentStore(database)
        changes = AssetChanges(database)
        self._library = Library(self._client, self._store, changes, self._intents)
        heard = NotificationStore(database, lambda asset: delivery_url(account, asset))
        self._notifications = Notifications(
            self._client, self._intents, heard, settings.unclaimed_owner
        )
        self._browser = BrowserUploads(
            account,
            settings.upload_policy,
            self._library,
            self._store,
            self._intents,
            heard,
            ArrivalStore(database),
        )

    def acting_as(self, user_id: str) -> MediaToolkit:
        """The same account and database as another user; shares the connections."""
        other = object.__new__(MediaToolkit)
        other.__dict__.update(self.__dict__, identity=_identity(self.settings, user_id))
        return other

    def upload(self, source: Source, *, resource_type: str | None = None, **options: Any) -> Asset:
        """Upload one asset and save its row.

        Args:
            source: path, http(s) URL, bytes, binary file object or PIL image.
            resource_type: image, video, raw or auto; decided from the content unless given.
            options: the SDK's upload options: public_id, folder, tags, context, overwrite …;
                and `filename`, for bytes that have no name.

        Raises:
            UnsupportedMedia, InvalidName, TooLarge: nothing was sent or stored.
            Conflict: the public_id belongs to another user. UploadError: Cloudinary refused.
        """
        return self._library.upload(source, self.identity, resource_type, **options)

    def save(self, response: Mapping[str, Any]) -> Asset:
        """Save what an upload elsewhere answered, once Cloudinary confirms it.

        Args:
            response: Cloudinary's JSON, or its public_id, secure_url and resource_type.

        Raises:
            SignatureError: it was not signed by this account, or lacks fields.
            NotFound: Cloudinary never saw it. Conflict: it is another user's.
        """
        return self._library.save(response, self.identity)

    def save_many(self, responses: Iterable[Mapping[str, Any]]) -> SaveReport:
        """Save trusted responses (own uploads, an Admin listing) without asking Cloudinary.

        Raises:
            Conflict: a row belongs to another user; its batch of 100,000 is left out.
        """
        assets = [Asset.from_response(r, self.identity.user_id) for r in responses]
        return self._store.save_many(assets, self.identity)

    def sign_upload(self, *, resource_type: str = "auto", **options: Any) -> SignedUpload:
        """Sign one upload for a browser or another program: post `.fields` and file to `.url`.

        An intent is written with it (`intents`); `save` of what comes back settles it.

        Raises:
            UploadError: for an option that Cloudinary's upload does not have.
            InvalidName: for a public_id or folder that it does not allow.
        """
        return self._library.sign_upload(self.identity, resource_type, **options)

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
            options: upload options for every file: tags, context …

        Raises:
            IngestError: when the folder cannot be read. A file that is refused is no error
                here: the report says why.
        """
        from media_toolkit.ingest.runner import Runner

        unfit = sorted({"public_id", "filename"} & set(options))
        if unfit:
            raise IngestError(
                f"{', '.join(unfit)} cannot be the same for every file",
                hint="public_ids come from the files' paths; folder= goes before them",
            )
        runner = Runner(self._library, self._store, self.identity, threads)
        return runner.run(Path(source).expanduser(), folder, recursive, progress, **options)

    def assets(
        self,
        *,
        order_by: str = "-upload_timestamp",
        limit: int | None = None,
        columns: Iterable[str] | None = None,
        as_of: datetime | date | str | None = None,
        **filters: Any,
    ) -> pd.DataFrame:
        """The matching assets as a DataFrame, one row each; no filter means all.

        Args:
            order_by: a column, with "-" before it for descending.
            columns: only these, in this order; fewer are faster.
            as_of: the rows as they stood at that moment, such as "2026-03-01" (UTC) or a
                datetime; those deleted or purged since are there, those saved since are not.
            filters: see `media_toolkit.AssetFilter`: user_id, resource_type, tags, text …

        Returns:
            Columns id, asset_id, public_id, media_url, resource_type, delivery_type, user_id,
            upload_timestamp, version, format, width, height, duration, bytes, tags, context,
            folder, original_filename, etag, phash, created_at. Integers are nullable Int64 or
            Int32, times datetime64[us, UTC], tags lists, context a dict.

        Raises:
            FilterError: for an unknown word or a value that cannot be read.
        """
        from media_toolkit.store.filters import AssetFilter
        from media_toolkit.store.frames import assets_frame

        wanted = AssetFilter.of(**filters)
        return assets_frame(self._database, self.identity, wanted, order_by, limit, columns, as_of)

    def iter_assets(
        self,
        *,
        batch_size: int = 50_000,
        order_by: str = "-upload_timestamp",
        limit: int | None = None,
        columns: Iterable[str] | None = None,
        **filters: Any,
    ) -> Iterator[pd.DataFrame]:
        """What `assets` gives, as frames of at most `batch_size` rows: memory stays bounded.

        A connection is held until the last one, or until the iterator is closed.

        Raises:
            FilterError: as `assets`, when the first frame is asked for.
        """
        from media_toolkit.store.filters import AssetFilter
        from media_toolkit.store.frames import iterate

        wanted = AssetFilter.of(**filters)
        return iterate(self._database, self.identity, wanted, order_by, limit, columns, batch_size)

    def to_parquet(
        self,
        path: str | Path,
        *,
        order_by: str = "-upload_timestamp",
        limit: int | None = None,
        columns: Iterable[str] | None = None,
        **filters: Any,
    ) -> int:
        """Write what `assets` gives to a Parquet file, in bounded memory; returns the rows.

        The file appears when it is whole. Context is JSON text in it.

        Raises:
            FilterError: as `assets`. OSError: the file cannot be written.
        """
        from media_toolkit.store.filters import AssetFilter
        from media_toolkit.store.frames import write_parquet

        path, wanted = Path(path).expanduser(), AssetFilter.of(**filters)
        return write_parquet(self._database, self.identity, path, wanted, order_by, limit, columns)

    def sql(
        self,
        query: str,
        params: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        timeout_s: float = 30,
    ) -> pd.DataFrame:
        """One SELECT as a DataFrame, dtypes as in `assets`; Postgres itself forbids writing.

        Args:
            query: SELECT, VALUES, TABLE or WITH; values as `:name`, or `$1`, `$2` in order.
            params: a mapping for names, a sequence for numbers: bound, never spliced.
            timeout_s: after it Postgres ends the query.

        Raises:
            StoreError: not one SELECT, a function that changes something, an error of Postgres,
                or the time is over.
        """
        from media_toolkit.store.queries import sql_frame

        return sql_frame(self._database, self.identity, query, params, timeout_s)

    def query(self, name: str, *, timeout_s: float = 30, **params: Any) -> pd.DataFrame:
        """A named query of `sql/queries` as a DataFrame; `queries()` lists them.

        Raises:
            FilterError: an unknown name or parameter. StoreError: as `sql`.
        """
        from media_toolkit.store.queries import named_frame

        return named_frame(self._database, self.identity, name, params, timeout_s)

    def queries(self) -> pd.DataFrame:
        """The named queries: columns name, answers (what each tells), parameters."""
        from media_toolkit.store.queries import listing

        return listing()

    def count(self, *, exact: bool = False, **filters: Any) -> Count:
        """How many assets match: exact to 10,000, beyond it Postgres' estimate unless `exact`.

        Returns:
            An int with `.is_exact` and `.label`, such as "about 56,000". Without a filter it
            is always exact.

        Raises:
            FilterError: as `assets`.
        """
        from media_toolkit.store.filters import AssetFilter

        return self._store.count(AssetFilter.of(**filters), self.identity, exact)

    def facets(self, *names: str, **filters: Any) -> Facets:
        """The values of user_id, resource_type, delivery_type, format or tags with counts.

        Returns:
            A dict of name → [(value, count), …], most first, with `.is_exact`: where a filter
            matches more than 10,000, they are counted among the newest 10,000 of them.

        Raises:
            FilterError: a name that has no facets; or as `assets`.
        """
        from media_toolkit.store.filters import AssetFilter

        return self._store.facets(names, AssetFilter.of(**filters), self.identity)

    def page(
        self,
        *,
        limit: int = 48,
        after: str | None = None,
        before: str | None = None,
        **filters: Any,
    ) -> Page:
        """One page of assets, newest first; `after` and `before` take its cursors.

        Raises:
            FilterError: for an unknown word, an unreadable value, or a cursor that is none.
        """
        from media_toolkit.store.filters import AssetFilter

        return self._store.page(AssetFilter.of(**filters), self.identity, limit, after, before)

    def asset(
        self,
        public_id: str,
        *,
        resource_type: str | None = None,
        delivery_type: str | None = None,
    ) -> Asset:
        """One asset by its public_id or asset_id.

        Raises:
            NotFound: there is none. Conflict: an image and a video, say, share the public_id.
        """
        return self._store.get(public_id, self.identity, resource_type, delivery_type)

    def edit(
        self,
        assets: Assets,
        *,
        tags: Iterable[str] | None = None,
        add_tags: Iterable[str] = (),
        remove_tags: Iterable[str] = (),
        context: Mapping[str, str] | None = None,
    ) -> list[Asset]:
        """Change tags and context, in Cloudinary and then in the rows; the assets as they stand.

        Args:
            assets: an Asset, a public_id or asset_id, several of them, or rows of `assets()`.
            tags: all of them from now on. add_tags, remove_tags: some; after `tags`.
            context: keys to set; other keys stay.

        Raises:
            Forbidden: one is another user's; nothing was changed.
            NotFound: no such row; or Cloudinary lacks some, and the others are changed.
        """
        return self._library.edit(
            assets, self.identity,
            tags=tags, add_tags=add_tags, remove_tags=remove_tags, context=context,
        )  # fmt: skip

    def rename(self, asset: Asset | str, new_public_id: str) -> Asset:
        """Give an asset another public_id, in Cloudinary and then in its row.

        Raises:
            Forbidden: it is another user's. Conflict: the name is another user's.
            UploadError: Cloudinary has an asset of that name. InvalidName, NotFound.
        """
        return self._library.rename(asset, new_public_id, self.identity)

    def delete(self, assets: Assets) -> list[Asset]:
        """Hide assets, as given to `edit`; `restore` brings them back, `purge` destroys them.

        Raises:
            Forbidden: one is another user's; none is deleted. NotFound: no such asset.
        """
        return self._library.delete(assets, self.identity)

    def restore(self, assets: Assets) -> list[Asset]:
        """Bring deleted assets back. Raises Forbidden and NotFound as `delete` does."""
        return self._library.restore(assets, self.identity)

    def purge(self, older_than: str | timedelta = "30d") -> int:
        """Destroy for good, in Cloudinary too, what was deleted so long ago; returns how many.

        A user's own assets; an admin's are everybody's.

        Args:
            older_than: such as "30d", "12h", "2w", or a timedelta.

        Raises:
            FilterError: not an age. UploadError: Cloudinary failed; the same call goes on.
        """
        return self._library.purge(older_than, self.identity)

    def history(self, asset: Asset | str) -> pd.DataFrame:
        """What happened to an asset, oldest first; also to one that is deleted or purged.

        Returns:
            Columns changed_at, changed_by, operation (insert, update, rename, delete, restore
            or purge), changes (column → (before, after)), old and new (whole rows as dicts).

        Raises:
            NotFound: no such asset, or not for this user to see.
        """
        from media_toolkit.store.history import history_frame

        return history_frame(self._database, self.identity, asset)

    def values(self, column: str) -> list[tuple[str, int]]:
        """The values of user_id, resource_type or format with their counts, most first."""
        return self._store.values(column, self.identity)

    def url(self, asset: Asset | str, preset: str | None = None, **transformation: Any) -> str:
        """The delivery URL of an asset: original, by preset, or by a transformation.

        Args:
            asset: an Asset, or the public_id of a saved one.
            preset: thumbnail, preview, square, banner, avatar or grayscale.
            transformation: the SDK's words: width, height, crop, gravity, effect, …

        Raises:
            TransformationError: for an unknown preset or parameter. NotFound: no such asset.
        """
        from media_toolkit.cloud.transformation import delivery_url

        found = self.asset(asset) if isinstance(asset, str) else asset
        return delivery_url(self.account, found, preset, **transformation)

    def gallery(
        self, assets: pd.DataFrame | Iterable[Asset] | None = None, *, limit: int = 48
    ) -> Gallery:
        """A grid of thumbnails for a notebook; the newest assets unless given."""
        from media_toolkit.notebook.gallery import assets_of, build_gallery

        if assets is None:
            assets = self.page(limit=limit).items
        elif hasattr(assets, "columns"):
            assets = assets_of(assets)
        return build_gallery(assets, lambda asset: self.url(asset, "thumbnail"), limit)

    def reconcile(
        self,
        *,
        folder: str | None = None,
        since: datetime | date | str | None = None,
        resource_types: str | Iterable[str] | None = None,
        budget: int = 400,
        wait_s: float = 0,
        resume: bool = True,
        progress: bool = True,
    ) -> ReconcilePlan:
        """Compare Cloudinary with the table; changes nothing until `.apply(dry_run=False)`.

        The listing costs one Admin call for 500 assets; the plan tells how many. When the
        budget is spent it stops, and the next call with the same arguments goes on from there.

        Args:
            folder: this one and those below. since: created then or later. resource_types:
                image, video, raw. Everything unless given.
            budget: Admin calls at most, by this call and the plan's `apply` together. A free
                plan has 500 an hour; 0 only estimates.
            wait_s: how long to wait for the account's limit to be reset; 0 stops instead.
            resume: go on with a listing that stopped in the last 24 hours.

        Returns:
            A plan; `.frame` has one row a difference: only_in_cloudinary, only_in_table,
            differing (version, etag, tags, context, folder …) or unsettled_intent.

        Raises:
            FilterError: for a date or type that cannot be read. CloudUnavailable, Unavailable.
        """
        from media_toolkit.cloud.pacing import AdminBudget
        from media_toolkit.reconcile.plan import Reconciler, read_scope
        from media_toolkit.store.listings import ListingStore

        scope = read_scope(folder, since, resource_types)
        listings = ListingStore(self._database)
        worker = Reconciler(
            self._client,
            self._store,
            listings,
            self._intents,
            self.identity,
            adopts=not self.settings.admins,
        )
        return worker.plan(scope, AdminBudget(budget, wait_s), resume, progress)

    def explain_signature(
        self, request_params: Mapping[str, Any], error_message: str
    ) -> SignatureExplanation:
        """Why Cloudinary refused a signature: its string beside ours, and the cause.

        Works on this machine alone. The usual mistakes are tried until one gives the signature
        that was refused, so that the cause is shown and not guessed.

        Args:
            request_params: what the program signed and sent, as it has them (lists, booleans);
                `signature`, `api_key` and `file` may be among them. {} if unknown.
            error_message: Cloudinary's, `Invalid Signature …` or `Stale request …`.

        Returns:
            Its `cause`, `evidence` and `hint`, both strings, and whether it `is_proven`.
        """
        from media_toolkit.cloud.signature_doctor import explain

        return explain(request_params, error_message, self.account)

    def migrate(self) -> list[str]:
        """Apply pending migrations and the chosen policy on the direct connection; their names."""
        from media_toolkit.store import migrations

        return migrations.migrate(self._database, self.settings.policy)

    def doctor(self) -> Diagnosis:
        """What is configured and reachable, what is wrong and how to mend it."""
        from media_toolkit.doctor import diagnose

        return diagnose(self.settings, self._client, self._database)

    def close(self) -> None:
        """Give connections back and leave the embedded stack; it ends with its last user."""
        self._client.close()
        self._database.close()
        if self._stack is not None:
            self._stack.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = "the embedded stack" if self._stack is not None else self.account.cloud_name
        return f"<MediaToolkit on {where} as {self.identity.user_id}>"


def _identity(settings: Settings, user_id: str) -> Identity:
    return Identity(user_id, "admin" if user_id in settings.admins else "user")
