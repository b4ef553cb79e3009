-- Whose the tables are, they are open to: `migrate` runs this where the owner's name is another than
-- when they were made, as after a restore by another login or REASSIGN OWNED. Without it a migration
-- would see no rows, and keep counts of nothing.

DO $$ DECLARE guarded TEXT; BEGIN
    FOREACH guarded IN ARRAY ARRAY[
        'cloudinary_files', 'cloudinary_files_history', 'upload_intents', 'reconcile_runs',
        'reconcile_listed', 'notification_receipts', 'notification_marks'
    ] LOOP
        CONTINUE WHEN to_regclass(guarded) IS NULL;
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', guarded);
        CONTINUE WHEN guarded LIKE 'notification%';
        EXECUTE format('DROP POLICY IF EXISTS owner_of_the_table ON %I', guarded);
        EXECUTE format('CREATE POLICY owner_of_the_table ON %I TO %I USING (true)', guarded,
                       (SELECT pg_get_userbyid(relowner) FROM pg_class
                        WHERE oid = guarded::regclass));
    END LOOP;
END $$;
