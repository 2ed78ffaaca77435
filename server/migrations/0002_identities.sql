-- Why a machine is set aside, a word of the table of reasons; who was enrolled in its place; whose place a join secret's
-- machine takes.

ALTER TABLE machines ADD COLUMN aside TEXT;
ALTER TABLE machines ADD COLUMN replaced_by BLOB;
ALTER TABLE tokens ADD COLUMN replaces BLOB;
