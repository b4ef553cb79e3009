"""`cloudinary_files` as SQLAlchemy Core, mirrored from `sql/migrations`."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

metadata = sa.MetaData()

files = sa.Table(
    "cloudinary_files",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("asset_id", sa.Text),
    sa.Column("public_id", sa.Text, nullable=False),
    sa.Column("media_url", sa.Text, nullable=False),
    sa.Column("resource_type", sa.Text, nullable=False),
    sa.Column("delivery_type", sa.Text, nullable=False, server_default="upload"),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column(
        "upload_timestamp", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
    ),
    sa.Column("version", sa.BigInteger),
    sa.Column("format", sa.Text),
    sa.Column("width", sa.Integer),
    sa.Column("height", sa.Integer),
    sa.Column("duration", sa.Double),
    sa.Column("bytes", sa.BigInteger),
    sa.Column("tags", pg.ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Column("context", pg.JSONB, nullable=False, server_default="{}"),
    sa.Column("folder", sa.Text),
    sa.Column("original_filename", sa.Text),
    sa.Column("etag", sa.Text),
    sa.Column("phash", sa.Text),
    sa.Column("created_at", sa.DateTime(timezone=True)),
    sa.Column("raw", pg.JSONB, nullable=False, server_default="{}"),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
)

# One row a tag of each asset that is not deleted, in the order of pages; kept by trigger.
tagged = sa.Table(
    "cloudinary_files_tagged",
    metadata,
    sa.Column("tag", sa.Text, nullable=False),
    sa.Column("upload_timestamp", sa.DateTime(timezone=True), nullable=False),
    sa.Column("file_id", sa.Integer, nullable=False),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("resource_type", sa.Text, nullable=False),
)

# How many assets each user has: of a kind where tag is null, else of the tag. Rows add up.
counts = sa.Table(
    "cloudinary_files_counts",
    metadata,
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("resource_type", sa.Text, nullable=False),
    sa.Column("delivery_type", sa.Text, nullable=False),
    sa.Column("format", sa.Text),
    sa.Column("tag", sa.Text),
    sa.Column("assets", sa.BigInteger, nullable=False),
)

# The columns of `kit.assets()`, in the order that `docs/` and the notebooks rely on.
ASSET_COLUMNS = tuple(c for c in files.c if c.name not in ("raw", "deleted_at"))
