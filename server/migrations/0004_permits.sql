-- When the machine was last permitted to install (seconds since 1970); empty once it said that it did not, or before.

ALTER TABLE addressees ADD COLUMN permitted INTEGER;
