-- What administrators assign to machines: any number of groups and tags, and a name that replaces the label which the
-- machine reports.
CREATE TABLE machine_groups (
    machine BLOB NOT NULL REFERENCES machines (id),
    grp     TEXT NOT NULL,
    PRIMARY KEY (machine, grp)
) WITHOUT ROWID;
CREATE TABLE machine_tags (
    machine BLOB NOT NULL REFERENCES machines (id),
    tag     TEXT NOT NULL,
    PRIMARY KEY (machine, tag)
) WITHOUT ROWID;
INSERT INTO machine_groups (machine, grp) SELECT id, grp FROM machines WHERE grp IS NOT NULL AND grp <> '';
ALTER TABLE machines DROP COLUMN grp;
ALTER TABLE machines ADD COLUMN given_name TEXT;

-- The policy number and the time of the last change of the machine's groups that put another policy in force for it.
-- A policy that reaches the machine afterwards has this number at least.
ALTER TABLE machines ADD COLUMN policy_number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE machines ADD COLUMN policy_since INTEGER NOT NULL DEFAULT 0;

-- Of the policies of a machine's groups, the one with the highest rank applies.
ALTER TABLE policies ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;
ALTER TABLE policy_changes ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;

-- Ranges of addresses that administrators have named (JSON).
CREATE TABLE named_sites (
    name   TEXT PRIMARY KEY,
    ranges TEXT NOT NULL
) WITHOUT ROWID;
