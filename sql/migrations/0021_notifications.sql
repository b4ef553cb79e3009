-- What Cloudinary's notifications have told. They come late, twice and in any order, and their
-- sender's signature is as good the second time: so each is taken once, and what it says of an
-- asset's name, labels or end holds only against what is older.

CREATE TABLE notification_receipts (
    digest TEXT PRIMARY KEY,
    received_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);
CREATE INDEX notification_receipts_by_age ON notification_receipts (received_at);

CREATE TABLE notification_marks (
    -- The asset_id, or resource_type/delivery_type/public_id where none is told.
    asset TEXT NOT NULL,
    -- What was told of: name, gone, unclaimed, tag:<tag>, context:<key>.
    field TEXT NOT NULL,
    told_at TIMESTAMPTZ NOT NULL,
    value JSONB NOT NULL,
    PRIMARY KEY (asset, field)
);
CREATE INDEX notification_marks_by_age ON notification_marks (told_at);

-- Notifications come from Cloudinary, not from a user: only an admin's transaction sees these.
GRANT SELECT, INSERT, UPDATE, DELETE ON notification_receipts, notification_marks
    TO media_toolkit_app;
ALTER TABLE notification_receipts ENABLE ROW LEVEL SECURITY;
ALTER TABLE notification_receipts FORCE ROW LEVEL SECURITY;
ALTER TABLE notification_marks ENABLE ROW LEVEL SECURITY;
ALTER TABLE notification_marks FORCE ROW LEVEL SECURITY;
CREATE POLICY admins ON notification_receipts USING ((SELECT media_toolkit_rules.is_admin()));
CREATE POLICY admins ON notification_marks USING ((SELECT media_toolkit_rules.is_admin()));
