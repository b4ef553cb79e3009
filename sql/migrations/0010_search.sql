-- Words for search, kept by Postgres itself, and the indexes that pages are read by.

-- The runs of letters and digits in names, tags and values of context, in small letters; and the
-- parts of a run where small letters meet capitals, or letters meet digits: "SpringTulip2024" is
-- also spring, tulip and 2024. No text search configuration: its parser would see hosts,
-- hyphenated words and versions where people see separators.
CREATE FUNCTION media_toolkit_rules.words(
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
BEGIN
    -- A lexeme holds 2 kB; nobody types more than this of a word.
    RETURN array_to_tsvector(ARRAY(
        SELECT DISTINCT left(word, 200)
        FROM regexp_split_to_table(lower(runs || ' ' || parts), '[^[:alnum:]]+') AS word
        WHERE word <> ''));
END $$;

-- What was typed → each word the beginning of one; NULL, which matches nothing, without a word.
CREATE FUNCTION media_toolkit_rules.search(typed TEXT) RETURNS TSQUERY
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN (SELECT string_agg('''' || left(word, 200) || ''':*', ' & ')::tsquery
            FROM regexp_split_to_table(lower(typed), '[^[:alnum:]]+') AS word WHERE word <> '');
END $$;

ALTER TABLE cloudinary_files ADD COLUMN words TSVECTOR GENERATED ALWAYS AS
    (media_toolkit_rules.words(public_id, original_filename, tags, context)) STORED;
CREATE INDEX cloudinary_files_words ON cloudinary_files USING GIN (words);
CREATE INDEX cloudinary_files_by_format
    ON cloudinary_files (format, upload_timestamp DESC, id DESC);
-- More of the common tags and words are known to the planner: it then walks the newest for
-- those, and takes the index for rare ones.
ALTER TABLE cloudinary_files ALTER COLUMN words SET STATISTICS 1000;
ALTER TABLE cloudinary_files ALTER COLUMN tags SET STATISTICS 1000;
