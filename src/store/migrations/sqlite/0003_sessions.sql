-- Secrets that gateways share, by name; of several the one of the highest number is the newest.
CREATE TABLE secrets (
    name    TEXT NOT NULL,
    number  INTEGER NOT NULL,
    sealed  BLOB NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (name, number)
) STRICT;

-- A row without a parent is a person's sign-in; below it hang those of application hosts.
CREATE TABLE sessions (
    id         TEXT NOT NULL PRIMARY KEY,
    host       TEXT NOT NULL,
    parent     TEXT REFERENCES sessions (id) ON DELETE CASCADE,
    -- Sealed by the sign-in, not by the store: what opens `record`, under the ticket's secret.
    opener     BLOB NOT NULL,
    -- The sign-in itself; empty below a parent, whose own counts.
    record     BLOB NOT NULL,
    version    INTEGER NOT NULL DEFAULT 0,
    -- Who may write `record`: whoever was given the last number, until the lease ends.
    fence      INTEGER NOT NULL DEFAULT 0,
    lease_ends INTEGER,
    -- For lists; sealed by the store.
    shown      BLOB NOT NULL,
    created    INTEGER NOT NULL,
    last_used  INTEGER NOT NULL,
    idle_ends  INTEGER NOT NULL,
    ends       INTEGER NOT NULL,
    revoked    INTEGER
) STRICT;

CREATE INDEX sessions_parent ON sessions (parent);

-- By what else a sign-in is found: a keyed hash of the person, or of the provider's own session.
CREATE TABLE session_names (
    name    BLOB NOT NULL,
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    PRIMARY KEY (name, session)
) STRICT, WITHOUT ROWID;

CREATE INDEX session_names_session ON session_names (session);

-- Whose sign-ins that began before this change come to nothing.
CREATE TABLE tombstones (
    name   BLOB NOT NULL PRIMARY KEY,
    change INTEGER NOT NULL,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One-time codes: gone once presented.
CREATE TABLE codes (
    hash    BLOB NOT NULL PRIMARY KEY,
    payload BLOB NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What may come once only.
CREATE TABLE once (
    name  BLOB NOT NULL PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 3;
