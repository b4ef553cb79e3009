-- How many assets each user has of each kind and of each tag, kept by trigger, so that facets and
-- counts of everything need not read it. Each statement appends what it changed and no row is
-- updated: writers at once neither wait for each other nor deadlock, and a rollback takes its
-- part back. Readers add up; now and then a statement folds the rows of what it touched into one.

CREATE TABLE cloudinary_files_counts (
    user_id TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    delivery_type TEXT NOT NULL,
    format TEXT,
    tag TEXT,  -- NULL: all assets of the kind; else those of the user with the tag, of any kind
    assets BIGINT NOT NULL
);
CREATE INDEX cloudinary_files_counts_of_user ON cloudinary_files_counts (user_id, tag);
CREATE INDEX cloudinary_files_counts_of_kind ON cloudinary_files_counts (user_id) WHERE tag IS NULL;

GRANT SELECT ON cloudinary_files_counts TO media_toolkit_app;
-- Not forced: only the triggers write, as the owner.
ALTER TABLE cloudinary_files_counts ENABLE ROW LEVEL SECURITY;
-- As the table's own reading policies say it: all where one's own policy file is `team`.
CREATE FUNCTION media_toolkit_rules.reads_all() RETURNS BOOLEAN
LANGUAGE SQL STABLE SECURITY DEFINER AS $$
    SELECT auth.user_id() IS NOT NULL AND (media_toolkit_rules.is_admin()
        OR coalesce((SELECT name = 'team' FROM media_toolkit_policy), false))
$$;
CREATE POLICY reading ON cloudinary_files_counts FOR SELECT
    USING ((SELECT media_toolkit_rules.reads_all()) OR user_id = (SELECT auth.user_id()));

CREATE FUNCTION media_toolkit_rules.fold_counts(users TEXT[]) RETURNS VOID
LANGUAGE SQL SECURITY DEFINER AS $$
    WITH taken AS (
        DELETE FROM cloudinary_files_counts WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM cloudinary_files_counts WHERE user_id = ANY (users)
            FOR UPDATE SKIP LOCKED))
        RETURNING *
    )
    INSERT INTO cloudinary_files_counts
    SELECT user_id, resource_type, delivery_type, format, tag, sum(assets) FROM taken
    GROUP BY 1, 2, 3, 4, 5 HAVING sum(assets) <> 0
$$;
REVOKE ALL ON FUNCTION media_toolkit_rules.fold_counts FROM PUBLIC;

CREATE FUNCTION media_toolkit_rules.count_changes() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    changed BIGINT;
    users TEXT[];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM cloudinary_files_counts;
        RETURN NULL;
    END IF;
    CASE TG_OP
    WHEN 'INSERT' THEN
        WITH moved AS (SELECT user_id, resource_type, delivery_type, format, tags, 1 AS n
                       FROM after_rows WHERE deleted_at IS NULL),
        added AS (
            INSERT INTO cloudinary_files_counts
            SELECT user_id, resource_type, delivery_type, format, NULL, sum(n) FROM moved
            GROUP BY 1, 2, 3, 4
            UNION ALL
            SELECT user_id, '', '', NULL, tag, sum(n)
            FROM moved CROSS JOIN LATERAL unnest(tags) AS tag GROUP BY 1, 5
            RETURNING user_id)
        SELECT count(*), array_agg(DISTINCT user_id) INTO changed, users FROM added;
    WHEN 'UPDATE' THEN
        WITH moved AS (SELECT user_id, resource_type, delivery_type, format, tags, 1 AS n
                       FROM after_rows WHERE deleted_at IS NULL
                       UNION ALL
                       SELECT user_id, resource_type, delivery_type, format, tags, -1
                       FROM before_rows WHERE deleted_at IS NULL),
        added AS (
            INSERT INTO cloudinary_files_counts
            SELECT user_id, resource_type, delivery_type, format, NULL, sum(n) FROM moved
            GROUP BY 1, 2, 3, 4 HAVING sum(n) <> 0
            UNION ALL
            SELECT user_id, '', '', NULL, tag, sum(n)
            FROM moved CROSS JOIN LATERAL unnest(tags) AS tag GROUP BY 1, 5 HAVING sum(n) <> 0
            RETURNING user_id)
        SELECT count(*), array_agg(DISTINCT user_id) INTO changed, users FROM added;
    WHEN 'DELETE' THEN
        WITH moved AS (SELECT user_id, resource_type, delivery_type, format, tags, -1 AS n
                       FROM before_rows WHERE deleted_at IS NULL),
        added AS (
            INSERT INTO cloudinary_files_counts
            SELECT user_id, resource_type, delivery_type, format, NULL, sum(n) FROM moved
            GROUP BY 1, 2, 3, 4
            UNION ALL
            SELECT user_id, '', '', NULL, tag, sum(n)
            FROM moved CROSS JOIN LATERAL unnest(tags) AS tag GROUP BY 1, 5
            RETURNING user_id)
        SELECT count(*), array_agg(DISTINCT user_id) INTO changed, users FROM added;
    END CASE;
    -- One statement in 32, and each large one, folds.
    IF changed > 0 AND (changed > 1000 OR random() < 0.03) THEN
        PERFORM media_toolkit_rules.fold_counts(users);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER count_inserts AFTER INSERT ON cloudinary_files
    REFERENCING NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION media_toolkit_rules.count_changes();
CREATE TRIGGER count_updates AFTER UPDATE ON cloudinary_files
    REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION media_toolkit_rules.count_changes();
CREATE TRIGGER count_deletes AFTER DELETE ON cloudinary_files
    REFERENCING OLD TABLE AS before_rows
    FOR EACH STATEMENT EXECUTE FUNCTION media_toolkit_rules.count_changes();
CREATE TRIGGER count_nothing AFTER TRUNCATE ON cloudinary_files
    FOR EACH STATEMENT EXECUTE FUNCTION media_toolkit_rules.count_changes();

INSERT INTO cloudinary_files_counts
SELECT user_id, resource_type, delivery_type, format, NULL, count(*) FROM cloudinary_files
WHERE deleted_at IS NULL GROUP BY 1, 2, 3, 4
UNION ALL
SELECT user_id, '', '', NULL, tag, count(*)
FROM cloudinary_files CROSS JOIN LATERAL unnest(tags) AS tag
WHERE deleted_at IS NULL GROUP BY 1, 5;

DO $$ DECLARE
    place TEXT := (SELECT relnamespace::regnamespace::text FROM pg_class
                   WHERE oid = 'cloudinary_files'::regclass);
    name TEXT;
BEGIN
    -- No table of the caller's may stand before ours: temporary ones come last.
    FOREACH name IN ARRAY ARRAY['reads_all()', 'fold_counts(text[])', 'count_changes()'] LOOP
        EXECUTE format('ALTER FUNCTION media_toolkit_rules.%s SET search_path = %I, pg_temp',
                       name, place);
    END LOOP;
END $$;
