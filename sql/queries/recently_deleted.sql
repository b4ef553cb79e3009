-- What was deleted in the last days and can still be restored.
-- :days = 30
SELECT public_id, resource_type, user_id, bytes, deleted_at
FROM cloudinary_files
WHERE deleted_at > now() - make_interval(days => least(:days::bigint, 1000000)::integer)
ORDER BY deleted_at DESC, id DESC
