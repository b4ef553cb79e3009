-- Which formats take the space: assets, bytes in all and on average.
SELECT resource_type, format, count(*) AS assets,
    CASE WHEN count(bytes) > 0 THEN least(sum(bytes), 9223372036854775807) END::bigint AS bytes,
    avg(bytes)::bigint AS average_bytes
FROM cloudinary_files WHERE deleted_at IS NULL
GROUP BY resource_type, format ORDER BY bytes DESC NULLS LAST, resource_type, format
