-- An intent gives an upload to its owner: so nobody writes one but by these functions, which take
-- the user from the claims and the time from the clock. What a caller signs is theirs to choose;
-- whom of several an upload is given to, the toolkit decides.

REVOKE INSERT, UPDATE, DELETE ON upload_intents FROM media_toolkit_app;

-- Another's settled intent of that name and version is in nobody's way.
DROP INDEX upload_intents_settling;
CREATE UNIQUE INDEX upload_intents_settling
    ON upload_intents (asset_public_id, asset_resource_type, asset_delivery_type, asset_version,
                       user_id, asset_id)
    NULLS NOT DISTINCT WHERE settled_at IS NOT NULL;

-- How closely an upload was signed, name apart: two signatures of one user may both fit what came by
-- the closer of them.
CREATE FUNCTION media_toolkit_rules.closeness(parameters JSONB) RETURNS INT[]
LANGUAGE SQL IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY[
        coalesce(length(parameters ->> 'folder'), 0)
            + coalesce(length(parameters ->> 'asset_folder'), 0),
        coalesce(cardinality(string_to_array(parameters ->> 'tags', ',')), 0)]
$$;
DROP INDEX upload_intents_nameless;
CREATE INDEX upload_intents_nameless ON upload_intents
    (user_id, media_toolkit_rules.closeness(parameters) DESC, signed_at DESC, id DESC)
    WHERE settled_at IS NULL AND public_id IS NULL;

-- What tells whose an upload is, of all users; those that signed a name are found by it.
CREATE INDEX upload_intents_telling ON upload_intents (expires_at)
    WHERE settled_at IS NULL AND public_id IS NULL
        AND parameters ?| ARRAY['folder', 'asset_folder', 'tags'];

-- An empty text is no folder and no tag, and Cloudinary takes it for none.
UPDATE upload_intents SET public_id = nullif(public_id, ''), parameters = (
        SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(parameters)
        WHERE value <> '""')
WHERE settled_at IS NULL AND jsonb_typeof(parameters) = 'object'
    AND jsonb_path_exists(parameters, '$.* ? (@ == "")');

CREATE FUNCTION media_toolkit_rules.forget_intents(forgotten TIMESTAMPTZ, few INT) RETURNS INT
LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off AS $$
DECLARE
    gone INT;
