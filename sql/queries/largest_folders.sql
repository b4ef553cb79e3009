-- Which folders take the space, each without those below it.
-- :limit = 100
SELECT folder, count(*) AS assets,
    CASE WHEN count(bytes) > 0 THEN least(sum(bytes), 9223372036854775807) END::bigint AS bytes
FROM cloudinary_files WHERE deleted_at IS NULL
GROUP BY folder ORDER BY bytes DESC NULLS LAST, folder LIMIT :limit::bigint
