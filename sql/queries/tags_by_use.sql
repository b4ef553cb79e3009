-- Which tags are used, by how many assets and users.
-- :limit = 1000
SELECT tag, count(*) AS assets, count(DISTINCT user_id) AS users
FROM cloudinary_files CROSS JOIN LATERAL (SELECT DISTINCT unnest(tags) AS tag) AS used
WHERE deleted_at IS NULL
GROUP BY tag ORDER BY assets DESC, tag LIMIT :limit::bigint
