// Package ros is the voice of the simulated robot in ROS 2: what the firmware
// of a real one publishes through micro-ROS, with the same names, rates and
// qualities of service.
//
// The firmware is the only one who speaks. While it does not run, or has gone
// silent, its topics are not on the graph at all, latched values included:
// nobody may hear from a chip that is being flashed.
//
// It needs the build tag ros2.
package ros
