-- What the app needs to know of what was, and what nobody may change.
--
-- What was told of an asset last, by its asset_id, and of a name. Policies that look at each row
-- keep indexes of expressions from being used: these look as the owner, and tell the ids of what
-- the caller may read.

CREATE FUNCTION media_toolkit_rules.last_told(asset_ids TEXT[]) RETURNS SETOF BIGINT
LANGUAGE SQL STABLE SECURITY DEFINER AS $$
    SELECT last.id FROM pg_catalog.unnest(asset_ids) AS wanted (asset_id)
    CROSS JOIN LATERAL (
        SELECT h.id FROM cloudinary_files_history AS h
        WHERE h.old IS NOT NULL AND h.old ->> 'asset_id' = wanted.asset_id
            AND ((SELECT media_toolkit_rules.reads_all()) OR h.user_id = auth.user_id())
        ORDER BY h.id DESC LIMIT 1) AS last
$$;

CREATE FUNCTION media_toolkit_rules.history_of(name TEXT) RETURNS SETOF BIGINT
LANGUAGE SQL STABLE SECURITY DEFINER AS $$
    SELECT id FROM (
        SELECT id, user_id FROM cloudinary_files_history
        WHERE operation = 'purge' AND old ->> 'public_id' = name
        UNION ALL
        SELECT id, user_id FROM cloudinary_files_history
        WHERE operation = 'rename' AND old ->> 'public_id' = name
        UNION ALL
        SELECT id, user_id FROM cloudinary_files_history
        WHERE old IS NOT NULL AND old ->> 'asset_id' = name
    ) AS told
    WHERE (SELECT media_toolkit_rules.reads_all()) OR user_id = auth.user_id()
$$;

-- What happened to a row is kept under its id, so that it never changes.
CREATE FUNCTION media_toolkit_rules.refuse_another_id() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the id of a row of cloudinary_files never changes: % to %', OLD.id, NEW.id
        USING HINT = 'the history is kept by it';
END $$;
CREATE TRIGGER refuse_another_id BEFORE UPDATE OF id ON cloudinary_files
    FOR EACH ROW WHEN (OLD.id IS DISTINCT FROM NEW.id)
    EXECUTE FUNCTION media_toolkit_rules.refuse_another_id();

-- Whoever works as the app can see what waits, and which policy holds.
GRANT SELECT ON media_toolkit_migrations, media_toolkit_policy TO media_toolkit_app;

DO $$ DECLARE
    place TEXT := (SELECT relnamespace::regnamespace::text FROM pg_class
                   WHERE oid = 'cloudinary_files'::regclass);
    named TEXT;
BEGIN
    FOREACH named IN ARRAY ARRAY['last_told(TEXT[])', 'history_of(TEXT)'] LOOP
        -- No table of the caller's may stand before ours: temporary ones come last.
        EXECUTE format('ALTER FUNCTION media_toolkit_rules.%s SET search_path = %I, pg_temp',
                       named, place);
        EXECUTE format('REVOKE ALL ON FUNCTION media_toolkit_rules.%s FROM PUBLIC', named);
        EXECUTE format('GRANT EXECUTE ON FUNCTION media_toolkit_rules.%s TO media_toolkit_app',
                       named);
    END LOOP;
END $$;
