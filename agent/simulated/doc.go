// Package simulated has robots for a fleet that nobody owns: many in one
// process, in a time that the caller sets.
//
// What decides in them is the agent's own: the state machine of an update, the
// gates, the trial, the rollback triggers, the counting of health, and what is
// said to the fleet and heard from it. What they decide about is made up: a body
// with a battery and faults, and a chip in memory whose OTA data are the real
// ones, byte for byte. An image is known by its SHA-256 alone: downloads, flash
// and signatures take time and are not done.
//
//	Server ──▶ Robot.Step ──▶ Message     as on fleet/{robot_id}/…
//	           Robot.Command ◀── commands/…
//
// Layers, one file each:
//
//	nature.go  how firmware behaves, and what robots are like
//	chip.go    slots and OTA data
//	body.go    from a nature and chance to what the robot is heard to say
//	robot.go   the robot: a step in time
//	deeds.go   the effects of the state machine
//	words.go   what is said to the fleet
//
// The same seed and the same calls give the same fleet. A Robot is not safe for
// concurrent use; several robots are.
package simulated
