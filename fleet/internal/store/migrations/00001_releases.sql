-- What can be offered, and whose signatures count. Valid on SQLite and PostgreSQL.
-- Times are microseconds since 1970 in UTC; 0 is never.

-- +goose Up
CREATE TABLE signing_keys (
    id         TEXT PRIMARY KEY,          -- of the key: 16 hex digits
    public     TEXT NOT NULL,             -- DER in base64; '': only known as revoked
    source     TEXT NOT NULL,             -- the file or the keyring document that it came from
    added      BIGINT NOT NULL,
    revoked    BIGINT NOT NULL DEFAULT 0, -- for ever
    revoked_by TEXT NOT NULL DEFAULT '',
    reason     TEXT NOT NULL DEFAULT ''
);

CREATE TABLE keyrings (
    version  BIGINT PRIMARY KEY,
    document TEXT NOT NULL,
    added    BIGINT NOT NULL
);

-- A signed file, which lies in the folder of artifacts under its hash.
CREATE TABLE artifacts (
    sha256     TEXT PRIMARY KEY,
    size       BIGINT NOT NULL,
    app_sha256 TEXT NOT NULL,
    key_id     TEXT NOT NULL REFERENCES signing_keys (id),
    added      BIGINT NOT NULL
);

CREATE TABLE releases (
    sku       TEXT NOT NULL,
    version   TEXT NOT NULL,
    name      TEXT NOT NULL UNIQUE,
    protocol  INTEGER NOT NULL,
    sha256    TEXT NOT NULL REFERENCES artifacts (sha256),
    published BIGINT NOT NULL,
    status    TEXT NOT NULL CHECK (status IN ('published', 'stable', 'withdrawn')),
    changed   BIGINT NOT NULL, -- the status, by whom and why
    by_whom   TEXT NOT NULL DEFAULT '',
    reason    TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (sku, version)
);
CREATE INDEX releases_of_artifact ON releases (sha256);
