package watch

import (
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

// HealthSchema is the version of Health's form.
const HealthSchema = 1

// Health is what the fleet is told of a robot's health. Everything in it is
// counted since its epoch began, so that a copy that is lost, repeated or late
// does no harm: of each epoch the highest Seq holds all that the others say.
type Health struct {
	Schema  int    `json:"schema"`
	RobotID string `json:"robot_id"`
	SKU     string `json:"sku"`
	// Firmware that ran all the while; zero: it has not said.
	Firmware compat.Version `json:"firmware,omitzero"`
	// Epoch names a counting: of one firmware, in one life of the agent. Seq
	// rises from copy to copy.
	Epoch string    `json:"epoch"`
	Seq   uint64    `json:"seq"`
	At    time.Time `json:"at"`
	// Seconds of the counting. What came between two copies came in the
	// difference of their Seconds before At.
	Seconds  float64  `json:"seconds"`
	Counters Counters `json:"counters"`
}
