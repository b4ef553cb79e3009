-- The words of an asset in a third of the time: making them was a third of what a save of many
-- costs. They are the same words, so what is stored and indexed stays as it is.

CREATE OR REPLACE FUNCTION media_toolkit_rules.words(
    public_id TEXT, original_filename TEXT, tags TEXT[], context JSONB
) RETURNS TSVECTOR LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    runs TEXT := public_id || ' ' || coalesce(original_filename, '') || ' '
        || array_to_string(tags, ' ', '')
        || CASE WHEN context = '{}' THEN ''
           ELSE ' ' || regexp_replace(jsonb_path_query_array(context, '$.*')::text,
                                      '\\(u[0-9a-f]{4}|.)', ' ', 'g') END;
    parts TEXT := regexp_replace(runs,
        '(?<=[[:lower:]])(?=[[:upper:]])|(?<=[[:alpha:]])(?=[[:digit:]])|(?<=[[:digit:]])(?=[[:alpha:]])',
        ' ', 'g');
    found TEXT[];
BEGIN
    IF parts <> runs THEN
        runs := runs || ' ' || parts;
    END IF;
    -- A set-returning split and DISTINCT cost twice as much; array_to_tsvector sorts anyway.
    found := array_remove(string_to_array(
        regexp_replace(lower(runs), '[^[:alnum:]]+', ' ', 'g'), ' '), '');
    -- A lexeme holds 2 kB; nobody types more than this of a word.
    IF length(runs) > 200 THEN
        found := ARRAY(SELECT left(word, 200) FROM unnest(found) AS word);
    END IF;
    RETURN array_to_tsvector(found);
END $$;
