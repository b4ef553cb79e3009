-- Tables without a primary key: where everything is published (FOR ALL TABLES), Postgres refuses
-- to change rows that a subscriber could not find again. `migrate` runs this where it is not so.

DO $$ DECLARE plain REGCLASS; BEGIN
    FOREACH plain IN ARRAY ARRAY[
        to_regclass('cloudinary_files_counts'), to_regclass('cloudinary_files_tagged'),
        to_regclass('cloudinary_files_totals')
    ] LOOP
        CONTINUE WHEN plain IS NULL;
        EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', plain);
    END LOOP;
END $$;
