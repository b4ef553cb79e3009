-- How much does each user keep: assets, bytes, first and last upload.
SELECT user_id, count(*) AS assets,
    CASE WHEN count(bytes) > 0 THEN least(sum(bytes), 9223372036854775807) END::bigint AS bytes,
    min(coalesce(created_at, upload_timestamp)) AS first_upload,
    max(coalesce(created_at, upload_timestamp)) AS last_upload
FROM cloudinary_files WHERE deleted_at IS NULL
GROUP BY user_id ORDER BY bytes DESC NULLS LAST, user_id
