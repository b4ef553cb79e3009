-- How much does each user keep: assets, bytes, first and last upload.
SELECT user_id, count(*) AS assets, sum(bytes)::bigint AS bytes,
    min(upload_timestamp) AS first_upload, max(upload_timestamp) AS last_upload
FROM cloudinary_files WHERE deleted_at IS NULL
GROUP BY user_id ORDER BY bytes DESC NULLS LAST, user_id
