-- When each join secret was created and revoked (seconds since 1970). Unknown for those of earlier versions, and empty
-- while it is not revoked.

ALTER TABLE tokens ADD COLUMN created INTEGER;
ALTER TABLE tokens ADD COLUMN revoked INTEGER;
