-- Incidents, and the people who look at them.

-- +goose Up
CREATE TABLE incidents (
    id        TEXT PRIMARY KEY,
    kind      TEXT NOT NULL,
    title     TEXT NOT NULL,
    version   TEXT NOT NULL DEFAULT '',
    skus      TEXT NOT NULL DEFAULT '[]',
    opened    BIGINT NOT NULL,
    opened_by TEXT NOT NULL,
    reason    TEXT NOT NULL,
    closed    BIGINT NOT NULL DEFAULT 0,
    closed_by TEXT NOT NULL DEFAULT '',
    data      TEXT NOT NULL DEFAULT ''
);
CREATE INDEX incidents_opened ON incidents (opened);

CREATE TABLE incident_entries (
    incident_id TEXT NOT NULL REFERENCES incidents (id),
    number      BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    by_whom     TEXT NOT NULL DEFAULT '',
    text        TEXT NOT NULL,
    data        TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (incident_id, number)
);

CREATE TABLE users (
    name     TEXT PRIMARY KEY,
    role     TEXT NOT NULL CHECK (role IN ('viewer', 'operator')),
    password TEXT NOT NULL,              -- its hash, with its parameters
    added    BIGINT NOT NULL,
    disabled BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE sessions (
    id_hash   TEXT PRIMARY KEY,          -- SHA-256 of what the browser has, hex
    user_name TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    csrf      TEXT NOT NULL DEFAULT '',
    created   BIGINT NOT NULL,
    seen      BIGINT NOT NULL,
    expires   BIGINT NOT NULL
);
CREATE INDEX sessions_expire ON sessions (expires);
