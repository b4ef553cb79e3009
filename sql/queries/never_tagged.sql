-- Which assets have no tag, newest first.
-- :limit = 1000
SELECT public_id, resource_type, user_id, folder, upload_timestamp
FROM cloudinary_files WHERE deleted_at IS NULL AND cardinality(tags) = 0
ORDER BY upload_timestamp DESC, id DESC LIMIT :limit::bigint
