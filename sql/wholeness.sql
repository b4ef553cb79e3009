-- What a migrated database has, by kind and name: tables, columns, policies, triggers, functions and
-- so on, as sql/whole.json lists them. `wrong` says why what is there does not work.
-- Asked with the names of our tables, and whether to say how each is made.

WITH files AS MATERIALIZED (
    SELECT oid, relnamespace, relowner FROM pg_class WHERE oid = to_regclass('cloudinary_files')
), ours AS MATERIALIZED (
    SELECT c.oid, relname, c.relowner, relrowsecurity, relforcerowsecurity
    FROM pg_class AS c JOIN files USING (relnamespace)
    WHERE relkind IN ('r', 'p') AND relname = ANY (CAST(:tables AS name[]))
), rules AS MATERIALIZED (
    SELECT p.oid, proname, nspname, prosecdef, proowner, proconfig, proargtypes
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = pronamespace
    WHERE nspname = 'media_toolkit_rules' OR (nspname, proname, pronargs) = ('auth', 'user_id', 0)
)
SELECT 'table' AS kind, relname::text AS name,
    -- The triggers' functions write as their owner, who may not be the table's.
    CASE WHEN NOT pg_has_role(proowner, ours.relowner, 'USAGE')
        THEN format('is of %I, and its functions of %I', pg_get_userbyid(ours.relowner),
                    pg_get_userbyid(proowner)) END AS wrong,
    CASE WHEN relrowsecurity AND relforcerowsecurity THEN 'forced'
         WHEN relrowsecurity THEN 'on' ELSE 'off' END AS made_by
FROM ours LEFT JOIN rules ON proname = 'count_changes'
UNION ALL
SELECT 'column', relname || '.' || attname, NULL, ''
FROM ours JOIN pg_attribute ON attrelid = ours.oid WHERE attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'sequence', ours.relname || '.' || attname, NULL, CASE
    WHEN NOT :is_listed THEN NULL
    WHEN attidentity = 'a'
        THEN format('ALTER TABLE %I ALTER %I ADD GENERATED ALWAYS AS IDENTITY', ours.relname, attname)
    ELSE format('CREATE SEQUENCE IF NOT EXISTS %2$I; ALTER SEQUENCE %2$I OWNED BY %1$I.%3$I; '
                'ALTER TABLE %1$I ALTER %3$I SET DEFAULT nextval(%2$L)',
                ours.relname, s.relname, attname) END
FROM ours JOIN pg_attribute ON attrelid = ours.oid
JOIN pg_depend AS d ON refclassid = 'pg_class'::regclass AND refobjid = attrelid
    AND refobjsubid = attnum AND classid = 'pg_class'::regclass AND deptype IN ('a', 'i')
JOIN pg_class AS s ON s.oid = objid AND s.relkind = 'S'
WHERE attidentity <> '' OR atthasdef
UNION ALL
SELECT 'policy', relname || '.' || polname, NULL, ''
FROM ours JOIN pg_policy ON polrelid = ours.oid
UNION ALL
SELECT 'trigger', relname || '.' || tgname, CASE WHEN tgenabled IN ('D', 'R') THEN 'is disabled' END,
    CASE WHEN :is_listed THEN pg_get_triggerdef(t.oid, true) END
FROM ours JOIN pg_trigger AS t ON tgrelid = ours.oid WHERE NOT tgisinternal
UNION ALL
SELECT CASE WHEN indisprimary THEN 'primary key' WHEN indisunique THEN 'unique index' ELSE 'index' END,
    -- An adopted table's key may have any name.
    ours.relname || CASE WHEN indisprimary THEN '' ELSE '.' || i.relname END,
    CASE WHEN NOT indisvalid THEN 'is invalid' END,
    CASE WHEN NOT :is_listed THEN NULL
         WHEN indisprimary THEN format('ALTER TABLE %I ADD %s', ours.relname, (
             SELECT pg_get_constraintdef(c.oid) FROM pg_constraint AS c
             WHERE conindid = indexrelid AND contype = 'p'))
         ELSE pg_get_indexdef(indexrelid, 0, true) END
FROM ours JOIN pg_index ON indrelid = ours.oid JOIN pg_class AS i ON i.oid = indexrelid
UNION ALL
SELECT 'constraint', ours.relname || '.' || conname, NULL,
    CASE WHEN :is_listed THEN format('ALTER TABLE %I ADD CONSTRAINT %I %s', ours.relname, conname,
                                     pg_get_constraintdef(c.oid, true)) END
FROM ours JOIN pg_constraint AS c ON conrelid = ours.oid WHERE contype IN ('c', 'f')
UNION ALL
SELECT 'function', nspname || '.' || proname || '(' || oidvectortypes(proargtypes) || ')',
    CASE WHEN prosecdef AND nspname <> 'auth' AND NOT pg_has_role(proowner, files.relowner, 'USAGE')
         THEN format('is of %I, and the table of %I', pg_get_userbyid(proowner),
                     pg_get_userbyid(files.relowner))
         WHEN looks_in <> format('search_path=%s, pg_temp', relnamespace::regnamespace)
         THEN 'looks for the tables in another schema' END,
    CASE WHEN :is_listed AND nspname <> 'auth' THEN pg_get_functiondef(rules.oid) ELSE '' END
FROM rules CROSS JOIN files
LEFT JOIN LATERAL (SELECT one AS looks_in FROM unnest(proconfig) AS one
                   WHERE one LIKE 'search_path=%') AS paths ON true
