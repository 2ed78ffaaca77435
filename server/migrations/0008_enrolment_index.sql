-- The answer to a repeated enrolment is found by secret and key: thousands of machines can share one secret.

DROP INDEX machines_join_secret;
CREATE INDEX machines_join ON machines (join_secret, join_key) WHERE join_secret IS NOT NULL;
