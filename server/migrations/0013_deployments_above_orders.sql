-- A deployment is what an administrator asks for; it issues orders, one for each platform and each batch of machines.
-- Until now each deployment was one order. Such a deployment takes the id of its order.
ALTER TABLE deployments RENAME TO orders;
DROP INDEX deployments_of_package;
ALTER TABLE lists RENAME COLUMN deployment TO order_id;
ALTER TABLE addressees RENAME COLUMN deployment TO order_id;
ALTER TABLE receipts RENAME COLUMN deployment TO order_id;
ALTER TABLE reports RENAME COLUMN deployment TO order_id;
ALTER TABLE suspicions RENAME COLUMN deployment TO order_id;

CREATE TABLE deployments (
    id          BLOB PRIMARY KEY,
    -- That of its first order.
    number      INTEGER NOT NULL UNIQUE,
    package     TEXT NOT NULL,
    sequence    INTEGER NOT NULL,
    version     TEXT NOT NULL,
    state       TEXT NOT NULL,
    accepted_ms INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    request     TEXT NOT NULL,
    -- Whether machines that the selection selects later join it.
    is_live     INTEGER NOT NULL,
    -- How many rings it has, the index of the last open one, and since when that is open.
    rings       INTEGER NOT NULL,
    open_ring   INTEGER NOT NULL,
    ring_since  INTEGER NOT NULL,
    -- Why it was halted (JSON).
    halt        TEXT
) WITHOUT ROWID;
CREATE INDEX deployments_of_package ON deployments (package, number);
CREATE INDEX deployments_of_state ON deployments (state);
INSERT INTO deployments
SELECT id, number, package, sequence, version, state, accepted_ms, expires, request, 0, 1, 0, accepted_ms / 1000, NULL
FROM orders;

-- An order is open until each of its machines has succeeded or failed.
ALTER TABLE orders ADD COLUMN deployment BLOB REFERENCES deployments (id);
UPDATE orders SET deployment = id, state = CASE WHEN state IN ('running', 'halted') THEN 'open' ELSE 'over' END;
ALTER TABLE orders DROP COLUMN request;
CREATE INDEX orders_of_deployment ON orders (deployment);
CREATE INDEX orders_of_state ON orders (state);
CREATE INDEX orders_of_release ON orders (package, sequence);

-- The machines of a deployment. An addressee is an attempt; a target points to the present one.
CREATE TABLE targets (
    deployment  BLOB NOT NULL REFERENCES deployments (id),
    machine     BLOB NOT NULL REFERENCES machines (id),
    -- The index of its ring. It never changes.
    ring        INTEGER NOT NULL,
    order_id    BLOB REFERENCES orders (id),
    -- Why there is no order.
    reason      TEXT,
    detail      TEXT,
    -- Whether an administrator resumed the deployment in spite of its failure.
    is_accepted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (deployment, machine)
) WITHOUT ROWID;
CREATE INDEX targets_of_machine ON targets (machine);
INSERT INTO targets (deployment, machine, ring, order_id) SELECT order_id, machine, 0, order_id FROM addressees;

-- Whether the machine had the release before, and when its last result arrived (seconds since 1970).
ALTER TABLE addressees ADD COLUMN already INTEGER NOT NULL DEFAULT 0;
ALTER TABLE addressees ADD COLUMN ended INTEGER;
