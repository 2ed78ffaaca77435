-- What administrators lay down for the machines of a group; the group '' is every machine that has none of its own. A
-- policy that was taken back has no text but keeps its number, so that numbers only rise.
CREATE TABLE policies (
    grp    TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    policy TEXT
) WITHOUT ROWID;

-- Every one that was ever set or taken back, for whoever asks later.
CREATE TABLE policy_changes (
    number INTEGER PRIMARY KEY,
    grp    TEXT NOT NULL,
    at     INTEGER NOT NULL,
    policy TEXT
);

ALTER TABLE server ADD COLUMN policy_number INTEGER NOT NULL DEFAULT 0;
