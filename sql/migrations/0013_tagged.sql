-- One row for each tag of each asset that is not deleted, in the order of pages: an index on an
-- array finds the assets of a tag, but not the newest of them first. Kept by trigger, once a
-- statement. At 10 million assets with 15 million tags it holds some 3 GB and is made in about
-- two minutes, during which writers wait.

CREATE TABLE cloudinary_files_tagged (
    tag TEXT NOT NULL,
    upload_timestamp TIMESTAMPTZ NOT NULL,
    file_id INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    resource_type TEXT NOT NULL
);

GRANT SELECT ON cloudinary_files_tagged TO media_toolkit_app;
-- Not forced: only the triggers write, as the owner.
ALTER TABLE cloudinary_files_tagged ENABLE ROW LEVEL SECURITY;
-- Its columns are compared by leakproof operators only, so the policy may stand beside an index.
CREATE POLICY reading ON cloudinary_files_tagged FOR SELECT
    USING ((SELECT media_toolkit_rules.reads_all()) OR user_id = (SELECT auth.user_id()));

CREATE FUNCTION media_toolkit_rules.keep_tags() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    CASE TG_OP
    WHEN 'INSERT' THEN
        INSERT INTO cloudinary_files_tagged
        SELECT DISTINCT tag, upload_timestamp, id, user_id, resource_type
        FROM after_rows CROSS JOIN unnest(tags) AS tag
        WHERE deleted_at IS NULL AND tag IS NOT NULL
        -- As the index has them: each page of it is then filled at once.
        ORDER BY tag, upload_timestamp, id;
    WHEN 'UPDATE' THEN
        DELETE FROM cloudinary_files_tagged AS kept
        USING (SELECT tag, upload_timestamp, id, user_id, resource_type
               FROM before_rows CROSS JOIN unnest(tags) AS tag WHERE deleted_at IS NULL
               EXCEPT SELECT tag, upload_timestamp, id, user_id, resource_type
               FROM after_rows CROSS JOIN unnest(tags) AS tag WHERE deleted_at IS NULL) AS gone
        WHERE (kept.tag, kept.upload_timestamp, kept.file_id)
            = (gone.tag, gone.upload_timestamp, gone.id);
        INSERT INTO cloudinary_files_tagged
        SELECT tag, upload_timestamp, id, user_id, resource_type
        FROM after_rows CROSS JOIN unnest(tags) AS tag
        WHERE deleted_at IS NULL AND tag IS NOT NULL
        EXCEPT SELECT tag, upload_timestamp, id, user_id, resource_type
        FROM before_rows CROSS JOIN unnest(tags) AS tag WHERE deleted_at IS NULL;
    WHEN 'DELETE' THEN
        DELETE FROM cloudinary_files_tagged AS kept
        USING (SELECT tag, upload_timestamp, id
               FROM before_rows CROSS JOIN unnest(tags) AS tag WHERE deleted_at IS NULL) AS gone
        WHERE (kept.tag, kept.upload_timestamp, kept.file_id)
            = (gone.tag, gone.upload_timestamp, gone.id);
    ELSE
        DELETE FROM cloudinary_files_tagged;
    END CASE;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION media_toolkit_rules.keep_tags FROM PUBLIC;

CREATE TRIGGER keep_tags_of_inserts AFTER INSERT ON cloudinary_files
    REFERENCING NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION media_toolkit_rules.keep_tags();
CREATE TRIGGER keep_tags_of_updates AFTER UPDATE ON cloudinary_files
    REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION media_toolkit_rules.keep_tags();
CREATE TRIGGER keep_tags_of_deletes AFTER DELETE ON cloudinary_files
    REFERENCING OLD TABLE AS before_rows
    FOR EACH STATEMENT EXECUTE FUNCTION media_toolkit_rules.keep_tags();
CREATE TRIGGER keep_no_tags AFTER TRUNCATE ON cloudinary_files
    FOR EACH STATEMENT EXECUTE FUNCTION media_toolkit_rules.keep_tags();

INSERT INTO cloudinary_files_tagged
SELECT DISTINCT tag, upload_timestamp, id, user_id, resource_type
FROM cloudinary_files CROSS JOIN unnest(tags) AS tag
WHERE deleted_at IS NULL AND tag IS NOT NULL
ORDER BY tag, upload_timestamp, id;

-- User and kind ride along: whoever walks a tag's assets reads the index alone.
CREATE UNIQUE INDEX cloudinary_files_tagged_newest
    ON cloudinary_files_tagged (tag, upload_timestamp DESC, file_id DESC)
    INCLUDE (user_id, resource_type);
CREATE INDEX cloudinary_files_tagged_of_user
    ON cloudinary_files_tagged (user_id, tag, upload_timestamp DESC, file_id DESC);
ALTER TABLE cloudinary_files_tagged ALTER COLUMN tag SET STATISTICS 1000;
-- All but a few of the entries are known to be visible, as long as inserts alone wake vacuum.
ANALYZE cloudinary_files_tagged;

DO $$ DECLARE
    place TEXT := (SELECT relnamespace::regnamespace::text FROM pg_class
                   WHERE oid = 'cloudinary_files'::regclass);
BEGIN
    -- No table of the caller's may stand before ours: temporary ones come last.
    EXECUTE format('ALTER FUNCTION media_toolkit_rules.keep_tags() SET search_path = %I, pg_temp',
                   place);
END $$;
