-- The history of a large change after a small one, and without what Postgres makes anew.

-- PL/pgSQL keeps the plan of the first change of a session, made for as many rows as that had. After
-- an edit of one row it was a nested loop, and 20,000 rows took 100 s. A hash join suits any number.
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
    WHERE was IS DISTINCT FROM now;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION media_toolkit_rules.record_deletes() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO cloudinary_files_history
        (file_id, operation, changed_at, changed_by, user_id, old)
    SELECT id, 'purge', clock_timestamp(), coalesce(auth.user_id(), SESSION_USER), user_id,
        to_jsonb(was) - 'words'
    FROM before_rows AS was;
    RETURN NULL;
END $$;

DO $$ DECLARE
    place TEXT := (SELECT relnamespace::regnamespace::text FROM pg_class
                   WHERE oid = 'cloudinary_files'::regclass);
    name TEXT;
BEGIN
    -- No table of the caller's may stand before ours: temporary ones come last.
    FOREACH name IN ARRAY ARRAY['record_updates()', 'record_deletes()'] LOOP
        EXECUTE format('ALTER FUNCTION media_toolkit_rules.%s SET search_path = %I, pg_temp',
                       name, place);
    END LOOP;
END $$;