BEGIN
    IF auth.user_id() IS NULL THEN
        RAISE insufficient_privilege USING MESSAGE = 'nobody is signed in';
    END IF;
    DELETE FROM upload_intents WHERE id IN (
        SELECT id FROM upload_intents
        WHERE expires_at < least(forgotten, now() - interval '90 days')
        ORDER BY expires_at LIMIT few FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;

-- `signed_at` is the signature's timestamp where a clock may be that wrong, else the present.
CREATE OR REPLACE FUNCTION media_toolkit_rules.open_intents(
    opened JSONB, forgotten TIMESTAMPTZ, few INT
) RETURNS SETOF upload_intents LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off AS $$
DECLARE
    present TIMESTAMPTZ := date_trunc('second', clock_timestamp());
BEGIN
    PERFORM media_toolkit_rules.forget_intents(forgotten, few);
    RETURN QUERY
        INSERT INTO upload_intents (user_id, parameters, public_id, signed_at, expires_at)
        SELECT auth.user_id(), told.parameters, nullif(one.public_id, ''), told.signed_at,
            least(one.expires_at, told.signed_at + interval '1 hour')
        FROM ROWS FROM (jsonb_to_recordset(opened) AS (
            parameters JSONB, public_id TEXT, signed_at TIMESTAMPTZ, expires_at TIMESTAMPTZ))
            WITH ORDINALITY AS one
        CROSS JOIN LATERAL (SELECT
            (SELECT coalesce(jsonb_object_agg(key, value), '{}')
             FROM jsonb_each(one.parameters) WHERE value <> '""') AS parameters,
            CASE WHEN one.signed_at BETWEEN present - interval '10 minutes'
                AND present + interval '10 minutes' THEN one.signed_at ELSE present END
            AS signed_at) AS told
        ORDER BY ordinality
        RETURNING *;
END $$;

-- Settles open intents of the caller's, an admin's call anybody's: an element names its `intent`
-- and the asset, as the columns of cloudinary_files are called.
CREATE FUNCTION media_toolkit_rules.settle_intents(told_by TEXT, settling JSONB)
RETURNS SETOF upload_intents LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off AS $$
DECLARE
    caller TEXT := auth.user_id();
    may_all BOOLEAN := coalesce(media_toolkit_rules.is_admin(), false);
BEGIN
    RETURN QUERY
        UPDATE upload_intents AS i SET settled_at = now(), settled_by = told_by,
            asset_id = one.asset_id, asset_public_id = one.public_id,
            asset_resource_type = one.resource_type, asset_delivery_type = one.delivery_type,
            asset_version = one.version
        FROM jsonb_to_recordset(settling) AS one (
            intent BIGINT, asset_id TEXT, public_id TEXT, resource_type TEXT,
            delivery_type TEXT, version BIGINT)
        WHERE i.id = one.intent AND i.settled_at IS NULL AND (i.user_id = caller OR may_all)
        RETURNING i.*;
END $$;

-- Opens what a guess settled by an upload that turns out to be `sender`'s.
CREATE FUNCTION media_toolkit_rules.reopen_intents(
    sender TEXT, name TEXT, kind TEXT, delivery TEXT, told_version BIGINT
) RETURNS VOID LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off AS $$
BEGIN
    IF NOT coalesce(media_toolkit_rules.is_admin(), false) THEN
        RAISE insufficient_privilege USING MESSAGE = 'an admin opens intents again';
    END IF;
    UPDATE upload_intents SET settled_at = NULL, settled_by = NULL, asset_id = NULL,
        asset_public_id = NULL, asset_resource_type = NULL, asset_delivery_type = NULL,
        asset_version = NULL
    WHERE settled_at IS NOT NULL AND settled_by <> 'save' AND user_id <> sender
      AND (asset_public_id, asset_resource_type, asset_delivery_type, asset_version)
          = (name, kind, delivery, told_version);
END $$;

-- Whether this name was signed for somebody else, whose intents the caller does not see, in the
-- time of an upload at that moment.
DROP FUNCTION media_toolkit_rules.is_signed_for_another(TEXT);
CREATE FUNCTION media_toolkit_rules.is_signed_for_another(name TEXT, moment TIMESTAMPTZ)
RETURNS BOOLEAN LANGUAGE plpgsql STABLE SECURITY DEFINER SET enable_seqscan = off AS $$
BEGIN
    RETURN EXISTS (SELECT FROM upload_intents
                   WHERE settled_at IS NULL AND public_id IS NOT NULL AND public_id = name
                     AND user_id <> auth.user_id()
                     AND signed_at <= moment + interval '10 minutes'
                     AND expires_at >= moment - interval '10 minutes');
END $$;

-- The caller's intent of each arrival, held until the transaction ends: see save_arrivals. Their
-- own signature of that very name is theirs, whoever signed it beside them; another's of it stands
-- before what they signed without a name.
CREATE FUNCTION media_toolkit_rules.intents_of_arrivals(arrivals JSONB, leeway INTERVAL)
RETURNS TABLE (intent BIGINT, signed JSONB)
-- Found in the order of an index, at the first that fits.
LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off SET enable_sort = off AS $$
DECLARE
    caller TEXT := auth.user_id();
    one RECORD;
    seen BIGINT[] := '{}';
BEGIN
    FOR one IN
        SELECT * FROM jsonb_to_recordset(arrivals) AS a (
            public_id TEXT, delivery_type TEXT, folder TEXT, tags TEXT[],
            uploaded_at TIMESTAMPTZ, intent BIGINT)
    LOOP
        intent := NULL;
        signed := NULL;
        IF one.intent IS NOT NULL THEN
            SELECT i.id, i.parameters INTO intent, signed FROM upload_intents AS i
            WHERE i.id = one.intent AND i.user_id = caller AND i.settled_at IS NULL
            FOR UPDATE SKIP LOCKED;
        ELSE
            SELECT i.id, i.parameters INTO intent, signed FROM upload_intents AS i
            WHERE i.settled_at IS NULL AND i.public_id IS NOT NULL
              AND i.public_id = one.public_id AND i.user_id = caller
              AND i.created_at <= one.uploaded_at + interval '1 second'
              AND i.signed_at <= one.uploaded_at + leeway
              AND i.expires_at >= one.uploaded_at - leeway
              AND media_toolkit_rules.is_as_signed(i.parameters, one.delivery_type,
                  one.public_id, coalesce(one.folder, ''), one.tags)
              AND NOT i.id = ANY (seen)
            ORDER BY media_toolkit_rules.closeness(i.parameters) DESC,
                i.signed_at DESC, i.id DESC
            LIMIT 1 FOR UPDATE SKIP LOCKED;
            -- Who signs what is there already gets Cloudinary's signed answer to it.
            IF intent IS NULL
                AND NOT media_toolkit_rules.is_signed_for_another(one.public_id, one.uploaded_at)
                AND NOT EXISTS (SELECT FROM upload_intents AS i
                                WHERE i.settled_at IS NULL AND i.public_id IS NOT NULL
                                  AND i.public_id = one.public_id AND i.user_id = caller)
            THEN
                SELECT i.id, i.parameters INTO intent, signed FROM upload_intents AS i
                WHERE i.settled_at IS NULL AND i.public_id IS NULL AND i.user_id = caller
                  AND i.signed_at <= one.uploaded_at + leeway
                  AND i.expires_at >= one.uploaded_at - leeway
                  AND media_toolkit_rules.is_as_signed(i.parameters, one.delivery_type,
                      one.public_id, coalesce(one.folder, ''), one.tags)
                  AND NOT i.id = ANY (seen)
                ORDER BY media_toolkit_rules.closeness(i.parameters) DESC,
                    i.signed_at DESC, i.id DESC
                LIMIT 1 FOR UPDATE SKIP LOCKED;
            END IF;
        END IF;
        seen := seen || coalesce(intent, 0);
        RETURN NEXT;
    END LOOP;
END $$;

-- As 0023_arrivals.sql describes it; rows are written as the caller, under row-level security.
CREATE OR REPLACE FUNCTION media_toolkit_rules.save_arrivals(arrivals JSONB, leeway INTERVAL)
RETURNS TABLE (at INT, intent BIGINT, signed JSONB, saved BOOLEAN)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_sort = off AS $$
DECLARE
    caller TEXT := auth.user_id();
    one RECORD;
    must_look BOOLEAN;
    seen BIGINT[] := '{}';
    told JSONB[] := '{}';
    settling BIGINT[] := '{}';
    written INT[];
    settled JSONB;
BEGIN
    IF caller IS NULL THEN
        RAISE insufficient_privilege USING MESSAGE = 'nobody is signed in';
    END IF;
    FOR one IN
        SELECT e.intent, e.signed, e.item ->> 'intent' IS NOT NULL AS is_known,
            (e.item ->> 'fits')::boolean AS fits
        FROM ROWS FROM (jsonb_array_elements(arrivals),
                        media_toolkit_rules.intents_of_arrivals(arrivals, leeway))
            WITH ORDINALITY AS e (item, intent, signed, n)
    LOOP
        must_look := NOT one.is_known
            AND one.signed ?| ARRAY['folder', 'allowed_formats', 'tags'];
        seen := seen || coalesce(one.intent, 0);
        told := told || CASE WHEN must_look THEN one.signed END;
        settling := settling || CASE
            WHEN one.is_known OR (one.fits AND NOT must_look) THEN one.intent END;
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
    )
    SELECT array_agg(e.n::int),
        jsonb_agg(to_jsonb(new) || jsonb_build_object('intent', settling[e.n]))
    INTO written, settled
    FROM jsonb_array_elements(arrivals) WITH ORDINALITY AS e (item, n) JOIN new
        ON (e.item ->> 'public_id', e.item ->> 'resource_type', e.item ->> 'delivery_type')
            = (new.public_id, new.resource_type, new.delivery_type)
    WHERE settling[e.n] IS NOT NULL;
    IF written IS NOT NULL THEN
        PERFORM media_toolkit_rules.settle_intents('save', settled);
    END IF;
    RETURN QUERY SELECT n - 1, seen[n], told[n], coalesce(n = ANY (written), false)
        FROM generate_series(1, cardinality(told)) AS n;
