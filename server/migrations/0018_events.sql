-- What happens, for administrators' programs. Stored together with the change that it tells.
CREATE TABLE events (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    deployment BLOB,
    sequence   INTEGER NOT NULL,
    package    TEXT,
    version    TEXT,
    machine    BLOB,
    label      TEXT,
    reason     TEXT,
    detail     TEXT NOT NULL
);
CREATE INDEX events_of_deployment ON events (deployment, sequence) WHERE deployment IS NOT NULL;

-- Receivers of events. The secrets sign, so they are kept as they are; kinds is a JSON array, empty for all.
CREATE TABLE webhooks (
    id               BLOB PRIMARY KEY,
    url              TEXT NOT NULL,
    kinds            TEXT NOT NULL,
    private          INTEGER NOT NULL,
    secret           BLOB NOT NULL,
    old_secret       BLOB,
    old_secret_until INTEGER,
    created          INTEGER NOT NULL,
    paused           TEXT,
    last_at          INTEGER,
    last_accepted    INTEGER,
    last_what        TEXT
) WITHOUT ROWID;

-- One row for each event and receiver. next_ms is empty when nothing more is attempted.
CREATE TABLE deliveries (
    webhook  BLOB NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event    INTEGER NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    state    TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_ms  INTEGER,
    at       INTEGER,
    accepted INTEGER,
    what     TEXT,
    PRIMARY KEY (webhook, event)
) WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (webhook, next_ms) WHERE next_ms IS NOT NULL;
CREATE INDEX deliveries_of_event ON deliveries (event);
