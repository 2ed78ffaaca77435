-- What each machine's link carries, as it reports (JSON); NULL until it was measured.

ALTER TABLE machines ADD COLUMN rates TEXT;
