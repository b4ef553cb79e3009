-- Nobody but the triggers of `cloudinary_files` writes its history and its counts: their functions
-- act as the owner, and anybody could have put them on a table of their own.
REVOKE ALL ON FUNCTION media_toolkit_rules.record_inserts, media_toolkit_rules.record_updates,
    media_toolkit_rules.record_deletes, media_toolkit_rules.count_changes FROM PUBLIC;

-- A column of the team's own may be of a type that has no equality, such as json: bytes have it.
CREATE OR REPLACE FUNCTION media_toolkit_rules.record_updates() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET enable_nestloop = off AS $$
BEGIN
    INSERT INTO cloudinary_files_history
        (file_id, operation, changed_at, changed_by, user_id, old)
    SELECT was.id,
        CASE WHEN was.deleted_at IS NULL AND now.deleted_at IS NOT NULL THEN 'delete'
             WHEN was.deleted_at IS NOT NULL AND now.deleted_at IS NULL THEN 'restore'
             WHEN (was.resource_type, was.delivery_type, was.public_id)
                  <> (now.resource_type, now.delivery_type, now.public_id) THEN 'rename'
             ELSE 'update' END,
        clock_timestamp(), coalesce(auth.user_id(), SESSION_USER), was.user_id,
        to_jsonb(was) - 'words'
    FROM before_rows AS was JOIN after_rows AS now USING (id)
    WHERE was *<> now;
    RETURN NULL;
END $$;

-- An asset is found by what it was: by a name that it had, and by its asset_id where another asset
-- has taken its row.
CREATE INDEX cloudinary_files_history_renamed
    ON cloudinary_files_history ((old ->> 'public_id')) WHERE operation = 'rename';
CREATE INDEX cloudinary_files_history_of_asset
    ON cloudinary_files_history ((old ->> 'asset_id')) WHERE old IS NOT NULL;

DO $$ DECLARE
    place TEXT := (SELECT relnamespace::regnamespace::text FROM pg_class
                   WHERE oid = 'cloudinary_files'::regclass);
BEGIN
    -- The table may have been adopted in a schema of its own.
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO media_toolkit_app', place);
    -- No table of the caller's may stand before ours: temporary ones come last.
    EXECUTE format('ALTER FUNCTION media_toolkit_rules.record_updates() SET search_path = %I, pg_temp',
                   place);
END $$;
