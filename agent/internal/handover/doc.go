// Package handover borrows the robot's UART from the micro-ROS agent for the
// time of a flash.
//
// Parties. The micro-ROS agent owns the port in normal life and knows nothing
// of updates. The update engine takes the line, flashes, and gives it back.
// The owner is stopped and started by systemd over D-Bus, or by commands of
// the operator's; with neither configured the package only makes sure that
// nobody has the port.
//
// The promise: an owner that ran before runs again afterwards, whatever
// happens in between. A marker file stands on the disk from before the stop
// until after the start, so an agent that was killed meanwhile starts the
// owner when it comes up (Recover):
//
//	        Take                         Give / Recover
//	free ─► was it running? ─no─► free      start owner
//	              │ yes                     remove marker
//	        write marker (fsync)
//	        stop owner
//	        wait until the port is free ─no─► start owner, remove marker, error
//
// An owner that did not run is left alone. An owner that cannot be started
// keeps its marker: the next Give or Recover tries again.
//
// Layers: line.go (the order of things), systemd.go and command.go (two kinds
// of owner), service.go (how a unit is doing), marker.go (the file). Trust: the marker lies in the agent's own
// state directory; still nothing in it is executed, it names at most a unit.
package handover
