-- Several authorities: while a rotation is under way the one before the newest counts too.
CREATE TABLE authorities (
    number          INTEGER PRIMARY KEY,
    certificate_pem TEXT NOT NULL,
    key_sealed      BLOB NOT NULL,
    -- From when on it is worth nothing; NULL for the newest, which issues.
    ends            INTEGER
) STRICT;

INSERT INTO authorities (number, certificate_pem, key_sealed)
SELECT one, certificate_pem, key_sealed FROM authority;

DROP TABLE authority;

PRAGMA user_version = 2;
