-- The functions act as the table's owner and look for the tables where they are: `migrate` runs this
-- where a restore, ALTER TABLE … OWNER TO or SET SCHEMA has parted them.

DO $$ DECLARE
    place TEXT; owner TEXT; part RECORD;
BEGIN
    SELECT relnamespace::regnamespace, pg_get_userbyid(relowner) INTO place, owner
    FROM pg_class WHERE oid = 'cloudinary_files'::regclass;
    FOR part IN
        SELECT oid::regprocedure AS name, pg_has_role(proowner, owner, 'USAGE') AS is_its,
            EXISTS (SELECT FROM unnest(proconfig) AS one WHERE one LIKE 'search_path=%') AS looks
        FROM pg_proc WHERE pronamespace = 'media_toolkit_rules'::regnamespace
    LOOP
        IF NOT part.is_its THEN
            EXECUTE format('ALTER FUNCTION %s OWNER TO %I', part.name, owner);
        END IF;
        IF part.looks THEN
            EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', part.name, place);
        END IF;
    END LOOP;
    FOR part IN
        SELECT c.oid::regclass AS name FROM pg_class AS c
        WHERE relkind = 'r' AND relnamespace = place::regnamespace
            AND relname ~ '^(cloudinary_files_|media_toolkit_|upload_intents$|notification_|reconcile_)'
            AND NOT pg_has_role((SELECT proowner FROM pg_proc WHERE proname = 'count_changes'
                AND pronamespace = 'media_toolkit_rules'::regnamespace), relowner, 'USAGE')
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO %I', part.name, owner);
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'the tables and the functions of media_toolkit_rules are of several owners (%), '
        'who may not act for each other; let a superuser or a login that is in all their roles run: '
        'python -m media_toolkit migrate', SQLERRM;
END $$;
