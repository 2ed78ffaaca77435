-- The first answers to requests with an idempotency key, for a day.
CREATE TABLE idempotency_keys (
    -- The access token; 0 is the one in the server's own profile.
    token   INTEGER NOT NULL,
    key     TEXT NOT NULL,
    -- BLAKE3 of method, path and body.
    request BLOB NOT NULL,
    status  INTEGER NOT NULL,
    body    BLOB NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (token, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (at);
