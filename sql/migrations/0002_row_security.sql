-- Row-level security, on and forced. The app acts as `media_toolkit_app`, a role that owns
-- nothing; who acts is in `request.jwt.claims`, set for one transaction at a time. Which rows
-- may be read is said by sql/policies; until one of its files is applied, nobody's may.

DO $$ BEGIN
    IF to_regrole('media_toolkit_app') IS NULL THEN
        CREATE ROLE media_toolkit_app NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- roles are the whole server's: another database of it is migrated just now
END $$;
DO $$ BEGIN
    -- A superuser may act as anybody; everybody else must be told so, even who made the role.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = CURRENT_USER) THEN
        EXECUTE format('GRANT media_toolkit_app TO %I', CURRENT_USER);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    -- Made by another login of the server, which must have let this one in.
    IF NOT pg_has_role('media_toolkit_app', 'MEMBER') THEN
        RAISE EXCEPTION 'the role media_toolkit_app is another login''s; let that one run: '
            'GRANT media_toolkit_app TO "%"', CURRENT_USER;
    END IF;
END $$;

-- On Neon `auth.user_id()` comes with pg_session_jwt, and means the same.
-- https://neon.com/docs/extensions/pg_session_jwt
DO $$ BEGIN
    IF to_regprocedure('auth.user_id()') IS NULL THEN
        CREATE SCHEMA IF NOT EXISTS auth;
        CREATE FUNCTION auth.user_id() RETURNS TEXT LANGUAGE SQL STABLE PARALLEL SAFE AS
            -- Empty, not NULL, once a transaction of this connection has had claims.
            $f$ SELECT nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub' $f$;
    END IF;
    IF NOT has_schema_privilege('media_toolkit_app', 'auth', 'USAGE') THEN
        GRANT USAGE ON SCHEMA auth TO PUBLIC;
    END IF;
END $$;

-- Not named as a login might be: its own schema is first in the search path of each.
CREATE SCHEMA media_toolkit_rules;
GRANT USAGE ON SCHEMA media_toolkit_rules TO PUBLIC;

CREATE FUNCTION media_toolkit_rules.is_admin() RETURNS BOOLEAN LANGUAGE SQL STABLE PARALLEL SAFE AS $$
    SELECT auth.user_id() IS NOT NULL AND coalesce(
        nullif(current_setting('request.jwt.claims', true), '')::json ->> 'role' = 'admin', false)
$$;

-- IMMUTABLE is not true of it, and is meant: the planner then asks once, before it chooses a
-- plan, and a policy of this alone folds to true or false. Were it evaluated with the rows,
-- Postgres could not use an index for tags or words, whose operators are not leakproof. What it
-- costs is told in sql/README.md.
CREATE FUNCTION media_toolkit_rules.is_signed_in() RETURNS BOOLEAN LANGUAGE plpgsql IMMUTABLE
    PARALLEL SAFE AS $$ BEGIN RETURN auth.user_id() IS NOT NULL; END $$;

GRANT SELECT, INSERT, UPDATE, DELETE ON cloudinary_files TO media_toolkit_app;
DO $$ BEGIN
    EXECUTE format('GRANT USAGE ON SEQUENCE %s TO media_toolkit_app',
                   pg_get_serial_sequence('cloudinary_files', 'id'));
END $$;

ALTER TABLE cloudinary_files ENABLE ROW LEVEL SECURITY;
ALTER TABLE cloudinary_files FORCE ROW LEVEL SECURITY;
-- Forced, policies hold for the owner too. The guide's statements, which run as the owner and
-- without claims, go on as they were.
DO $$ BEGIN
    EXECUTE format('CREATE POLICY owner_of_the_table ON cloudinary_files TO %I USING (true)',
                   (SELECT pg_get_userbyid(relowner) FROM pg_class
                    WHERE oid = 'cloudinary_files'::regclass));
END $$;

-- Which file of sql/policies holds; one row.
CREATE TABLE media_toolkit_policy (
    name TEXT PRIMARY KEY,
    checksum TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

-- Why a save was refused: which of these assets stand in the table as somebody else's. Whose, is
-- told only where everybody may read it. It sees all rows; that they exist, the unique indexes
-- tell anyway.
CREATE FUNCTION media_toolkit_rules.taken(
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
    ) AS old
    WHERE old.user_id <> auth.user_id()
    LIMIT 10
$$;
REVOKE ALL ON FUNCTION media_toolkit_rules.taken FROM PUBLIC;
GRANT EXECUTE ON FUNCTION media_toolkit_rules.taken TO media_toolkit_app;
-- As the owner, so no table of the caller's may stand before ours: temporary ones come last.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION media_toolkit_rules.taken SET search_path = %I, pg_temp',
                   (SELECT relnamespace::regnamespace::text FROM pg_class
                    WHERE oid = 'cloudinary_files'::regclass));
END $$;
