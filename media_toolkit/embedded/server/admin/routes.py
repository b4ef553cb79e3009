"""Which path and method leads to which endpoint of the Admin and Search API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..cloud import Cloud
from .account import AdminAccount
from .backups import AdminBackups
from .folders import AdminFolders
from .presets import AdminPresets
from .removal import AdminRemoval
from .resources import AdminResources
from .search import SearchApi
from .transformations import AdminTransformations
from .update import AdminUpdate

Handler = Callable[[Request], Awaitable[Response]]


async def _not_here(request: Request) -> Response:
    """A route of Cloudinary that would else be read as another one's names."""
    raise HTTPException(404)


def admin_routes(cloud: Cloud, administered: Callable[[Handler], Handler]) -> list[Route]:
    """The routes below `/v1_1/<cloud>/`, each behind what `administered` checks."""
    account, resources, removal = AdminAccount(cloud), AdminResources(cloud), AdminRemoval(cloud)
    folders, presets = AdminFolders(cloud), AdminPresets(cloud)
    backups, update = AdminBackups(cloud), AdminUpdate(cloud)
    transformations, search = AdminTransformations(cloud), SearchApi(cloud)

    def route(method: str, path: str, handler: Handler) -> Route:
        return Route(f"/v1_1/{{cloud}}/{path}", administered(handler), methods=[method])

    kind, named = "resources/{resource_type}", "{resource_type}/{type}/{public_id:path}"
    return [
        route("GET", "ping", account.ping),
        route("GET", "config", account.config),
        route("GET", "usage", account.usage),
        route("GET", "usage/{date}", account.usage),
        route("GET", "tags/{resource_type}", account.tags),
        route("GET", "resources", resources.types),
        route("GET", "resources/search", search.assets),
        route("POST", "resources/search", search.assets),
        route("GET", "resources/visual_search", search.visual),
        route("POST", "resources/visual_search", search.visual),
        route("GET", "resources/by_asset_ids", resources.by_asset_ids),
        route("GET", "resources/by_asset_folder", resources.by_asset_folder),
        route("GET", f"{kind}/tags/{{tag:path}}", resources.listing),
        route("GET", f"{kind}/context", resources.by_context),
        route("GET", f"{kind}/moderations/{{kind}}/{{status}}", resources.by_moderation),
        route("GET", f"resources/{named}", resources.details),
        route("GET", f"{kind}/{{type}}", resources.listing),
        route("GET", "resources/{name}", resources.listing_or_details),
        route("POST", "resources/related_assets/{rest:path}", _not_here),
        route("DELETE", "resources/related_assets/{rest:path}", _not_here),
        route("POST", f"{kind}/publish_resources", _not_here),
        route("POST", "resources/restore", backups.restore_by_asset_ids),
        route("POST", f"{kind}/{{type}}/restore", backups.restore),
        route("POST", f"resources/{named}", update.update),
        route("POST", "resources/{name}", update.update_by_asset_id),
        route("DELETE", "resources/backup/{asset_id}", backups.delete),
        route("DELETE", "resources", removal.resources),
        route("DELETE", f"{kind}/tags/{{tag:path}}", removal.resources),
        route("DELETE", f"{kind}/{{type}}", removal.resources),
        route("DELETE", "derived_resources", removal.derived_resources),
        route("GET", "folders/search", search.folders),
        route("POST", "folders/search", search.folders),
        route("GET", "folders", folders.root),
        route("GET", "folders/{path:path}", folders.inside),
        route("POST", "folders/{path:path}", folders.create),
        route("PUT", "folders/{path:path}", folders.rename),
        route("DELETE", "folders/{path:path}", folders.delete),
        route("GET", "transformations", transformations.listing_or_details),
        route("POST", "transformations", transformations.create),
        route("PUT", "transformations", transformations.update),
        route("DELETE", "transformations", transformations.delete),
        route("GET", "transformations/{name:path}", transformations.listing_or_details),
        route("POST", "transformations/{name:path}", transformations.create),
        route("PUT", "transformations/{name:path}", transformations.update),
        route("DELETE", "transformations/{name:path}", transformations.delete),
        route("GET", "upload_presets", presets.listing),
        route("POST", "upload_presets", presets.create),
        route("GET", "upload_presets/{name}", presets.details),
        route("PUT", "upload_presets/{name}", presets.update),
        route("DELETE", "upload_presets/{name}", presets.delete),
    ]
