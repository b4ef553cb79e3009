-- The table of Neon's Cloudinary guide (https://neon.com/docs/guides/cloudinary), with the
-- columns that an analyst asks for next. A table that the guide made is adopted with its rows:
-- its INSERT and SELECT statements run unchanged.

CREATE TABLE IF NOT EXISTS cloudinary_files (
    id SERIAL PRIMARY KEY,
    public_id TEXT NOT NULL,
    media_url TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    user_id TEXT NOT NULL,
    upload_timestamp TIMESTAMPTZ DEFAULT NOW()
);

-- An image and a video may share a public_id, so the guide's UNIQUE (public_id) is too strict.
ALTER TABLE cloudinary_files DROP CONSTRAINT IF EXISTS cloudinary_files_public_id_key;

ALTER TABLE cloudinary_files
    ADD COLUMN IF NOT EXISTS asset_id TEXT,
    ADD COLUMN IF NOT EXISTS delivery_type TEXT NOT NULL DEFAULT 'upload',
    ADD COLUMN IF NOT EXISTS version BIGINT,
    ADD COLUMN IF NOT EXISTS format TEXT,
    ADD COLUMN IF NOT EXISTS width INTEGER,
    ADD COLUMN IF NOT EXISTS height INTEGER,
    ADD COLUMN IF NOT EXISTS duration DOUBLE PRECISION,
    ADD COLUMN IF NOT EXISTS bytes BIGINT,
    ADD COLUMN IF NOT EXISTS tags TEXT[] NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS context JSONB NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS folder TEXT,
    ADD COLUMN IF NOT EXISTS original_filename TEXT,
    ADD COLUMN IF NOT EXISTS etag TEXT,
    ADD COLUMN IF NOT EXISTS phash TEXT,
    ADD COLUMN IF NOT EXISTS created_at TIMESTAMPTZ,
    ADD COLUMN IF NOT EXISTS raw JSONB NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS deleted_at TIMESTAMPTZ;

UPDATE cloudinary_files SET upload_timestamp = NOW() WHERE upload_timestamp IS NULL;
ALTER TABLE cloudinary_files
    ALTER COLUMN upload_timestamp SET DEFAULT NOW(),
    ALTER COLUMN upload_timestamp SET NOT NULL;

-- Identity is Cloudinary's own; asset_id never changes, public_id does on a rename.
CREATE UNIQUE INDEX cloudinary_files_identity
    ON cloudinary_files (resource_type, delivery_type, public_id);
CREATE UNIQUE INDEX cloudinary_files_asset_id
    ON cloudinary_files (asset_id) WHERE asset_id IS NOT NULL;

-- Pages are read newest first, and keyset pagination needs (upload_timestamp, id) as its key.
CREATE INDEX cloudinary_files_newest
    ON cloudinary_files (upload_timestamp DESC, id DESC);
CREATE INDEX cloudinary_files_by_user
    ON cloudinary_files (user_id, upload_timestamp DESC, id DESC);
CREATE INDEX cloudinary_files_by_type
    ON cloudinary_files (resource_type, format, upload_timestamp DESC, id DESC);
CREATE INDEX cloudinary_files_tags
    ON cloudinary_files USING GIN (tags);
