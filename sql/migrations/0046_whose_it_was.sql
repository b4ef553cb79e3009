-- Whose an asset is, the history knows also while it has no row: another asset may have taken its
-- name, and the row with it. Who saves it then is its owner or an admin.
--
-- A transaction has one moment in the history, which is also what its rows have as
-- upload_timestamp: `as_of` shows all of a save or nothing of it.

CREATE OR REPLACE FUNCTION media_toolkit_rules.record_inserts() RETURNS TRIGGER
-- A plan that is kept from when the history was small would read all of it later.
LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off AS $$
DECLARE
    anothers TEXT;
BEGIN
    IF auth.user_id() IS NOT NULL AND NOT media_toolkit_rules.is_admin() THEN
        SELECT format('%s/%s', added.resource_type, added.public_id) INTO anothers
        FROM after_rows AS added
        -- Few were ever another's: for each of the others one look into the index is enough.
        WHERE CASE WHEN EXISTS (
                SELECT FROM cloudinary_files_history AS h WHERE h.old IS NOT NULL
                    AND h.old ->> 'asset_id' = added.asset_id AND h.user_id <> added.user_id)
            THEN added.user_id <> (
                -- Whose it was last; an aggregate, which leaves the planner no other index.
                SELECT (array_agg(h.user_id ORDER BY h.id DESC))[1]
                FROM cloudinary_files_history AS h
                WHERE h.old IS NOT NULL AND h.old ->> 'asset_id' = added.asset_id)
            ELSE false END
        LIMIT 1;
        IF FOUND THEN
            RAISE insufficient_privilege USING
                MESSAGE = format('%s is an asset of another user, by its history', anothers);
        END IF;
    END IF;
    INSERT INTO cloudinary_files_history (file_id, operation, changed_at, changed_by, user_id)
    SELECT id, 'insert', now(), coalesce(auth.user_id(), SESSION_USER), user_id
    FROM after_rows;
    RETURN NULL;
END $$;

-- A row that is renamed and comes back, or goes, in one statement is found by its former name.
CREATE OR REPLACE FUNCTION media_toolkit_rules.record_updates() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET enable_nestloop = off AS $$
BEGIN
    INSERT INTO cloudinary_files_history
        (file_id, operation, changed_at, changed_by, user_id, old)
    SELECT was.id,
        CASE WHEN (was.resource_type, was.delivery_type, was.public_id)
                  <> (now.resource_type, now.delivery_type, now.public_id) THEN 'rename'
             WHEN was.deleted_at IS NULL AND now.deleted_at IS NOT NULL THEN 'delete'
             WHEN was.deleted_at IS NOT NULL AND now.deleted_at IS NULL THEN 'restore'
             ELSE 'update' END,
        now(), coalesce(auth.user_id(), SESSION_USER), was.user_id, to_jsonb(was) - 'words'
    FROM before_rows AS was JOIN after_rows AS now USING (id)
    WHERE was *<> now;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION media_toolkit_rules.record_deletes() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO cloudinary_files_history
        (file_id, operation, changed_at, changed_by, user_id, old)
    SELECT id, 'purge', now(), coalesce(auth.user_id(), SESSION_USER), user_id,
        to_jsonb(was) - 'words'
    FROM before_rows AS was;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION media_toolkit_rules.record_truncation() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO cloudinary_files_history
        (file_id, operation, changed_at, changed_by, user_id, old)
    SELECT id, 'purge', now(), coalesce(auth.user_id(), SESSION_USER), user_id,
        to_jsonb(cloudinary_files) - 'words'
    FROM cloudinary_files;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION media_toolkit_rules.taken(
    resource_types TEXT[], delivery_types TEXT[], public_ids TEXT[], asset_ids TEXT[]
) RETURNS TABLE (resource_type TEXT, public_id TEXT, user_id TEXT)
LANGUAGE SQL STABLE SECURITY DEFINER AS $$
    SELECT DISTINCT wanted.resource_type, wanted.public_id,
        CASE WHEN (SELECT name FROM media_toolkit_policy) = 'team' THEN old.user_id END
    FROM unnest(resource_types, delivery_types, public_ids, asset_ids)
        AS wanted (resource_type, delivery_type, public_id, asset_id)
    CROSS JOIN LATERAL (
        SELECT f.user_id FROM cloudinary_files AS f
        WHERE (f.resource_type, f.delivery_type, f.public_id)
              = (wanted.resource_type, wanted.delivery_type, wanted.public_id)
        UNION ALL
        SELECT f.user_id FROM cloudinary_files AS f WHERE f.asset_id = wanted.asset_id
        UNION ALL
        SELECT (array_agg(h.user_id ORDER BY h.id DESC))[1] FROM cloudinary_files_history AS h
        WHERE h.old IS NOT NULL AND h.old ->> 'asset_id' = wanted.asset_id
            AND NOT EXISTS (SELECT FROM cloudinary_files AS f WHERE f.asset_id = wanted.asset_id)
    ) AS old
    WHERE old.user_id <> auth.user_id()
    LIMIT 10
$$;

DO $$ DECLARE
    place TEXT := (SELECT relnamespace::regnamespace::text FROM pg_class
                   WHERE oid = 'cloudinary_files'::regclass);
    name TEXT;
BEGIN
    -- No table of the caller's may stand before ours: temporary ones come last.
    FOREACH name IN ARRAY ARRAY['record_inserts()', 'record_updates()', 'record_deletes()',
                                'record_truncation()', 'taken'] LOOP
        EXECUTE format('ALTER FUNCTION media_toolkit_rules.%s SET search_path = %I, pg_temp',
                       name, place);
    END LOOP;
END $$;
