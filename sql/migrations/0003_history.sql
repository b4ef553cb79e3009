-- What happened to each row: who, when, and the row as it stood before. The row after a change is
-- the one before the next change, or the one that stands; so an insert, which is most of what
-- happens, stores no row at all.

CREATE TABLE cloudinary_files_history (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file_id INTEGER NOT NULL,
    operation TEXT NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL,
    changed_by TEXT NOT NULL,
    user_id TEXT NOT NULL,
    old JSONB
);
CREATE INDEX cloudinary_files_history_of_file ON cloudinary_files_history (file_id, id);
-- An insert is found by its row's upload_timestamp; what is searched by time is the rest.
CREATE INDEX cloudinary_files_history_by_time ON cloudinary_files_history (changed_at)
    WHERE operation <> 'insert';
CREATE INDEX cloudinary_files_history_purged
    ON cloudinary_files_history ((old ->> 'public_id')) WHERE operation = 'purge';

GRANT SELECT ON cloudinary_files_history TO media_toolkit_app;
ALTER TABLE cloudinary_files_history ENABLE ROW LEVEL SECURITY;
ALTER TABLE cloudinary_files_history FORCE ROW LEVEL SECURITY;

-- Once a statement, not once a row: 100,000 rows are recorded by one more INSERT. It writes as the
-- owner, for the app's role may not; who acts is in the claims, or else is the login.
CREATE FUNCTION media_toolkit_rules.record_inserts() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO cloudinary_files_history (file_id, operation, changed_at, changed_by, user_id)
    SELECT id, 'insert', clock_timestamp(), coalesce(auth.user_id(), SESSION_USER), user_id
    FROM after_rows;
    RETURN NULL;
END $$;

CREATE FUNCTION media_toolkit_rules.record_updates() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER AS $$
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
        to_jsonb(was)
    FROM before_rows AS was JOIN after_rows AS now USING (id)
    WHERE was IS DISTINCT FROM now;
    RETURN NULL;
END $$;

CREATE FUNCTION media_toolkit_rules.record_deletes() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO cloudinary_files_history
        (file_id, operation, changed_at, changed_by, user_id, old)
    SELECT id, 'purge', clock_timestamp(), coalesce(auth.user_id(), SESSION_USER), user_id,
        to_jsonb(was)
    FROM before_rows AS was;
    RETURN NULL;
END $$;

CREATE TRIGGER record_inserts AFTER INSERT ON cloudinary_files
    REFERENCING NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION media_toolkit_rules.record_inserts();
CREATE TRIGGER record_updates AFTER UPDATE ON cloudinary_files
    REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION media_toolkit_rules.record_updates();
CREATE TRIGGER record_deletes AFTER DELETE ON cloudinary_files
    REFERENCING OLD TABLE AS before_rows
    FOR EACH STATEMENT EXECUTE FUNCTION media_toolkit_rules.record_deletes();

-- The rows as they stood at a moment, under the caller's own rights: those that have not changed
-- since, and for the others what the first change after it replaced.
CREATE FUNCTION media_toolkit_rules.files_as_of(moment TIMESTAMPTZ) RETURNS SETOF cloudinary_files
LANGUAGE SQL STABLE AS $$
    WITH later AS MATERIALIZED (
        SELECT DISTINCT ON (file_id) file_id, old FROM cloudinary_files_history
        WHERE changed_at > moment AND operation <> 'insert'
        ORDER BY file_id, id
    )
    SELECT f.* FROM cloudinary_files AS f
    WHERE f.upload_timestamp <= moment AND f.id NOT IN (SELECT file_id FROM later)
    UNION ALL
    SELECT stood.* FROM later
    CROSS JOIN LATERAL jsonb_populate_record(NULL::cloudinary_files, later.old) AS stood
    WHERE stood.upload_timestamp <= moment
$$;

DO $$ DECLARE
    place TEXT := (SELECT relnamespace::regnamespace::text FROM pg_class
                   WHERE oid = 'cloudinary_files'::regclass);
    owner TEXT := (SELECT pg_get_userbyid(relowner) FROM pg_class
                   WHERE oid = 'cloudinary_files'::regclass);
    name TEXT;
BEGIN
    -- Forced, policies hold for the owner too, as whom the triggers write.
    EXECUTE format('CREATE POLICY owner_of_the_table ON cloudinary_files_history TO %I USING (true)',
                   owner);
    -- No table of the caller's may stand before ours: temporary ones come last.
    FOREACH name IN ARRAY ARRAY['record_inserts()', 'record_updates()', 'record_deletes()',
                                'files_as_of(timestamptz)'] LOOP
        EXECUTE format('ALTER FUNCTION media_toolkit_rules.%s SET search_path = %I, pg_temp',
                       name, place);
    END LOOP;
END $$;
