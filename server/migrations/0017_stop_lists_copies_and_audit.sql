-- The number of the last list of stopped orders.
ALTER TABLE server ADD COLUMN stop_number INTEGER NOT NULL DEFAULT 0;

-- How many copies the server may send of an order (JSON); empty for one.
ALTER TABLE orders ADD COLUMN server_copies TEXT;

-- Whether the audit log ever had a row, so that an emptied log is no new one.
ALTER TABLE server ADD COLUMN audit_begun INTEGER NOT NULL DEFAULT 0;
UPDATE server SET audit_begun = 1 WHERE EXISTS (SELECT 1 FROM audit_rows);
