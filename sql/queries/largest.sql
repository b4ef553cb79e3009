-- Which originals are the largest.
-- :limit = 100
SELECT public_id, resource_type, format, user_id, bytes, upload_timestamp
FROM cloudinary_files WHERE deleted_at IS NULL AND bytes IS NOT NULL
ORDER BY bytes DESC, id LIMIT :limit::bigint
