-- Where names change hands within one batch, in a row or in a ring, each row that gives up its name
-- steps aside first, under chr(1), its id, chr(1) and the name. No moment of that is to be seen: it
-- is no event of the history, and what comes next is recorded as from the name before.

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
        CASE WHEN starts_with(was.public_id, chr(1) || was.id || chr(1))
             THEN jsonb_set(to_jsonb(was) - 'words', '{public_id}', to_jsonb(
                 substr(was.public_id, length(chr(1) || was.id || chr(1)) + 1)))
             ELSE to_jsonb(was) - 'words' END
    FROM before_rows AS was JOIN after_rows AS now USING (id)
    WHERE was IS DISTINCT FROM now
      AND (now.public_id <> chr(1) || now.id || chr(1) || was.public_id
           OR to_jsonb(now) - ARRAY['public_id', 'words']
              <> to_jsonb(was) - ARRAY['public_id', 'words']);
    RETURN NULL;
END $$;

DO $$ DECLARE
    place TEXT := (SELECT relnamespace::regnamespace::text FROM pg_class
                   WHERE oid = 'cloudinary_files'::regclass);
BEGIN
    -- No table of the caller's may stand before ours: temporary ones come last.
    EXECUTE format('ALTER FUNCTION media_toolkit_rules.record_updates() SET search_path = %I, pg_temp',
                   place);
END $$;
