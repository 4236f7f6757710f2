-- Rollouts, their decisions, what is to be sent because of them, and who may decide.

-- +goose Up
CREATE TABLE rollouts (
    id       TEXT PRIMARY KEY,
    name     TEXT NOT NULL,              -- of the release
    version  TEXT NOT NULL,
    phase    TEXT NOT NULL,              -- phase and stage of the state below
    stage    TEXT NOT NULL,
    stage_no INTEGER NOT NULL,           -- the stage's place in the order, from 1
    active   BOOLEAN NOT NULL,           -- neither halted nor stable
    plan     TEXT NOT NULL,
    state    TEXT NOT NULL,
    revision BIGINT NOT NULL,            -- goes up by one with every change
    created  BIGINT NOT NULL,
    by_whom  TEXT NOT NULL DEFAULT '',
    updated  BIGINT NOT NULL,
    ended    BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE rollout_skus (
    rollout_id TEXT NOT NULL REFERENCES rollouts (id),
    sku        TEXT NOT NULL,
    active     BOOLEAN NOT NULL,
    PRIMARY KEY (rollout_id, sku)
);
CREATE UNIQUE INDEX one_rollout_per_sku ON rollout_skus (sku) WHERE active;

-- The robots of a rollout, also those that left the fleet meanwhile.
CREATE TABLE rollout_robots (
    rollout_id  TEXT NOT NULL REFERENCES rollouts (id),
    robot_id    TEXT NOT NULL,
    sku         TEXT NOT NULL,
    stratum     TEXT NOT NULL DEFAULT '',
    stage       TEXT NOT NULL,           -- at which it has its turn
    stage_no    INTEGER NOT NULL,
    outcome     TEXT NOT NULL DEFAULT '',
    code        TEXT NOT NULL DEFAULT '',
    trigger_code TEXT NOT NULL DEFAULT '',
    offered     BIGINT NOT NULL DEFAULT 0, -- when each happened first
    trying      BIGINT NOT NULL DEFAULT 0,
    confirmed   BIGINT NOT NULL DEFAULT 0,
    failed      BIGINT NOT NULL DEFAULT 0,
    rolled_back BIGINT NOT NULL DEFAULT 0,
    split       BIGINT NOT NULL DEFAULT 0, -- where before and since part
    before_json TEXT NOT NULL DEFAULT '',  -- the window that ends there, once it is known
    PRIMARY KEY (rollout_id, robot_id)
);
CREATE INDEX rollouts_of_robot ON rollout_robots (robot_id);

CREATE TABLE decisions (
    rollout_id TEXT NOT NULL REFERENCES rollouts (id),
    number     BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    verdict    TEXT NOT NULL,
    stage      TEXT NOT NULL,
    text       TEXT NOT NULL,
    by_whom    TEXT NOT NULL DEFAULT '', -- '': the rules
    reason     TEXT NOT NULL DEFAULT '',
    epoch      BIGINT NOT NULL DEFAULT 0, -- of the lease under which it was made
    decision   TEXT NOT NULL,            -- all of it, with the evidence
    PRIMARY KEY (rollout_id, number)
);

-- Commands to robots. The id is the command's: one that is sent twice acts once.
CREATE TABLE outbox (
    id           TEXT PRIMARY KEY,
    robot_id     TEXT NOT NULL,
    verb         TEXT NOT NULL CHECK (verb IN ('ota', 'rollback', 'cancel')),
    payload      TEXT NOT NULL,
    version      TEXT NOT NULL DEFAULT '', -- that the command is about
    rollout_id   TEXT NOT NULL DEFAULT '',
    incident_id  TEXT NOT NULL DEFAULT '',
    created      BIGINT NOT NULL,
    sent         BIGINT NOT NULL DEFAULT 0, -- the last time; the broker has it
    sends        INTEGER NOT NULL DEFAULT 0,
    acknowledged BIGINT NOT NULL DEFAULT 0, -- the robot answered
    verdict      TEXT NOT NULL DEFAULT '',
    code         TEXT NOT NULL DEFAULT '',
    complied     BIGINT NOT NULL DEFAULT 0, -- the robot did what it says
    dropped      BIGINT NOT NULL DEFAULT 0  -- it is not to be sent any more
);
CREATE INDEX outbox_of_robot ON outbox (robot_id);
CREATE INDEX outbox_waiting ON outbox (created) WHERE complied = 0 AND dropped = 0;

CREATE TABLE leases (
    name   TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    epoch  BIGINT NOT NULL, -- goes up with every change of the holder
    until  BIGINT NOT NULL
);
