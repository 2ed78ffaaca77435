-- The access tokens of persons. Rows stay for ever: ids are never used again, and the audit log names persons.
CREATE TABLE access_tokens (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    -- BLAKE3 of the token, which is random. The token itself is not stored.
    hash       BLOB NOT NULL UNIQUE,
    person     TEXT NOT NULL,
    token      TEXT NOT NULL,
    role       TEXT NOT NULL,
    -- The groups that it is limited to (JSON); none: all machines.
    grps       TEXT NOT NULL,
    -- Seconds since 1970.
    created    INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires    INTEGER NOT NULL,
    last_used  INTEGER,
    revoked    INTEGER
);
