-- The id of a new row is the sequence's. Whoever chose one, with claims of their own and SQL of
-- their own, stood in the way of what others would save next.
REVOKE INSERT ON cloudinary_files FROM media_toolkit_app;
DO $$ BEGIN
    EXECUTE format('GRANT INSERT (%s) ON cloudinary_files TO media_toolkit_app',
        (SELECT string_agg(format('%I', attname), ', ' ORDER BY attnum) FROM pg_attribute
         WHERE attrelid = 'cloudinary_files'::regclass AND attnum > 0 AND NOT attisdropped
             AND attgenerated = '' AND attname <> 'id'));
END $$;
