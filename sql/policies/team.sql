-- A dashboard for the team: whoever is signed in reads everything; writing, editing and
-- deleting is for a row's owner and for admins.

DROP POLICY IF EXISTS reading ON cloudinary_files;
DROP POLICY IF EXISTS saving ON cloudinary_files;
DROP POLICY IF EXISTS changing ON cloudinary_files;
DROP POLICY IF EXISTS removing ON cloudinary_files;
DROP POLICY IF EXISTS reading ON cloudinary_files_history;

-- Nothing but this call, so that it folds: see media_toolkit_rules.is_signed_in.
CREATE POLICY reading ON cloudinary_files FOR SELECT
    USING (media_toolkit_rules.is_signed_in());
CREATE POLICY saving ON cloudinary_files FOR INSERT
    WITH CHECK (user_id = (SELECT auth.user_id()) OR (SELECT media_toolkit_rules.is_admin()));
CREATE POLICY changing ON cloudinary_files FOR UPDATE
    USING (user_id = (SELECT auth.user_id()) OR (SELECT media_toolkit_rules.is_admin()));
CREATE POLICY removing ON cloudinary_files FOR DELETE
    USING (user_id = (SELECT auth.user_id()) OR (SELECT media_toolkit_rules.is_admin()));
-- Nobody but the triggers writes history.
CREATE POLICY reading ON cloudinary_files_history FOR SELECT
    USING (media_toolkit_rules.is_signed_in());
