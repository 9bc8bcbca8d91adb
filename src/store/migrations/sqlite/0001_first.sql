-- The first schema. Every file here ends by writing its number to user_version.
PRAGMA application_id = 0x41505859; -- "APXY": tells our files from those of other programs

-- Single values. `check` is sealed, so that a wrong key shows when the store is opened.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE authority (
    one             INTEGER PRIMARY KEY CHECK (one = 1),
    certificate_pem TEXT NOT NULL,
    key_sealed      BLOB NOT NULL
) STRICT;

CREATE TABLE tokens (
    id          TEXT NOT NULL PRIMARY KEY,
    secret_hash BLOB NOT NULL UNIQUE,
    group_name  TEXT NOT NULL,
    uses        INTEGER NOT NULL,
    used        INTEGER NOT NULL DEFAULT 0 CHECK (used BETWEEN 0 AND uses),
    created     INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    revoked     INTEGER
) STRICT;

-- A removed connector stays as its own tombstone.
CREATE TABLE connectors (
    id              TEXT NOT NULL PRIMARY KEY,
    public_key_hash BLOB NOT NULL UNIQUE,
    group_name      TEXT NOT NULL,
    name            TEXT NOT NULL,
    enrolled        INTEGER NOT NULL,
    seen_at         INTEGER,
    seen_address    TEXT,
    seen_version    TEXT,
    removed         INTEGER
) STRICT;

-- Which key spent which token: a repeated call finds its row and spends nothing.
CREATE TABLE enrolments (
    token           TEXT NOT NULL REFERENCES tokens (id),
    public_key_hash BLOB NOT NULL REFERENCES connectors (public_key_hash),
    at              INTEGER NOT NULL,
    PRIMARY KEY (token, public_key_hash)
) STRICT;

-- Numbers are given out inside the writing transaction and have no gaps.
CREATE TABLE changes (
    number  INTEGER PRIMARY KEY,
    kind    TEXT NOT NULL,
    subject TEXT NOT NULL,
    at      INTEGER NOT NULL
) STRICT;

PRAGMA user_version = 1;
