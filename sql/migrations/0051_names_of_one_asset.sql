-- Cloudinary reads `image/../image` as `image`, and no delivery type as `upload`: a row of such a
-- name would be another row here and the same asset there, perhaps somebody else's. Whoever acts with
-- claims writes none. Rows that were adopted keep what they have, and the guide's statements, which
-- carry no claims, go on as they were: what they may hold beyond this reaches no asset, since the
-- client refuses it as well.
--
-- Afterwards, as in 0049; of a plain name nothing is called.
CREATE FUNCTION media_toolkit_rules.refuse_a_name_of_no_asset() RETURNS TRIGGER
LANGUAGE plpgsql AS $$
BEGIN
    IF auth.user_id() IS NOT NULL THEN
        RAISE check_violation USING
            MESSAGE = format('%s/%s/%s is the name of no asset: a resource_type is image, video or '
                             'raw, a delivery_type small letters and _',
                             NEW.resource_type, NEW.delivery_type, NEW.public_id);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER refuse_a_new_name_of_no_asset AFTER INSERT ON cloudinary_files
    FOR EACH ROW WHEN (NOT (
        NEW.resource_type IN ('image', 'video', 'raw')
        AND (NEW.delivery_type = 'upload' OR NEW.delivery_type ~ '^[a-z_]{1,40}$')))
    EXECUTE FUNCTION media_toolkit_rules.refuse_a_name_of_no_asset();
-- What else is changed of such a row, as when it is deleted, is not held up.
CREATE TRIGGER refuse_a_name_of_no_asset
    AFTER UPDATE OF resource_type, delivery_type, public_id ON cloudinary_files
    FOR EACH ROW WHEN (
        (OLD.resource_type, OLD.delivery_type, OLD.public_id)
            IS DISTINCT FROM (NEW.resource_type, NEW.delivery_type, NEW.public_id)
        AND NOT (
            NEW.resource_type IN ('image', 'video', 'raw')
            AND (NEW.delivery_type = 'upload' OR NEW.delivery_type ~ '^[a-z_]{1,40}$')))
    EXECUTE FUNCTION media_toolkit_rules.refuse_a_name_of_no_asset();
