-- Names that macOS wrote, and names in capitals. macOS spells Ü as U and two dots, which fell into
-- two words; a run of capitals before a word was one with it: HTMLParser is also html and parser.
-- Greek has a small sigma of its own at the end of a word, which no capital tells.

CREATE OR REPLACE FUNCTION media_toolkit_rules.words(
    public_id TEXT, original_filename TEXT, tags TEXT[], context JSONB
) RETURNS TSVECTOR LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    spelt TEXT := public_id || ' ' || coalesce(original_filename, '') || ' '
        || array_to_string(tags, ' ', '')
        || CASE WHEN context = '{}' THEN ''
           ELSE ' ' || regexp_replace(jsonb_path_query_array(context, '$.*')::text,
                                      '\\(u[0-9a-f]{4}|.)', ' ', 'g') END;
    runs TEXT := CASE WHEN octet_length(spelt) = length(spelt) THEN spelt
                      ELSE normalize(spelt, NFC) END;
    parts TEXT := regexp_replace(runs,
        '(?<=[[:lower:]])(?=[[:upper:]])|(?<=[[:upper:]])(?=[[:upper:]][[:lower:]])'
        '|(?<=[[:alpha:]])(?=[[:digit:]])|(?<=[[:digit:]])(?=[[:alpha:]])',
        ' ', 'g');
    found TEXT[];
BEGIN
    IF parts <> runs THEN
        runs := runs || ' ' || parts;
    END IF;
    -- A set-returning split and DISTINCT cost twice as much; array_to_tsvector sorts anyway.
    found := array_remove(string_to_array(
        regexp_replace(translate(lower(runs), 'ς', 'σ'), '[^[:alnum:]]+', ' ', 'g'), ' '), '');
    -- A lexeme holds 2 kB; nobody types more than this of a word.
    IF length(runs) > 200 THEN
        found := ARRAY(SELECT left(word, 200) FROM unnest(found) AS word);
    END IF;
    RETURN array_to_tsvector(found);
END $$;

-- The rows whose words change; nothing else of them does, which is no event of their history.
CREATE TEMPORARY TABLE media_toolkit_resting ON COMMIT DROP AS
    SELECT tgname FROM pg_trigger
    WHERE tgrelid = 'cloudinary_files'::regclass AND NOT tgisinternal AND tgenabled = 'O';
DO $$ DECLARE trigger TEXT; BEGIN
    FOR trigger IN SELECT tgname FROM media_toolkit_resting LOOP
        EXECUTE format('ALTER TABLE cloudinary_files DISABLE TRIGGER %I', trigger);
    END LOOP;
END $$;
UPDATE cloudinary_files SET public_id = public_id
WHERE public_id || ' ' || coalesce(original_filename, '') || ' ' || array_to_string(tags, ' ', '')
        || ' ' || context::text IS NOT NFC NORMALIZED
   OR public_id || ' ' || coalesce(original_filename, '') || ' ' || array_to_string(tags, ' ', '')
        || ' ' || context::text ~ '[[:upper:]]{2}[[:lower:]]|ς';
SET CONSTRAINTS ALL IMMEDIATE;
DO $$ DECLARE trigger TEXT; BEGIN
    FOR trigger IN SELECT tgname FROM media_toolkit_resting LOOP
        EXECUTE format('ALTER TABLE cloudinary_files ENABLE TRIGGER %I', trigger);
    END LOOP;
END $$;
