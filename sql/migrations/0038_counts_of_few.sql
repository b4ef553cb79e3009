-- As in 0014, with a shorter way for the inserts that most saves are: of assets without tags.

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
        IF NOT EXISTS (SELECT FROM after_rows WHERE tags <> '{}') THEN
            WITH added AS (
                INSERT INTO cloudinary_files_counts
                SELECT user_id, resource_type, delivery_type, format, NULL, count(*)
                FROM after_rows WHERE deleted_at IS NULL
                GROUP BY 1, 2, 3, 4
                RETURNING user_id)
            SELECT count(*), array_agg(DISTINCT user_id) INTO changed, users FROM added;
        ELSE
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
        END IF;
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
    IF touched IS NOT NULL AND (changed > 1000 OR random() < 0.25) THEN
        PERFORM media_toolkit_rules.fold_totals(touched);
    END IF;
    RETURN NULL;
END $$;

DO $$ DECLARE
    place TEXT := (SELECT relnamespace::regnamespace::text FROM pg_class
                   WHERE oid = 'cloudinary_files'::regclass);
BEGIN
    -- No table of the caller's may stand before ours: temporary ones come last.
    EXECUTE format('ALTER FUNCTION media_toolkit_rules.count_changes SET search_path = %I, pg_temp',
                   place);
END $$;
