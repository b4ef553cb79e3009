-- The role that the app acts as, where a database was restored on a server that does not have it, or
-- by an owner who is none of it: the migrations that wait, and rights.sql, speak of it.

DO $$ BEGIN
    IF to_regrole('media_toolkit_app') IS NULL THEN
        CREATE ROLE media_toolkit_app NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- roles are the whole server's: another database of it is migrated just now
END $$;
DO $$ BEGIN
    -- Who makes a role is a member of it that may not act as it, unless told so (Postgres 16).
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = CURRENT_USER) THEN
        EXECUTE format('GRANT media_toolkit_app TO %I', CURRENT_USER);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'the role media_toolkit_app is another login''s; let that one run: '
        'GRANT media_toolkit_app TO "%"', CURRENT_USER;
END $$;
