-- A row trigger before an update has Postgres make the words of each changed row anew, whatever was
-- changed of it: the trigger might have changed their columns. Afterwards refuses as well.
DROP TRIGGER refuse_another_id ON cloudinary_files;
CREATE TRIGGER refuse_another_id AFTER UPDATE OF id ON cloudinary_files
    FOR EACH ROW WHEN (OLD.id IS DISTINCT FROM NEW.id)
    EXECUTE FUNCTION media_toolkit_rules.refuse_another_id();
