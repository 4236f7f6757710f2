-- Robots, what is known of them, and what they were given.

-- +goose Up
CREATE TABLE robots (
    id          TEXT PRIMARY KEY,
    sku         TEXT NOT NULL,
    companion   TEXT NOT NULL DEFAULT '',      -- as registered; what the robot reports comes first
    internal    BOOLEAN NOT NULL DEFAULT FALSE,
    tags        TEXT NOT NULL DEFAULT '[]',
    note        TEXT NOT NULL DEFAULT '',
    token_hash  TEXT NOT NULL DEFAULT '',      -- SHA-256 of the bearer token, hex
    token_at    BIGINT NOT NULL DEFAULT 0,
    certificate TEXT NOT NULL,                 -- common name of its client certificate
    added       BIGINT NOT NULL
);
CREATE INDEX robots_of_sku ON robots (sku, id);
CREATE UNIQUE INDEX robots_token ON robots (token_hash) WHERE token_hash <> '';
CREATE UNIQUE INDEX robots_certificate ON robots (certificate);

-- The current state, as the robot reports it. A row of its own, because it
-- changes with every message.
CREATE TABLE robot_states (
    robot_id    TEXT PRIMARY KEY REFERENCES robots (id) ON DELETE CASCADE,
    version     TEXT NOT NULL DEFAULT '',
    slot        TEXT NOT NULL DEFAULT '',
    ota_state   TEXT NOT NULL DEFAULT '',
    app_sha256  TEXT NOT NULL DEFAULT '',
    protocol    INTEGER NOT NULL DEFAULT 0,
    signing_key TEXT NOT NULL DEFAULT '',
    companion   TEXT NOT NULL DEFAULT '',
    agent       TEXT NOT NULL DEFAULT '',
    keyring     BIGINT NOT NULL DEFAULT 0,
    job_id      TEXT NOT NULL DEFAULT '',
    job_state   TEXT NOT NULL DEFAULT '',
    job_target  TEXT NOT NULL DEFAULT '',
    status      TEXT NOT NULL DEFAULT '',      -- the last ota/status, as it came
    diagnostics TEXT NOT NULL DEFAULT '',      -- the last diagnostics, as they came
    diagnosed   BIGINT NOT NULL DEFAULT 0,
    online      BOOLEAN NOT NULL DEFAULT FALSE,
    farewell    TEXT NOT NULL DEFAULT '',      -- the reason of the last ota/online that was false
    at          BIGINT NOT NULL DEFAULT 0,     -- of the last status, by the robot's clock
    epoch       TEXT NOT NULL DEFAULT '',
    seq         BIGINT NOT NULL DEFAULT 0,
    received    BIGINT NOT NULL DEFAULT 0,     -- the last word of any kind, by the server's clock
    checked     BIGINT NOT NULL DEFAULT 0      -- the last question to /v1/check
);

CREATE TABLE robot_events (
    robot_id   TEXT NOT NULL REFERENCES robots (id) ON DELETE CASCADE,
    event_id   TEXT NOT NULL,
    kind       TEXT NOT NULL,
    seq        BIGINT NOT NULL DEFAULT 0,
    at         BIGINT NOT NULL,                -- by the robot's clock
    received   BIGINT NOT NULL,
    job_id     TEXT NOT NULL DEFAULT '',
    command_id TEXT NOT NULL DEFAULT '',
    from_state TEXT NOT NULL DEFAULT '',
    to_state   TEXT NOT NULL DEFAULT '',
    code       TEXT NOT NULL DEFAULT '',
    text       TEXT NOT NULL DEFAULT '',
    body       TEXT NOT NULL,                  -- as it came
    PRIMARY KEY (robot_id, event_id)
);
CREATE INDEX robot_events_in_order ON robot_events (robot_id, received);
CREATE INDEX robot_events_received ON robot_events (received);

-- One row for each update that a robot tried.
CREATE TABLE updates (
    robot_id         TEXT NOT NULL REFERENCES robots (id) ON DELETE CASCADE,
    job_id           TEXT NOT NULL,
    sku              TEXT NOT NULL,
    from_version     TEXT NOT NULL DEFAULT '',
    version          TEXT NOT NULL DEFAULT '',
    rollout_id       TEXT NOT NULL DEFAULT '',
    origin           TEXT NOT NULL DEFAULT '',
    started          BIGINT NOT NULL,
    download_seconds DOUBLE PRECISION NOT NULL DEFAULT 0,
    ended            BIGINT NOT NULL DEFAULT 0,
    outcome          TEXT NOT NULL DEFAULT '',
    code             TEXT NOT NULL DEFAULT '',
    text             TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (robot_id, job_id)
);
CREATE INDEX updates_started ON updates (started);

-- How far each robot's cumulative counters were counted in.
CREATE TABLE ledgers (
    robot_id TEXT PRIMARY KEY REFERENCES robots (id) ON DELETE CASCADE,
    ledger   TEXT NOT NULL
);

-- What was counted in an hour under one firmware.
CREATE TABLE health (
    robot_id    TEXT NOT NULL REFERENCES robots (id) ON DELETE CASCADE,
    hour        BIGINT NOT NULL, -- its beginning
    firmware    TEXT NOT NULL,
    first_heard BIGINT NOT NULL,
    last_heard  BIGINT NOT NULL,
    gap         DOUBLE PRECISION NOT NULL DEFAULT 0, -- the longest silence that ended in it, seconds
    ok          DOUBLE PRECISION NOT NULL DEFAULT 0, -- minutes
    warn        DOUBLE PRECISION NOT NULL DEFAULT 0,
    error       DOUBLE PRECISION NOT NULL DEFAULT 0,
    silent      DOUBLE PRECISION NOT NULL DEFAULT 0,
    odometry    DOUBLE PRECISION NOT NULL DEFAULT 0, -- messages
    diagnostics DOUBLE PRECISION NOT NULL DEFAULT 0,
    battery     DOUBLE PRECISION NOT NULL DEFAULT 0,
    used        DOUBLE PRECISION NOT NULL DEFAULT 0, -- charge, a fraction
    discharging DOUBLE PRECISION NOT NULL DEFAULT 0, -- seconds
    estops      DOUBLE PRECISION NOT NULL DEFAULT 0,
    reboots     DOUBLE PRECISION NOT NULL DEFAULT 0,
    tries       DOUBLE PRECISION NOT NULL DEFAULT 0,
    failures    DOUBLE PRECISION NOT NULL DEFAULT 0,
    PRIMARY KEY (robot_id, hour, firmware)
);
CREATE INDEX health_hour ON health (hour);

-- What a robot, or an address, took of an artifact on a day (UTC, counted from 1970).
CREATE TABLE downloads (
    taker  TEXT NOT NULL,
    day    INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    count  INTEGER NOT NULL, -- of downloads; one that is resumed counts once
    bytes  BIGINT NOT NULL,
    first  BIGINT NOT NULL,
    last   BIGINT NOT NULL,
    PRIMARY KEY (taker, day, sha256)
);
CREATE INDEX downloads_day ON downloads (day);
