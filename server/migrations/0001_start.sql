-- Ids and hashes are blobs of their own bytes; documents are their exact JSON text; times are seconds since 1970,
-- those ending in _ms milliseconds.

CREATE TABLE server (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    id           BLOB NOT NULL,
    epoch        INTEGER NOT NULL,
    order_number INTEGER NOT NULL,
    crl_number   INTEGER NOT NULL
);

CREATE TABLE machines (
    id        BLOB PRIMARY KEY,
    label     TEXT NOT NULL,
    grp       TEXT,
    platform  TEXT NOT NULL,
    software  TEXT NOT NULL,
    addresses TEXT NOT NULL,
    enrolled  INTEGER NOT NULL,
    seen      INTEGER NOT NULL,
    revoked   INTEGER
) WITHOUT ROWID;

CREATE TABLE certificates (
    serial  BLOB PRIMARY KEY,
    machine BLOB NOT NULL REFERENCES machines (id),
    issued  INTEGER NOT NULL,
    expires INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX certificates_of_machine ON certificates (machine);

-- The secret itself is never kept.
CREATE TABLE tokens (
    hash      BLOB PRIMARY KEY,
    uses_left INTEGER NOT NULL CHECK (uses_left >= 0),
    expires   INTEGER NOT NULL,
    grp       TEXT
) WITHOUT ROWID;

CREATE TABLE deployments (
    id          BLOB PRIMARY KEY,
    number      INTEGER NOT NULL UNIQUE,
    package     TEXT NOT NULL,
    sequence    INTEGER NOT NULL,
    version     TEXT NOT NULL,
    platform    TEXT NOT NULL,
    state       TEXT NOT NULL,
    accepted_ms INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    chunks      INTEGER NOT NULL,
    signed      TEXT NOT NULL,
    request     TEXT NOT NULL,
    server_sent INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX deployments_of_package ON deployments (package);

CREATE TABLE lists (
    deployment BLOB NOT NULL REFERENCES deployments (id),
    stripe     INTEGER NOT NULL,
    list       TEXT NOT NULL,
    PRIMARY KEY (deployment, stripe)
) WITHOUT ROWID;

CREATE TABLE addressees (
    deployment      BLOB NOT NULL REFERENCES deployments (id),
    machine         BLOB NOT NULL REFERENCES machines (id),
    position        INTEGER NOT NULL,
    stage           TEXT NOT NULL,
    held            INTEGER NOT NULL,
    reason          TEXT,
    detail          TEXT,
    sources         TEXT NOT NULL,
    verified_after  INTEGER,
    installed_after INTEGER,
    PRIMARY KEY (deployment, machine)
) WITHOUT ROWID;
CREATE INDEX addressees_of_machine ON addressees (machine, stage);

CREATE TABLE receipts (
    deployment BLOB NOT NULL REFERENCES deployments (id),
    machine    BLOB NOT NULL REFERENCES machines (id),
    issued     INTEGER NOT NULL,
    signed     TEXT NOT NULL,
    PRIMARY KEY (deployment, machine)
) WITHOUT ROWID;

-- A report that comes twice is counted once.
CREATE TABLE reports (
    machine    BLOB NOT NULL REFERENCES machines (id),
    number     INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    received   INTEGER NOT NULL,
    deployment BLOB,
    event      TEXT NOT NULL,
    PRIMARY KEY (machine, number)
) WITHOUT ROWID;

-- What the server itself noticed and a person should see.
CREATE TABLE suspicions (
    id         INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    machine    BLOB,
    deployment BLOB,
    reason     TEXT NOT NULL,
    detail     TEXT NOT NULL
);
