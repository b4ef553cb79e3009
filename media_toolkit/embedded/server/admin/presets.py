"""Upload presets: list, show, create, change, delete.

https://cloudinary.com/documentation/admin_api#upload_presets
"""

from __future__ import annotations

import re
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..cloud import Cloud
from ..errors import ApiError
from ..facts.formats import normal_format
from ..protocol.form import Form
from ..records.presets import UploadPreset
from ..transform.values import ENCODABLE, VIDEO_ENCODABLE
from ..upload.naming import random_id
from ..upload.parameters import boolean, context, eager, tags
from .components import components
from .request import after_text, body, max_results, page_end, query

_NAME = re.compile(r"[^\s/?&#\\%<>+]{1,255}")
# What a preset is beside its settings, and what never belongs into one.
_OUTSIDE = frozenset({"name", "unsigned", "api_key", "signature", "timestamp", "file"})
_REFUSED = frozenset({"upload_preset", "public_ids"})
_SWITCHES = frozenset(
    {"async", "backup", "colors", "disallow_public_id", "discard_original_filename"}
    | {"eager_async", "exif", "faces", "image_metadata", "invalidate", "live", "media_metadata"}
    | {
        "overwrite",
        "phash",
        "return_delete_token",
        "unique_filename",
        "use_asset_folder_as_public_id_prefix",
    }
    | {"unique_display_name", "use_filename", "use_filename_as_display_name"}
)


class AdminPresets:
    """The endpoints under `upload_presets`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def listing(self, request: Request) -> Response:
        """All presets, by name."""
        form = query(request, ("max_results", "next_cursor"))
        limit = max_results(form)
        found = await run_in_threadpool(
            self._cloud.records.upload_presets, after_text(form), limit + 1
        )
        return JSONResponse(
            {
                "presets": [_shown(preset) for preset in found[:limit]],
                **page_end(found, limit, lambda preset: preset.name),
            }
        )

    async def details(self, request: Request) -> Response:
        """One preset."""
        query(request, ("max_results",))
        name = request.path_params["name"]
        preset = await run_in_threadpool(self._cloud.records.upload_preset, name)
        if preset is None:
            raise _missing(name)
        return JSONResponse(_shown(preset))

    async def create(self, request: Request) -> Response:
        """Keep a new preset, under a random name if none is given."""
        form = await body(self._cloud, request)
        name = form.text("name") or random_id(8)
        if not _NAME.fullmatch(name):
            raise ApiError(400, f"Invalid upload preset name {name}")
        preset = UploadPreset(
            name=name,
            unsigned=boolean(form, "unsigned", False),
            settings={key: value for key, value in _settings(form).items() if value},
        )
        if not await run_in_threadpool(self._cloud.records.add_upload_preset, preset):
            raise ApiError(409, f"Upload preset {name} already exists")
        return JSONResponse({"message": "created", "name": name})

    async def update(self, request: Request) -> Response:
        """Change the settings that are given; the others stay."""
        form = await body(self._cloud, request)
        name = request.path_params["name"]
        unsigned = boolean(form, "unsigned", False) if form.text("unsigned") else None
        if not await run_in_threadpool(
            self._cloud.records.change_upload_preset, name, unsigned, _settings(form)
        ):
            raise _missing(name)
        return JSONResponse({"message": "updated"})

    async def delete(self, request: Request) -> Response:
        """Forget a preset."""
        await body(self._cloud, request, ())
        name = request.path_params["name"]
        if not await run_in_threadpool(self._cloud.records.delete_upload_preset, name):
            raise _missing(name)
        return JSONResponse({"message": "deleted"})


def _settings(form: Form) -> dict[str, str]:
    settings = {name: form.text(name) for name in form.fields if name not in _OUTSIDE}
    for name, value in settings.items():
        if name in _REFUSED and value:
            raise ApiError(400, f"Unsupported parameter on this server - {name}")
        if name in _SWITCHES:
            boolean(form, name, False)
    if "context" in settings:
        context(settings["context"])
    return settings


def _shown(preset: UploadPreset) -> dict[str, Any]:
    return {
        "name": preset.name,
        "external_id": preset.external_id,
        "unsigned": preset.unsigned,
        "settings": {name: _setting(name, text) for name, text in preset.settings.items()},
    }


def _setting(name: str, text: str) -> Any:
    if name in _SWITCHES:
        return text.lower() in ("1", "true", "yes")
    if name == "tags":
        return tags(text)
    if name == "context":
        return context(text)
    if name == "allowed_formats":
        return tags(text)
    if name == "transformation":
        return components(text)
    if name == "eager":
        return [_eager(part) for part in eager(Form({"eager": text}))]
    return text


def _eager(text: str) -> Any:
    """One eager transformation: a step, or a list of steps; an extension is the last's format."""
    path, _, last = text.rpartition("/")
    extension = normal_format(last)
    if not path or extension not in ENCODABLE | VIDEO_ENCODABLE:
        path, extension = text.rstrip("/"), ""
    steps = components(path)
    if extension:
        steps[-1]["format"] = extension
    return steps[0] if len(steps) == 1 else steps


def _missing(name: str) -> ApiError:
    return ApiError(404, f"Can't find upload preset with name {name}")
