-- The number of the last list of stopped orders.
ALTER TABLE server ADD COLUMN stop_number INTEGER NOT NULL DEFAULT 0;

-- How many copies the server may send of an order (JSON); empty for one.
ALTER TABLE orders ADD COLUMN server_copies TEXT;
