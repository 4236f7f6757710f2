-- Patches from one artifact to another, which lie among the artifacts under
-- their hash. Valid on SQLite and PostgreSQL.

-- +goose Up
CREATE TABLE patches (
    from_sha256 TEXT NOT NULL REFERENCES artifacts (sha256),
    to_sha256   TEXT NOT NULL REFERENCES artifacts (sha256),
    sha256      TEXT NOT NULL DEFAULT '', -- of the patch; '': it was not worth while, and is not made again
    size        BIGINT NOT NULL,
    made        BIGINT NOT NULL,
    PRIMARY KEY (from_sha256, to_sha256)
);
CREATE INDEX patches_to ON patches (to_sha256);
CREATE INDEX patches_file ON patches (sha256);
