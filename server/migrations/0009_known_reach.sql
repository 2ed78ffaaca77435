-- From where each machine could be dialled (JSON); NULL until that was tried.

ALTER TABLE machines ADD COLUMN reach TEXT;
