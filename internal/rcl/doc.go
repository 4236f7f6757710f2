// Package rcl is rclgo made fit for a process that runs for months: one ROS 2
// node with its publishers, subscriptions and services, and the care that
// rclgo leaves to its user.
//
//   - Its messages leak: a message that is sent is first filled with empty
//     strings and then with the real ones, and the empty ones are never freed.
//     Here outgoing messages begin as zeroed memory; see outgoing.
//   - Its errors carry a Go stack trace and leave rcl's own error text set, so
//     that the next error complains about the last; see tidy.
//   - rcl keeps its error text per thread, while a goroutine may change
//     threads between two calls; see Node.Spin and Node.guard.
//   - Its wait sets cost more than the messages that they wait for; see inbox.
//   - A response that is sent after the node was closed is a use of freed
//     memory; here it is ErrClosed.
//   - rcl's own log writes files below the home directory, which a service
//     does not have; here it goes to standard error only.
//
// All of it needs the build tag ros2 and a sourced ROS 2.
package rcl

import "errors"

// ErrClosed is returned by what is tried on a node that was closed.
var ErrClosed = errors.New("the ROS node is closed")
