-- A folder and those below it, looked up: a rare one was found by reading every asset. Byte by byte,
-- which is how "below" is asked for; equal folders stand in it once, so that it is small.
CREATE INDEX cloudinary_files_by_folder ON cloudinary_files (folder text_pattern_ops);
