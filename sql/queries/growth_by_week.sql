-- How fast does the library grow: assets and bytes of each week that has any (from Monday, UTC).
SELECT date_trunc('week', coalesce(created_at, upload_timestamp), 'UTC') AS week,
    count(*) AS assets,
    CASE WHEN count(bytes) > 0 THEN least(sum(bytes), 9223372036854775807) END::bigint AS bytes,
    (sum(count(*)) OVER weeks)::bigint AS assets_so_far
FROM cloudinary_files WHERE deleted_at IS NULL
GROUP BY 1 WINDOW weeks AS (
    ORDER BY date_trunc('week', coalesce(created_at, upload_timestamp), 'UTC'))
ORDER BY 1
