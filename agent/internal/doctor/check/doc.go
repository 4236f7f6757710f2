// Package check holds the doctor's checks, one file each. Each is a function
// that is given what it looks at and returns a doctor.Check; a command decides
// which there are, and in which order they are told.
//
// What the running agent knows comes as a *control.Health, nil where none runs:
// then a check looks for itself, or says why it cannot. What only the agent's
// user or root may see is skipped for others, and said so: a check must not
// call closed to the agent what is closed to whoever runs the doctor.
//
// No check opens the serial port, publishes on the robot's topics, takes a GPIO
// line, or writes to the state directory. Loader is the one that touches the
// robot, through the agent and its gates.
package check
