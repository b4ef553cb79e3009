"""What all endpoints share while the server runs: files, records and derived images."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from PIL import Image

from .background import Background
from .config import ServerConfig
from .disk.blobs import Blobs
from .facts.formats import open_image
from .notifications import Notifier
from .protocol.chunks import ChunkedUploads
from .records.assets import Asset, Records
from .records.derived import Derived
from .responses import Responses
from .transform.eager import Eager
from .transform.encode import accepted_formats
from .transform.geometry import Box, Regions
from .transform.layers import ImageLayer
from .transform.parse import MissingLayerError, Transformation, parse_transformation
from .transform.render import Rendered, Surroundings, render
from .transform.video import render_video


@dataclass(frozen=True)
class DerivedFile:
    """A derived image in the cache; `key` changes whenever its bytes could."""

    path: Path
    format: str
    key: str


class Cloud:
    """One cloud's state. `open` and `close` block; between them the other methods may be used."""

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.responses = Responses(config)
        self.blobs: Blobs
        self.records: Records
        self.chunks: ChunkedUploads
        self.notifier: Notifier
        self.background = Background()
        self._painting: dict[str, asyncio.Task[DerivedFile]] = {}
        self._notifying: asyncio.Task[None] | None = None
        self._painters: anyio.CapacityLimiter | None = None

    def open(self) -> None:
        """Take the data folder and remove what a crash left in it."""
        self.config.data_dir.mkdir(parents=True, exist_ok=True)
        self.blobs = Blobs(self.config.data_dir, self.config.derived_limit_bytes)
        self.records = Records(self.config.data_dir / "records.sqlite3")
        self.records.delay_search(self.config.search_lag)
        self.blobs.clean(self.records.blobs())
        self.chunks = ChunkedUploads(self.blobs, self.config.chunk_expiry_s)
        self.notifier = Notifier(self.config, self.records)

    def close(self) -> None:
        """Give the data folder back."""
        self.records.close()
        self.blobs.close()

    @property
    def painters(self) -> anyio.CapacityLimiter:
        """Limits how many threads decode pictures at the same time; for the event loop only."""
        if self._painters is None:
            # Decoded pictures are large: as many at a time as there are cores, whoever asks.
            self._painters = anyio.CapacityLimiter(max(2, os.cpu_count() or 2))
        return self._painters

    async def finish(self) -> None:
        """Wait for what goes on in the background; uploads in parts are given up."""
        self.chunks.close()
        await self.background.finish()
        await asyncio.gather(*self._painting.values(), return_exceptions=True)
        if self._notifying is not None:
            self._notifying.cancel()
            await asyncio.gather(self._notifying, return_exceptions=True)
        await self.notifier.finish()

    def start(self) -> None:
        """Begin to deliver notifications; for the event loop, after `open`."""
        self._notifying = asyncio.create_task(self.notifier.run())

    def destroy(self, asset: Asset) -> bool:
        """Forget an asset and free its disk space; blocks. False when it was gone already."""
        if not self.records.delete(asset):
            return False
        self.release(asset)
        return True

    def transformation(self, text: str) -> Transformation:
        """Read a transformation, named ones too; blocks. TransformationError when it is wrong."""

        def named(name: str) -> str | None:
            found = self.records.named_transformation(name)
            return None if found is None else found.transformation

        return parse_transformation(text, named)

    def surroundings(self, asset: Asset) -> Surroundings:
        """What a transformation of this asset may refer to."""
        return Surroundings(_regions(asset), self.open_layer)

    def open_layer(self, layer: ImageLayer) -> Image.Image:
        """The picture of a layer, opened; blocks. MissingLayerError when there is none."""
        asset = self.records.get("image", layer.type, layer.public_id)
        if asset is None:
            stem, _, _ = layer.public_id.rpartition(".")
            asset = self.records.get("image", layer.type, stem)
        if asset is None:
            raise MissingLayerError(layer.public_id)
        try:
            return open_image(self.blobs.path(asset.blob))
        except FileNotFoundError as error:
            raise MissingLayerError(layer.public_id) from error

    def drop_derived(self, one: Derived) -> bool:
        """Forget a derived image and free its disk space; blocks. False when it was gone."""
        if not self.records.delete_derived(one.id):
            return False
        self.blobs.remove_derived(one.blob, one.key)
        return True

    def release(self, gone: Asset) -> None:
        """Free the disk space of an asset whose record is gone, but not of a kept version."""
        if gone.extras.backup:
            self.blobs.drop_derived(gone.blob)
        else:
            self.blobs.drop(gone.blob)

    async def derive(
        self, asset: Asset, transformation: Transformation, extension: str | None, accept: str = ""
    ) -> DerivedFile:
        """The derived image, from the cache or made now; made once however many ask for it.

        Raises ApiError 400 or TransformationError when it cannot be made.
        """
        extension = extension or asset.format
        key = await to_thread.run_sync(self._key, asset, transformation, extension, accept)
        cached = await to_thread.run_sync(self._cached, asset.blob, key)
        if cached is not None:
            return cached
        task = self._painting.get(key)
        if task is None:
            task = asyncio.create_task(self._make(asset, transformation, extension, accept, key))
            self._painting[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def keep(
        self,
        asset: Asset,
        transformation: Transformation,
        extension: str | None,
        rendered: Rendered,
        accept: str = "",
    ) -> DerivedFile:
        """Cache and record a derived image; blocks."""
        extension = extension or asset.format
        key = self._key(asset, transformation, extension, accept)
        name = f"{key}.{rendered.format}"
        path = self.blobs.keep_derived(asset.blob, name, rendered.data)
        self.records.add_derived(
            Derived(
                id=hashlib.md5(name.encode(), usedforsecurity=False).hexdigest(),
                blob=asset.blob,
                transformation=transformation.text,
                format=extension or "",
                bytes=len(rendered.data),
                key=name,
            )
        )
        return DerivedFile(path, rendered.format, key)

    def keep_eager(
        self, asset: Asset, wanted: Sequence[Eager], rendered: Sequence[Rendered]
    ) -> list[dict[str, Any]]:
        """Cache and record eager images; blocks. Returns what the answer says of them."""
        answers = []
        for one, result in zip(wanted, rendered, strict=True):
            self.keep(asset, one.transformation, one.extension, result)
            answers.append(
                self.responses.eager(asset, one.transformation.text, one.extension, result)
            )
        return answers

    async def _make(
        self,
        asset: Asset,
        transformation: Transformation,
        extension: str | None,
        accept: str,
        key: str,
    ) -> DerivedFile:
        def work() -> DerivedFile:
            cached = self._cached(asset.blob, key)
            if cached is not None:
                return cached
            source = self.blobs.path(asset.blob)
            paint = render_video if asset.resource_type == "video" else render
            rendered = paint(
                source,
                asset.format or "",
                transformation,
                extension,
                accept,
                self.surroundings(asset),
            )
            return self.keep(asset, transformation, extension, rendered, accept)

        return await to_thread.run_sync(work, limiter=self.painters)

    def _key(
        self, asset: Asset, transformation: Transformation, extension: str | None, accept: str
    ) -> str:
        """The key of a derived image; that of one with layers changes when a layer does."""
        layers = [
            self.records.get("image", layer.type, layer.public_id)
            for layer in sorted(transformation.pictures, key=repr)
        ]
        blobs = [layer.blob if layer else "" for layer in layers]
        return derived_key(asset, transformation, extension, accept, [*blobs, *_told(asset)])

    def _forget(self, key: str, done: asyncio.Task[DerivedFile]) -> None:
        self._painting.pop(key, None)
        # Those who waited may all have gone: an error that nobody took must not be logged.
        if not done.cancelled():
            done.exception()

    def _cached(self, blob: str, key: str) -> DerivedFile | None:
        path = self.blobs.find_derived(blob, key)
        return None if path is None else DerivedFile(path, path.suffix[1:], key)


def _regions(asset: Asset) -> Regions:
    """The coordinates that are stored with an asset."""

    def boxes(stored: Sequence[Sequence[int]] | None) -> tuple[Box, ...]:
        sized = [one for one in stored or () if len(one) == 4 and one[2] > 0 and one[3] > 0]
        return tuple((float(x), float(y), float(x + w), float(y + h)) for x, y, w, h in sized)

    return Regions(boxes(asset.extras.faces), boxes(asset.extras.custom_coordinates))


def _told(asset: Asset) -> list[str]:
    regions = _regions(asset)
    return [repr(regions)] if regions.faces or regions.custom else []


def derived_key(
    asset: Asset,
    transformation: Transformation,
    extension: str | None,
    accept: str,
    around: Sequence[str] = (),
) -> str:
    """Names a derived image: 32 hex digits of blob, transformation, extension, what is `around`
    it (blobs of layers, coordinates) and, for `f_auto`, which of the formats that it chooses
    between the client reads."""
    reads = ""
    if transformation.last("f") == "auto":
        reads = ",".join(sorted(accepted_formats(accept)))
    parts = (asset.blob, transformation.full, extension or "", reads, *around)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
