-- The budgets of sites over their uplinks (JSON). A site is named by its subnet.
CREATE TABLE site_budgets (
    site   TEXT PRIMARY KEY,
    budget TEXT NOT NULL
) WITHOUT ROWID;

-- Every budget that was ever set or removed.
CREATE TABLE site_budget_changes (
    number INTEGER PRIMARY KEY,
    site   TEXT NOT NULL,
    at     INTEGER NOT NULL,
    budget TEXT
);
