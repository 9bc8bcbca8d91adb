-- Tokens that programs show. Of several of one name each counts: so one is replaced by the next.
CREATE TABLE service_tokens (
    id           TEXT NOT NULL PRIMARY KEY,
    name         TEXT NOT NULL,
    secret_hash  BLOB NOT NULL UNIQUE,
    -- JSON: names of applications, and paths; no path is every path.
    applications TEXT NOT NULL,
    paths        TEXT NOT NULL,
    created      INTEGER NOT NULL,
    expires      INTEGER NOT NULL,
    revoked      INTEGER,
    last_used    INTEGER
) STRICT;

CREATE INDEX service_tokens_name ON service_tokens (name);

PRAGMA user_version = 4;
