-- The largest, the widest, the tallest: few of many. Equal numbers share an entry, so these are
-- small: 8 bytes an asset each.
CREATE INDEX cloudinary_files_bytes ON cloudinary_files (bytes);
CREATE INDEX cloudinary_files_width ON cloudinary_files (width);
CREATE INDEX cloudinary_files_height ON cloudinary_files (height);
