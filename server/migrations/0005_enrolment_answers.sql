-- The answer to an enrolment, until the machine's first check-in shows that it arrived: the hash of the join secret, the
-- hash of the machine's public key, and the certificate.

ALTER TABLE machines ADD COLUMN join_secret BLOB;
ALTER TABLE machines ADD COLUMN join_key BLOB;
ALTER TABLE machines ADD COLUMN join_certificate TEXT;
CREATE INDEX machines_join_secret ON machines (join_secret) WHERE join_secret IS NOT NULL;
