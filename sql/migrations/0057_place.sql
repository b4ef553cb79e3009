-- Which database the library is. A branch, a copy, a reset or a dump restored brings this row along
-- and is another than it says; then nothing is purged until `migrate --is-the-library` writes it
-- anew. Upgrades by pg_upgrade, restarts and standbys keep the oids; a server's identifier is another
-- after an upgrade, and the same in a branch, whose timeline at Neon is another.
CREATE TABLE media_toolkit_place (
    database_oid OID PRIMARY KEY,
    table_oid OID NOT NULL,
    timeline TEXT NOT NULL,
    noted_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);
INSERT INTO media_toolkit_place (database_oid, table_oid, timeline)
    SELECT oid, 'media_toolkit_place'::regclass, coalesce(current_setting('neon.timeline_id', true), '')
    FROM pg_database WHERE datname = current_database();
-- Also for logins that have policies of their own.
GRANT SELECT ON media_toolkit_place TO PUBLIC;
