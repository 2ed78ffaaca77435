-- The audit log: a Merkle tree (RFC 9162) over its rows.
CREATE TABLE audit_rows (
    -- From 0, without gaps.
    number INTEGER PRIMARY KEY,
    -- The hash of the row in the tree.
    leaf   BLOB NOT NULL,
    -- The row's JSON text, exactly as hashed. The other columns repeat parts of it, for filters.
    entry  TEXT NOT NULL,
    at     INTEGER NOT NULL,
    actor  TEXT NOT NULL COLLATE NOCASE,
    action TEXT NOT NULL,
    object TEXT NOT NULL COLLATE NOCASE,
    result TEXT NOT NULL
);
CREATE INDEX audit_rows_by_time ON audit_rows (at);
CREATE INDEX audit_rows_by_actor ON audit_rows (actor, number);
CREATE INDEX audit_rows_by_object ON audit_rows (object, number);

-- The newest signed head (JSON).
CREATE TABLE audit_head (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    head TEXT NOT NULL
);
