-- What was destroyed here is not taken back by a save that comes late: which of these uploads, or a
-- later one of the same asset, was purged by a user and not by what Cloudinary told. Of others'
-- assets nobody is told but admins. A row that only made way for another was not deleted before.
CREATE FUNCTION media_toolkit_rules.purged(asset_ids TEXT[], versions BIGINT[])
RETURNS SETOF TEXT
-- A plan that is kept from when the history was small would read all of it later.
LANGUAGE plpgsql STABLE SECURITY DEFINER SET enable_seqscan = off AS $$
DECLARE
    caller TEXT := auth.user_id();
    sees_all BOOLEAN := media_toolkit_rules.is_admin();
BEGIN
    -- Most libraries have purged nothing yet.
    IF NOT EXISTS (SELECT FROM cloudinary_files_history WHERE operation = 'purge') THEN
        RETURN;
    END IF;
    RETURN QUERY
        SELECT wanted.asset_id FROM unnest(asset_ids, versions) AS wanted (asset_id, version)
        -- CASE leaves the planner one look into the index for each, and no join with all purges.
        WHERE CASE WHEN EXISTS (
                SELECT FROM cloudinary_files_history AS h WHERE h.old IS NOT NULL
                    AND h.old ->> 'asset_id' = wanted.asset_id AND h.operation = 'purge'
                    AND h.changed_by <> 'cloudinary' AND h.old -> 'deleted_at' <> 'null'
                    AND (h.old ->> 'version')::bigint >= coalesce(wanted.version, 0)
                    AND (sees_all OR h.user_id = caller))
            THEN true ELSE false END;
END $$;

DO $$ DECLARE
    place TEXT := (SELECT relnamespace::regnamespace::text FROM pg_class
                   WHERE oid = 'cloudinary_files'::regclass);
BEGIN
    -- No table of the caller's may stand before ours: temporary ones come last.
    EXECUTE format('ALTER FUNCTION media_toolkit_rules.purged SET search_path = %I, pg_temp', place);
    REVOKE ALL ON FUNCTION media_toolkit_rules.purged FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION media_toolkit_rules.purged TO media_toolkit_app;
END $$;
