-- Which files were uploaded more than once (the same etag), and how many bytes that wastes.
-- :limit = 1000
SELECT etag, count(*) AS copies, max(bytes) AS bytes,
    CASE WHEN count(bytes) > 0 THEN least(sum(bytes) - max(bytes), 9223372036854775807) END::bigint
        AS wasted_bytes,
    array_agg(public_id ORDER BY upload_timestamp, id) AS public_ids
FROM cloudinary_files WHERE deleted_at IS NULL AND etag <> ''
GROUP BY etag HAVING count(*) > 1 ORDER BY wasted_bytes DESC NULLS LAST, etag LIMIT :limit::bigint
