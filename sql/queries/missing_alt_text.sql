-- Which pictures have no alternative text (context's alt), newest first.
-- :limit = 1000
SELECT public_id, user_id, folder, media_url, upload_timestamp
FROM cloudinary_files
WHERE deleted_at IS NULL AND resource_type = 'image'
  -- Spaces of every kind, line ends and what has no width are no text.
  AND coalesce(context ->> 'alt', '') !~
    '[^\s\u0085\u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2060\u3000\ufeff]'
ORDER BY upload_timestamp DESC, id DESC LIMIT :limit::bigint
