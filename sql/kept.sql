-- What triggers keep, made anew from the rows, as 0011, 0013, 0014 and 0038 count them: a load of
-- data alone has counted them twice, or not at all. Writers wait meanwhile, readers do not.

LOCK TABLE cloudinary_files IN SHARE ROW EXCLUSIVE MODE;
DELETE FROM cloudinary_files_counts;
DELETE FROM cloudinary_files_totals;
DELETE FROM cloudinary_files_tagged;

INSERT INTO cloudinary_files_tagged
SELECT DISTINCT tag, upload_timestamp, id, user_id, resource_type
FROM cloudinary_files CROSS JOIN unnest(tags) AS tag
WHERE deleted_at IS NULL AND tag IS NOT NULL
ORDER BY tag, upload_timestamp, id;

INSERT INTO cloudinary_files_counts
SELECT user_id, resource_type, delivery_type, format, NULL, count(*) FROM cloudinary_files
WHERE deleted_at IS NULL GROUP BY 1, 2, 3, 4
UNION ALL
SELECT user_id, '', '', NULL, tag, count(*) FROM cloudinary_files_tagged GROUP BY 1, 5;

INSERT INTO cloudinary_files_totals
SELECT tag, count(*) FROM cloudinary_files_tagged GROUP BY 1;