END $$;

-- The id of a new run is the sequence's: one that was chosen stood in the way of others'.
REVOKE INSERT ON reconcile_runs FROM media_toolkit_app;
GRANT INSERT (user_id, scope) ON reconcile_runs TO media_toolkit_app;

REVOKE ALL ON FUNCTION
    media_toolkit_rules.open_intents, media_toolkit_rules.forget_intents,
    media_toolkit_rules.settle_intents, media_toolkit_rules.reopen_intents,
    media_toolkit_rules.intents_of_arrivals,
    media_toolkit_rules.is_signed_for_another FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    media_toolkit_rules.open_intents, media_toolkit_rules.forget_intents,
    media_toolkit_rules.settle_intents, media_toolkit_rules.reopen_intents,
    media_toolkit_rules.intents_of_arrivals,
    media_toolkit_rules.is_signed_for_another TO media_toolkit_app;
DO $$ DECLARE
    place TEXT := (SELECT relnamespace::regnamespace::text FROM pg_class
                   WHERE oid = 'upload_intents'::regclass);
    name TEXT;
BEGIN
    -- No table of the caller's may stand before ours: temporary ones come last.
    FOREACH name IN ARRAY ARRAY['open_intents', 'forget_intents', 'settle_intents',
                                'reopen_intents', 'intents_of_arrivals', 'is_signed_for_another'] LOOP
        EXECUTE format('ALTER FUNCTION media_toolkit_rules.%s SET search_path = %I, pg_temp',
                       name, place);
    END LOOP;
END $$;
