-- What a history of every row still lacked: TRUNCATE; and moments that no Python holds.

-- As a DELETE of every row is recorded, so that a TRUNCATE loses nothing either.
CREATE FUNCTION media_toolkit_rules.record_truncation() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO cloudinary_files_history
        (file_id, operation, changed_at, changed_by, user_id, old)
    SELECT id, 'purge', clock_timestamp(), coalesce(auth.user_id(), SESSION_USER), user_id,
        to_jsonb(cloudinary_files) - 'words'
    FROM cloudinary_files;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION media_toolkit_rules.record_truncation FROM PUBLIC;
CREATE TRIGGER record_truncation BEFORE TRUNCATE ON cloudinary_files
    FOR EACH STATEMENT EXECUTE FUNCTION media_toolkit_rules.record_truncation();

-- One row of the year 10000, before Christ or of infinity would break the pages of everybody who
-- sees it. A day is left at both ends for time zones.
CREATE FUNCTION media_toolkit_rules.held(moment TIMESTAMPTZ) RETURNS TIMESTAMPTZ
LANGUAGE SQL STABLE STRICT AS $$ SELECT greatest('0002-01-01Z', least(moment, '9998-12-31Z')) $$;
UPDATE cloudinary_files SET
    upload_timestamp = media_toolkit_rules.held(upload_timestamp),
    created_at = media_toolkit_rules.held(created_at),
    deleted_at = media_toolkit_rules.held(deleted_at)
WHERE least(upload_timestamp, created_at, deleted_at) < '0002-01-01Z'
   OR greatest(upload_timestamp, created_at, deleted_at) > '9998-12-31Z';
DROP FUNCTION media_toolkit_rules.held;
-- A deferred trigger of the team's own would be in the way of the next statement.
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE cloudinary_files ADD CONSTRAINT cloudinary_files_moments CHECK (
    least(upload_timestamp, created_at, deleted_at) >= '0002-01-01Z'
    AND greatest(upload_timestamp, created_at, deleted_at) < '9999-01-01Z');

DO $$ DECLARE
    place TEXT := (SELECT relnamespace::regnamespace::text FROM pg_class
                   WHERE oid = 'cloudinary_files'::regclass);
BEGIN
    -- No table of the caller's may stand before ours: temporary ones come last.
    EXECUTE format('ALTER FUNCTION media_toolkit_rules.record_truncation()'
                   ' SET search_path = %I, pg_temp', place);
END $$;
