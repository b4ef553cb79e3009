-- Who acts, where a restore has left it out: of a dump of Neon's it belongs to an extension
-- (pg_session_jwt). As 0002 makes it.

CREATE SCHEMA IF NOT EXISTS auth;
CREATE FUNCTION auth.user_id() RETURNS TEXT LANGUAGE SQL STABLE PARALLEL SAFE AS
    $$ SELECT nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub' $$;
GRANT USAGE ON SCHEMA auth TO PUBLIC;
