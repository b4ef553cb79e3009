-- How many assets have each tag, whoever's: adding up every user's share of thousands of tags is
-- what made the facets of everything slow. Appended to and folded as cloudinary_files_counts is;
-- a tag is folded sooner, since a thousand users add to one.

-- What writers have counted by now is in the counts; who comes later counts both.
LOCK TABLE cloudinary_files IN SHARE ROW EXCLUSIVE MODE;

CREATE TABLE cloudinary_files_totals (
    tag TEXT NOT NULL,
    assets BIGINT NOT NULL
);
CREATE INDEX cloudinary_files_totals_of_tag ON cloudinary_files_totals (tag);

GRANT SELECT ON cloudinary_files_totals TO media_toolkit_app;
-- Not forced: only the triggers write, as the owner. Who may not read all adds up their own.
ALTER TABLE cloudinary_files_totals ENABLE ROW LEVEL SECURITY;
CREATE POLICY reading ON cloudinary_files_totals FOR SELECT
    USING ((SELECT media_toolkit_rules.reads_all()));

CREATE FUNCTION media_toolkit_rules.fold_totals(touched TEXT[]) RETURNS VOID
LANGUAGE SQL SECURITY DEFINER AS $$
    WITH taken AS (
        DELETE FROM cloudinary_files_totals WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM cloudinary_files_totals WHERE tag = ANY (touched)
            FOR UPDATE SKIP LOCKED))
        RETURNING *
    )
    INSERT INTO cloudinary_files_totals
    SELECT tag, sum(assets) FROM taken GROUP BY 1 HAVING sum(assets) <> 0
$$;
REVOKE ALL ON FUNCTION media_toolkit_rules.fold_totals FROM PUBLIC;

-- As in 0011, and what is added for a tag is added to its total. A tag that stands twice in one
-- array is one asset's all the same.
CREATE OR REPLACE FUNCTION media_toolkit_rules.count_changes() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    changed BIGINT;
    users TEXT[];
    touched TEXT[];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM cloudinary_files_counts;
        DELETE FROM cloudinary_files_totals;
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
            FROM moved CROSS JOIN LATERAL (
                SELECT DISTINCT tag FROM unnest(tags) AS tag WHERE tag IS NOT NULL) AS t
            GROUP BY 1, 5
            RETURNING user_id, tag, assets),
        totalled AS (
            INSERT INTO cloudinary_files_totals
            SELECT tag, sum(assets) FROM added WHERE tag IS NOT NULL
            GROUP BY 1
            RETURNING tag)
        SELECT count(*), array_agg(DISTINCT user_id), (SELECT array_agg(tag) FROM totalled)
        INTO changed, users, touched FROM added;
    WHEN 'UPDATE' THEN
        WITH moved AS (SELECT user_id, resource_type, delivery_type, format, tags, 1 AS n
                       FROM after_rows WHERE deleted_at IS NULL
                       UNION ALL
                       SELECT user_id, resource_type, delivery_type, format, tags, -1 AS n
                       FROM before_rows WHERE deleted_at IS NULL),
        added AS (
            INSERT INTO cloudinary_files_counts
            SELECT user_id, resource_type, delivery_type, format, NULL, sum(n) FROM moved
            GROUP BY 1, 2, 3, 4 HAVING sum(n) <> 0
            UNION ALL
            SELECT user_id, '', '', NULL, tag, sum(n)
            FROM moved CROSS JOIN LATERAL (
                SELECT DISTINCT tag FROM unnest(tags) AS tag WHERE tag IS NOT NULL) AS t
            GROUP BY 1, 5 HAVING sum(n) <> 0
            RETURNING user_id, tag, assets),
        totalled AS (
            INSERT INTO cloudinary_files_totals
            SELECT tag, sum(assets) FROM added WHERE tag IS NOT NULL
            GROUP BY 1 HAVING sum(assets) <> 0
            RETURNING tag)
        SELECT count(*), array_agg(DISTINCT user_id), (SELECT array_agg(tag) FROM totalled)
        INTO changed, users, touched FROM added;
    WHEN 'DELETE' THEN
        WITH moved AS (SELECT user_id, resource_type, delivery_type, format, tags, -1 AS n
                       FROM before_rows WHERE deleted_at IS NULL),
        added AS (
            INSERT INTO cloudinary_files_counts
            SELECT user_id, resource_type, delivery_type, format, NULL, sum(n) FROM moved
            GROUP BY 1, 2, 3, 4
            UNION ALL
            SELECT user_id, '', '', NULL, tag, sum(n)
            FROM moved CROSS JOIN LATERAL (
                SELECT DISTINCT tag FROM unnest(tags) AS tag WHERE tag IS NOT NULL) AS t
            GROUP BY 1, 5
            RETURNING user_id, tag, assets),
        totalled AS (
            INSERT INTO cloudinary_files_totals
            SELECT tag, sum(assets) FROM added WHERE tag IS NOT NULL
            GROUP BY 1
            RETURNING tag)
        SELECT count(*), array_agg(DISTINCT user_id), (SELECT array_agg(tag) FROM totalled)
        INTO changed, users, touched FROM added;
    END CASE;
    -- One statement in 32, and each large one, folds its users' counts; one in 4 its tags.
    IF changed > 0 AND (changed > 1000 OR random() < 0.03) THEN
        PERFORM media_toolkit_rules.fold_counts(users);
    END IF;
    IF changed > 1000 OR random() < 0.25 THEN
        PERFORM media_toolkit_rules.fold_totals(touched);
    END IF;
    RETURN NULL;
END $$;

DELETE FROM cloudinary_files_counts WHERE tag IS NOT NULL OR resource_type = '';
INSERT INTO cloudinary_files_counts
SELECT user_id, '', '', NULL, tag, count(*) FROM cloudinary_files_tagged GROUP BY 1, 5;
INSERT INTO cloudinary_files_totals
SELECT tag, count(*) FROM cloudinary_files_tagged GROUP BY 1;

DO $$ DECLARE
    place TEXT := (SELECT relnamespace::regnamespace::text FROM pg_class
                   WHERE oid = 'cloudinary_files'::regclass);
    name TEXT;
BEGIN
    -- No table of the caller's may stand before ours: temporary ones come last.
    FOREACH name IN ARRAY ARRAY['fold_totals(text[])', 'count_changes()'] LOOP
        EXECUTE format('ALTER FUNCTION media_toolkit_rules.%s SET search_path = %I, pg_temp',
                       name, place);
    END LOOP;
END $$;
