-- Which tags are used, by how many assets and users.
-- :limit = 1000
SELECT tag, sum(assets)::bigint AS assets, count(*) AS users
FROM (
    SELECT tag, user_id, sum(assets) AS assets FROM cloudinary_files_counts
    WHERE tag IS NOT NULL GROUP BY tag, user_id HAVING sum(assets) > 0
) AS kept
GROUP BY tag ORDER BY assets DESC, tag LIMIT :limit::bigint
