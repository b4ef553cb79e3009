-- The two calls that browsers make most, each one round trip whose plans are kept: intents are
-- opened, and plain arrivals saved. Both act as the caller, under row-level security.

-- `unsettled` serves lists; these, finding the one intent that an upload came from.
CREATE INDEX upload_intents_by_name ON upload_intents (public_id)
    WHERE settled_at IS NULL AND public_id IS NOT NULL;
CREATE INDEX upload_intents_nameless ON upload_intents
    (user_id, (parameters ?| ARRAY['folder', 'asset_folder']) DESC, (parameters ? 'tags') DESC,
     signed_at DESC, id DESC)
    WHERE settled_at IS NULL AND public_id IS NULL;

-- A plan that is kept from when the table was small would read all of it later: therefore no
-- sequential scans, here and below.
-- Also forgets a few that expired before `forgotten`, so that the table stays as large as what
-- is remembered.
CREATE FUNCTION media_toolkit_rules.open_intents(opened JSONB, forgotten TIMESTAMPTZ, few INT)
RETURNS SETOF upload_intents LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    DELETE FROM upload_intents WHERE id IN (
        SELECT id FROM upload_intents WHERE expires_at < forgotten
        ORDER BY expires_at LIMIT few FOR UPDATE SKIP LOCKED);
    RETURN QUERY
        INSERT INTO upload_intents (user_id, parameters, public_id, signed_at, expires_at)
        SELECT auth.user_id(), one.parameters, one.public_id, one.signed_at, one.expires_at
        FROM ROWS FROM (jsonb_to_recordset(opened) AS (
            parameters JSONB, public_id TEXT, signed_at TIMESTAMPTZ, expires_at TIMESTAMPTZ))
            WITH ORDINALITY AS one ORDER BY ordinality
        RETURNING *;
END $$;

-- Whether an upload is as it was signed, name and time apart.
CREATE FUNCTION media_toolkit_rules.is_as_signed(
    parameters JSONB, delivery_type TEXT, public_id TEXT, folder TEXT, tags TEXT[]
) RETURNS BOOLEAN LANGUAGE SQL IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(parameters ->> 'type', 'upload') = delivery_type
        AND (NOT parameters ? 'folder' OR parameters ? 'public_id'
             OR starts_with(public_id, (parameters ->> 'folder') || '/')
             OR folder = parameters ->> 'folder')
        AND (NOT parameters ? 'asset_folder' OR folder = parameters ->> 'asset_folder')
        AND (NOT parameters ? 'tags' OR string_to_array(parameters ->> 'tags', ',') <@ tags)
$$;

-- Whether this name was signed for somebody else, whose intents the caller does not see.
CREATE FUNCTION media_toolkit_rules.is_signed_for_another(name TEXT) RETURNS BOOLEAN
LANGUAGE plpgsql STABLE SECURITY DEFINER SET enable_seqscan = off AS $$
BEGIN
    RETURN EXISTS (SELECT FROM upload_intents
                   WHERE settled_at IS NULL AND public_id IS NOT NULL AND public_id = name
                     AND user_id <> auth.user_id());
END $$;
REVOKE ALL ON FUNCTION media_toolkit_rules.is_signed_for_another FROM PUBLIC;
GRANT EXECUTE ON FUNCTION media_toolkit_rules.is_signed_for_another TO media_toolkit_app;
DO $$ BEGIN
    -- No table of the caller's may stand before ours: temporary ones come last.
    EXECUTE format('ALTER FUNCTION media_toolkit_rules.is_signed_for_another'
                   ' SET search_path = %I, pg_temp',
                   (SELECT relnamespace::regnamespace::text FROM pg_class
                    WHERE oid = 'upload_intents'::regclass));
END $$;

-- Inserts new assets of the caller's, each with the intent that it settles. An element of
-- `arrivals` is a row of cloudinary_files and, beside it, `uploaded_at`; `intent`, the id of one
-- that is known to fit; `fits`, whether an intent fits that limits neither folder, formats nor
-- tags. No two of a name. What is not as plain as this is left as it was: another user's name
-- or row, a row that stands already, no intent, or one that the caller has to look at, which
-- comes back for it.
CREATE FUNCTION media_toolkit_rules.save_arrivals(arrivals JSONB, leeway INTERVAL)
RETURNS TABLE (at INT, intent BIGINT, signed JSONB, saved BOOLEAN)
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    caller TEXT := auth.user_id();
    one RECORD;
    found_id BIGINT;
    found_signed JSONB;
    seen BIGINT[] := '{}';
    told JSONB[] := '{}';
    settling BIGINT[] := '{}';
    must_look BOOLEAN;
    written INT[];
