-- The latest by Cloudinary's own date, which for a library that was imported is not that of its rows.
CREATE INDEX cloudinary_files_created ON cloudinary_files (created_at) WHERE deleted_at IS NULL;
