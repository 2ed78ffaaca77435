-- The number of the last list of stopped orders.

ALTER TABLE server ADD COLUMN stop_number INTEGER NOT NULL DEFAULT 0;
