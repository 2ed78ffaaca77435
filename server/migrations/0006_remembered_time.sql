-- The latest time that this server has seen (seconds since 1970), by which it notices that its clock has jumped.

ALTER TABLE server ADD COLUMN remembered_time INTEGER;
