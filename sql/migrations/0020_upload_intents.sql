-- One row for each upload that was signed for a browser or another program: who asked, what was
-- signed, until when. A save, a notification or reconcile settles it; what stays unsettled tells
-- of an upload that never came, or that reached Cloudinary and not the table.

CREATE TABLE upload_intents (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id TEXT NOT NULL,
    -- The signed strings as they are to be sent, without api_key and signature.
    parameters JSONB NOT NULL,
    -- The full public_id (folder and name) when one was signed.
    public_id TEXT,
    signed_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    expires_at TIMESTAMPTZ NOT NULL,
    settled_at TIMESTAMPTZ,
    settled_by TEXT CHECK (settled_by IN ('save', 'notification', 'reconcile')),
    asset_id TEXT,
    asset_public_id TEXT,
    asset_resource_type TEXT,
    asset_delivery_type TEXT,
    asset_version BIGINT,
    CHECK ((settled_at IS NULL) = (settled_by IS NULL)),
    CHECK ((settled_at IS NULL) = (asset_public_id IS NULL))
);

CREATE INDEX upload_intents_unsettled
    ON upload_intents (user_id, signed_at DESC) WHERE settled_at IS NULL;
CREATE INDEX upload_intents_by_expiry ON upload_intents (expires_at);
-- One upload settles one intent, however often it is told.
CREATE UNIQUE INDEX upload_intents_settling
    ON upload_intents
    (asset_resource_type, asset_delivery_type, asset_public_id, asset_version)
    NULLS NOT DISTINCT WHERE settled_at IS NOT NULL;

-- Unlike assets, intents are nobody's business but their owner's and an admin's, whichever file
-- of sql/policies holds.
GRANT SELECT, INSERT, UPDATE, DELETE ON upload_intents TO media_toolkit_app;
ALTER TABLE upload_intents ENABLE ROW LEVEL SECURITY;
ALTER TABLE upload_intents FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_or_admin ON upload_intents TO media_toolkit_app
    USING (user_id = (SELECT auth.user_id()) OR (SELECT media_toolkit_rules.is_admin()));
DO $$ BEGIN
    EXECUTE format('CREATE POLICY owner_of_the_table ON upload_intents TO %I USING (true)',
                   CURRENT_USER);
END $$;
