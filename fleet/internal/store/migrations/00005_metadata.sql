-- Release metadata (TUF): what the fleet's owner and this server have signed.

-- +goose Up
CREATE TABLE metadata (
    role     TEXT NOT NULL CHECK (role IN ('root', 'targets', 'snapshot', 'timestamp')),
    version  BIGINT NOT NULL,
    document TEXT NOT NULL,              -- as it is served
    added    BIGINT NOT NULL,
    PRIMARY KEY (role, version)
);
