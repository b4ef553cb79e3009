"""A Cloudinary-compatible server: Upload API, Admin API and delivery, kept in one folder.

    app = create_app(ServerConfig(data_dir=..., cloud_name=..., api_key=..., ...))

`create_app` returns a Starlette application; it binds nothing and starts nothing by itself.
"""

from .app import create_app
from .config import ServerConfig

__all__ = ["ServerConfig", "create_app"]
