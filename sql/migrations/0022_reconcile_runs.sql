-- Where a reconcile that lists Cloudinary has got to, so that the next one goes on from there
-- when the budget was spent or the process ended, and what it has listed so far.

CREATE TABLE reconcile_runs (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id TEXT NOT NULL,
    -- The account and the part of it: an unfinished run is taken up by the same scope only.
    scope JSONB NOT NULL,
    cursor TEXT,
    listed INTEGER NOT NULL DEFAULT 0,
    total INTEGER,
    calls INTEGER NOT NULL DEFAULT 0,
    started_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    finished_at TIMESTAMPTZ
);
CREATE INDEX reconcile_runs_of_user ON reconcile_runs (user_id, id DESC);

CREATE TABLE reconcile_listed (
    run_id BIGINT NOT NULL REFERENCES reconcile_runs ON DELETE CASCADE,
    resource_type TEXT NOT NULL,
    delivery_type TEXT NOT NULL,
    public_id TEXT NOT NULL,
    asset_id TEXT,
    version BIGINT,
    etag TEXT,
    tags TEXT[] NOT NULL,
    context JSONB NOT NULL,
    folder TEXT,
    created_at TIMESTAMPTZ,
    PRIMARY KEY (run_id, resource_type, delivery_type, public_id)
);
CREATE INDEX reconcile_listed_by_asset_id ON reconcile_listed (run_id, asset_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON reconcile_runs, reconcile_listed TO media_toolkit_app;
ALTER TABLE reconcile_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE reconcile_runs FORCE ROW LEVEL SECURITY;
ALTER TABLE reconcile_listed ENABLE ROW LEVEL SECURITY;
ALTER TABLE reconcile_listed FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON reconcile_runs TO media_toolkit_app
    USING (user_id = (SELECT auth.user_id()));
CREATE POLICY own ON reconcile_listed TO media_toolkit_app
    USING (run_id IN (SELECT id FROM reconcile_runs));
DO $$ BEGIN
    EXECUTE format('CREATE POLICY owner_of_the_table ON reconcile_runs TO %I USING (true)',
                   CURRENT_USER);
    EXECUTE format('CREATE POLICY owner_of_the_table ON reconcile_listed TO %I USING (true)',
                   CURRENT_USER);
END $$;
