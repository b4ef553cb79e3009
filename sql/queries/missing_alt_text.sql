-- Which pictures have no alternative text (context's alt), newest first.
-- :limit = 1000
SELECT public_id, user_id, folder, media_url, upload_timestamp
FROM cloudinary_files
WHERE deleted_at IS NULL AND resource_type = 'image'
  AND coalesce(trim(context ->> 'alt'), '') = ''
ORDER BY upload_timestamp DESC, id DESC LIMIT :limit::bigint
