// Package rollout says how a release reaches the robots of a SKU: its plan, how
// far it has come, and what was decided on which evidence. It is pure: no I/O,
// no clock, no log.
package rollout
