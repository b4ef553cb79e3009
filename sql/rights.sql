-- What the app's role may do, all of it: as the migrations leave it, for a database that was
-- restored without the role or without its grants. `migrate` runs it then, and a file of
-- sql/policies after it. Whatever it says may be so already.

DO $$ BEGIN
    IF NOT has_schema_privilege('media_toolkit_app', 'auth', 'USAGE') THEN
        GRANT USAGE ON SCHEMA auth TO PUBLIC;
    END IF;
END $$;

-- Functions that act as the owner are nobody's but the triggers' and, some of them, the app's.
REVOKE ALL ON FUNCTION
    media_toolkit_rules.record_inserts, media_toolkit_rules.record_updates,
    media_toolkit_rules.record_deletes, media_toolkit_rules.record_truncation,
    media_toolkit_rules.count_changes, media_toolkit_rules.fold_counts,
    media_toolkit_rules.fold_totals, media_toolkit_rules.keep_tags,
    media_toolkit_rules.taken, media_toolkit_rules.is_signed_for_another,
    media_toolkit_rules.last_told, media_toolkit_rules.history_of,
    media_toolkit_rules.open_intents, media_toolkit_rules.forget_intents,
    media_toolkit_rules.settle_intents, media_toolkit_rules.intents_of_arrivals,
    media_toolkit_rules.reopen_intents, media_toolkit_rules.purged
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    media_toolkit_rules.taken, media_toolkit_rules.is_signed_for_another,
    media_toolkit_rules.last_told, media_toolkit_rules.history_of,
    media_toolkit_rules.open_intents, media_toolkit_rules.forget_intents,
    media_toolkit_rules.settle_intents, media_toolkit_rules.intents_of_arrivals,
    media_toolkit_rules.reopen_intents, media_toolkit_rules.purged
    TO media_toolkit_app;
GRANT USAGE ON SCHEMA media_toolkit_rules TO PUBLIC;

GRANT SELECT ON cloudinary_files_history, cloudinary_files_counts, cloudinary_files_tagged,
    cloudinary_files_totals, media_toolkit_migrations, media_toolkit_policy TO media_toolkit_app;
GRANT SELECT ON media_toolkit_place TO PUBLIC;
GRANT SELECT ON upload_intents TO media_toolkit_app;
GRANT SELECT, UPDATE, DELETE ON reconcile_runs TO media_toolkit_app;
GRANT INSERT (user_id, scope) ON reconcile_runs TO media_toolkit_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON notification_receipts, notification_marks,
    reconcile_listed TO media_toolkit_app;
GRANT SELECT, UPDATE, DELETE ON cloudinary_files TO media_toolkit_app;
DO $$ DECLARE
    written TEXT := (SELECT string_agg(format('%I', attname), ', ') FROM pg_attribute
                     WHERE attrelid = 'cloudinary_files'::regclass AND attnum > 0
                         AND NOT attisdropped AND attgenerated = '' AND attname <> 'id');
    place REGNAMESPACE := (SELECT relnamespace FROM pg_class
                           WHERE oid = 'cloudinary_files'::regclass);
BEGIN
    EXECUTE format('GRANT INSERT (%s) ON cloudinary_files TO media_toolkit_app', written);
    EXECUTE format('GRANT USAGE ON SEQUENCE %s TO media_toolkit_app',
                   pg_get_serial_sequence('cloudinary_files', 'id'));
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO media_toolkit_app', place);
END $$;

ALTER TABLE cloudinary_files_counts ENABLE ROW LEVEL SECURITY;
ALTER TABLE cloudinary_files_tagged ENABLE ROW LEVEL SECURITY;
ALTER TABLE cloudinary_files_totals ENABLE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS reading ON cloudinary_files_counts;
DROP POLICY IF EXISTS reading ON cloudinary_files_tagged;
DROP POLICY IF EXISTS reading ON cloudinary_files_totals;
CREATE POLICY reading ON cloudinary_files_counts FOR SELECT
    USING ((SELECT media_toolkit_rules.reads_all()) OR user_id = (SELECT auth.user_id()));
CREATE POLICY reading ON cloudinary_files_tagged FOR SELECT
    USING ((SELECT media_toolkit_rules.reads_all()) OR user_id = (SELECT auth.user_id()));
CREATE POLICY reading ON cloudinary_files_totals FOR SELECT
    USING ((SELECT media_toolkit_rules.reads_all()));

DROP POLICY IF EXISTS owner_or_admin ON upload_intents;
DROP POLICY IF EXISTS own ON reconcile_runs;
DROP POLICY IF EXISTS own ON reconcile_listed;
DROP POLICY IF EXISTS admins ON notification_receipts;
DROP POLICY IF EXISTS admins ON notification_marks;
CREATE POLICY owner_or_admin ON upload_intents TO media_toolkit_app
    USING (user_id = (SELECT auth.user_id()) OR (SELECT media_toolkit_rules.is_admin()));
CREATE POLICY own ON reconcile_runs TO media_toolkit_app
    USING (user_id = (SELECT auth.user_id()));
CREATE POLICY own ON reconcile_listed TO media_toolkit_app
    USING (run_id IN (SELECT id FROM reconcile_runs));
CREATE POLICY admins ON notification_receipts USING ((SELECT media_toolkit_rules.is_admin()));
CREATE POLICY admins ON notification_marks USING ((SELECT media_toolkit_rules.is_admin()));