BEGIN
    IF caller IS NULL THEN
        RAISE insufficient_privilege USING MESSAGE = 'nobody is signed in';
    END IF;
    FOR one IN
        SELECT * FROM jsonb_to_recordset(arrivals) AS a (
            public_id TEXT, delivery_type TEXT, folder TEXT, tags TEXT[],
            uploaded_at TIMESTAMPTZ, intent BIGINT, fits BOOLEAN)
    LOOP
        found_id := NULL;
        found_signed := NULL;
        IF one.intent IS NOT NULL THEN
            SELECT i.id, i.parameters INTO found_id, found_signed FROM upload_intents AS i
            WHERE i.id = one.intent AND i.user_id = caller AND i.settled_at IS NULL
            FOR UPDATE SKIP LOCKED;
        ELSIF NOT media_toolkit_rules.is_signed_for_another(one.public_id) THEN
            SELECT i.id, i.parameters INTO found_id, found_signed FROM upload_intents AS i
            WHERE i.settled_at IS NULL AND i.public_id IS NOT NULL
              AND i.public_id = one.public_id AND i.user_id = caller
              AND i.signed_at <= one.uploaded_at + leeway
              AND i.expires_at >= one.uploaded_at - leeway
              AND media_toolkit_rules.is_as_signed(i.parameters, one.delivery_type,
                  one.public_id, coalesce(one.folder, ''), one.tags)
              AND NOT i.id = ANY (seen)
            ORDER BY (i.parameters ?| ARRAY['folder', 'asset_folder']) DESC,
                (i.parameters ? 'tags') DESC, i.signed_at DESC, i.id DESC
            LIMIT 1 FOR UPDATE SKIP LOCKED;
            IF found_id IS NULL THEN
                SELECT i.id, i.parameters INTO found_id, found_signed FROM upload_intents AS i
                WHERE i.settled_at IS NULL AND i.public_id IS NULL AND i.user_id = caller
                  AND i.signed_at <= one.uploaded_at + leeway
                  AND i.expires_at >= one.uploaded_at - leeway
                  AND media_toolkit_rules.is_as_signed(i.parameters, one.delivery_type,
                      one.public_id, coalesce(one.folder, ''), one.tags)
                  AND NOT i.id = ANY (seen)
                ORDER BY (i.parameters ?| ARRAY['folder', 'asset_folder']) DESC,
                    (i.parameters ? 'tags') DESC, i.signed_at DESC, i.id DESC
                LIMIT 1 FOR UPDATE SKIP LOCKED;
            END IF;
        END IF;
        must_look := one.intent IS NULL
            AND found_signed ?| ARRAY['folder', 'allowed_formats', 'tags'];
        seen := seen || coalesce(found_id, 0);
        told := told || CASE WHEN must_look THEN found_signed END;
        settling := settling || CASE
            WHEN one.intent IS NOT NULL OR (one.fits AND NOT must_look) THEN found_id END;
    END LOOP;
    WITH new AS (
        INSERT INTO cloudinary_files (
            public_id, media_url, resource_type, user_id, asset_id, delivery_type, version,
            format, width, height, duration, bytes, tags, context, folder, original_filename,
            etag, phash, created_at, raw)
        SELECT
            r.public_id, r.media_url, r.resource_type, caller, r.asset_id, r.delivery_type,
            r.version, r.format, r.width, r.height, r.duration, r.bytes, r.tags, r.context,
            r.folder, r.original_filename, r.etag, r.phash, r.created_at, r.raw
        FROM jsonb_array_elements(arrivals) WITH ORDINALITY AS e (item, n)
        CROSS JOIN LATERAL jsonb_populate_record(NULL::cloudinary_files, e.item) AS r
        WHERE settling[e.n] IS NOT NULL
        ON CONFLICT DO NOTHING
        RETURNING public_id, resource_type, delivery_type, asset_id, version
    ), settled AS (
        UPDATE upload_intents AS i SET settled_at = now(), settled_by = 'save',
            asset_id = new.asset_id, asset_public_id = new.public_id,
            asset_resource_type = new.resource_type, asset_delivery_type = new.delivery_type,
            asset_version = new.version
        FROM jsonb_array_elements(arrivals) WITH ORDINALITY AS e (item, n), new
        WHERE i.id = settling[e.n] AND i.id = ANY (settling)
          AND (e.item ->> 'public_id', e.item ->> 'resource_type', e.item ->> 'delivery_type')
              = (new.public_id, new.resource_type, new.delivery_type)
        RETURNING e.n
    )
    SELECT array_agg(n::int) INTO written FROM settled;
    RETURN QUERY SELECT n - 1, seen[n], told[n], coalesce(n = ANY (written), false)
        FROM generate_series(1, cardinality(told)) AS n;
END $$;
