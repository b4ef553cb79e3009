"""Connecting, and what holds the parts together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from media_toolkit.asset import Asset
from media_toolkit.identity import Identity
from media_toolkit.settings import CloudAccount, Settings
from media_toolkit.toolkit.changing import Changing
from media_toolkit.toolkit.parts import CloudSide
from media_toolkit.toolkit.reading import Reading
from media_toolkit.toolkit.uploading import Uploading

if TYPE_CHECKING:
    import pandas as pd

    from media_toolkit.cloud.signature_doctor import SignatureExplanation
    from media_toolkit.doctor import Diagnosis
    from media_toolkit.embedded.stack import EmbeddedStack
    from media_toolkit.notebook.gallery import Gallery
    from media_toolkit.store.database import Database


def connect(
    settings: Settings | None = None, *, user_id: str | None = None, is_checked: bool = True
) -> MediaToolkit:
    """Connect to Cloudinary and Postgres, or to the embedded stack where they are not set.

    On the embedded stack pending migrations are applied; of a real database's they are only
    told: `python -m media_toolkit migrate` applies them.

    Args:
        settings: all of them; read from environment, `.env` and `st.secrets` unless given.
        user_id: who acts; MEDIA_TOOLKIT_USER or the system's user unless given.
        is_checked: whether a real database is looked at; without, it may be away, and `doctor`
            of the kit says so among all the rest.

    Raises:
        SettingsError: for half an account. EmbeddedStackError: when the stack does not start.
        Unavailable: when Postgres cannot be reached. StoreError: when the database has not all
            that its migrations made, so that users may see too much or too little.
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
    database = Database(url, settings.direct_url, server=stack)
    try:
        # An older program may have started the stack, and still use it.
        is_older = stack is not None and stack.migrated_to != migrations.newest()
        if settings.pooled_url is None and (settings.policy is not None or is_older):
            migrations.migrate(database, settings.policy)
        if settings.pooled_url is not None and is_checked:
            for said, remedy in migrations.lacking(database, settings.policy):
                warnings.warn(f"{said}; {remedy}", stacklevel=2)
        return MediaToolkit(settings, account, database, stack, user_id or settings.user_id)
    except BaseException:
        if stack is not None:
            stack.leave()
        raise


class MediaToolkit(Uploading, Reading, Changing):
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
        from media_toolkit.store.assets import AssetStore

        self.settings = settings
        self.account = account
        self.identity = _identity(settings, user_id)
        self._stack = stack
        self._database = database
        self._store = AssetStore(database)
        self._cloud = CloudSide(settings, account, database, self._store)

    def acting_as(self, user_id: str) -> MediaToolkit:
        """The same account and database as another user; shares the connections.

        Raises:
            FilterError: for a user_id that is no text. Forbidden: for Cloudinary's own name.
        """
        other = object.__new__(MediaToolkit)
        other.__dict__.update(self.__dict__, identity=_identity(self.settings, user_id))
        return other

    def url(self, asset: Asset | str, preset: str | None = None, **transformation: Any) -> str:
        """The delivery URL of an asset: original, by preset, or by a transformation.

        Args:
            asset: an Asset, or the public_id of a saved one.
            preset: thumbnail, preview, square, banner, avatar or grayscale.
            transformation: the SDK's words: width, height, crop, gravity, effect, …; their
                values are Cloudinary's to judge. Of a raw asset it is always the original's
                URL, whatever the words are.

        Raises:
            TransformationError: for an unknown preset or word. NotFound: no such asset.
        """
        from media_toolkit.cloud.transformation import delivery_url

        found = self.asset(asset) if isinstance(asset, str) else asset
        return delivery_url(self.account, found, preset, **transformation)

    def gallery(
        self, assets: pd.DataFrame | Iterable[Asset] | None = None, *, limit: int = 48
    ) -> Gallery:
        """A grid of thumbnails for a notebook; the newest assets unless given.

        Raises:
            FilterError: naming the columns that a DataFrame lacks.
        """
        from media_toolkit.notebook.gallery import assets_of, build_gallery

        frame: Any = assets
        total = None
        if frame is None:
            assets = self.page(limit=limit).items
        elif hasattr(frame, "columns"):
            assets, total = assets_of(frame.head(limit)), len(frame)
        else:
            assets = list(frame)
        return build_gallery(assets, lambda asset: self.url(asset, "thumbnail"), limit, total)

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

    def migrate(
        self,
        on_applied: Callable[[str], object] = lambda _: None,
        *,
        is_the_library: bool = False,
    ) -> list[str]:
        """Apply pending migrations and the chosen policy on the direct connection, and mend what a
        restore has lost; the names of all that.

        Args:
            on_applied: told each name once it stands.
            is_the_library: this database, which is a copy or was reset or moved, is the one whose
                purges are meant from now on.

        Raises:
            StoreError: when the direct string leads to another database than the pooled one; as
                `migrations.migrate`.
        """
        from media_toolkit.store import migrations, place, routes

        if self.settings.may_be_apart:
            routes.check_together(self._database)
        names = migrations.migrate(
            self._database, self.settings.policy, on_applied, is_counted=True
        )
        if is_the_library:
            place.note(self._database)
        return names

    def doctor(self) -> Diagnosis:
        """What is configured and reachable, what is wrong and how to mend it."""
        from media_toolkit.doctor import diagnose

        return diagnose(self.settings, self._client, self._database, self.identity)

    def close(self) -> None:
        """Give connections back and leave the embedded stack; it ends with its last user.

        A kit that nobody has any more is closed by itself, once Python frees it.
        """
        self._cloud.close()
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
    from media_toolkit.store.filters import read_name

    return Identity.of(read_name("user_id", user_id), settings.admins)
