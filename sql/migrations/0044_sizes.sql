-- The largest, the widest, the tallest: few of many. Equal numbers share an entry, so these are
-- small, 8 bytes an asset each; and who counts reads nothing else.
CREATE INDEX cloudinary_files_bytes ON cloudinary_files (bytes) WHERE deleted_at IS NULL;
CREATE INDEX cloudinary_files_width ON cloudinary_files (width) WHERE deleted_at IS NULL;
CREATE INDEX cloudinary_files_height ON cloudinary_files (height) WHERE deleted_at IS NULL;
