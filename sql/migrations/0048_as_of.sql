-- The rows as they stood at a moment, as 0003 has them, but without a setting of its own: so
-- Postgres takes the body into the query that asks, whose filters then choose indexes.
DO $migration$ BEGIN
    EXECUTE replace($definition$
        CREATE OR REPLACE FUNCTION media_toolkit_rules.files_as_of(moment TIMESTAMPTZ)
        RETURNS SETOF <place>.cloudinary_files LANGUAGE SQL STABLE AS $$
            WITH later AS MATERIALIZED (
                SELECT DISTINCT ON (file_id) file_id, old
                FROM <place>.cloudinary_files_history
                WHERE changed_at > moment AND operation <> 'insert'
                ORDER BY file_id, id
            )
            SELECT f.* FROM <place>.cloudinary_files AS f
            WHERE f.upload_timestamp <= moment
                AND NOT EXISTS (SELECT FROM later WHERE later.file_id = f.id)
            UNION ALL
            SELECT stood.* FROM later CROSS JOIN LATERAL pg_catalog.jsonb_populate_record(
                NULL::<place>.cloudinary_files, later.old) AS stood
            WHERE stood.upload_timestamp <= moment
        $$
        $definition$, '<place>',
        (SELECT quote_ident(nspname) FROM pg_class AS c JOIN pg_namespace AS n
             ON n.oid = c.relnamespace WHERE c.oid = 'cloudinary_files'::regclass));
END $migration$;
