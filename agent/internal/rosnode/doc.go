// Package rosnode is the agent as a ROS 2 node: services, an action, topics
// and parameters around an Agent that knows nothing of ROS.
//
// # Parties
//
// Anyone on the ROS graph may call the services and publish the topics: DDS
// without its security plug-ins has no notion of who is who. So nothing that
// arrives here is trusted further than "somebody on the robot said so".
// Requests are handed to the Agent, which decides; facts are handed to the
// Board, where they can hold an update back or end a trial. Neither can make
// an image genuine. Whatever is kept of a message is cut to a bound first.
//
// # Layers
//
// The files without a build tag are pure Go and are tested without ROS:
//
//	intake       robot messages → observations, bounded
//	goals        the goals of the action /ota/update
//	lane         bounded queues between callbacks and the Agent
//	beat         when the status is published
//	args         what the ROS arguments ask of us, parameters among it
//	parameters   the parameters and the rules of their six services
//
// Those with the tag ros2 tie them to rcl through rclgo. Without the tag New
// returns ErrNoROS, so that the agent is built, tested and used without a
// ROS 2 as well.
//
// # Goroutines
//
// Three goroutines run the callbacks: one, on a thread of its own, those of
// services, one those of topics as messages come, and one takes odometry and
// commands, a few times a second all that have come, because waking for each
// cost more than all else at rest. A callback copies what it was given and
// hands it over: to the Board, or to a lane whose workers call the Agent and
// send the answer. Plans, which may ask a server far away, have a
// lane to themselves, so that a cancellation never queues behind one.
//
// # The action
//
// rclgo's own action server calls every goal cancelled that somebody asked to
// cancel, even when the agent refused; gives aborted goals no result; writes
// stamps in the wrong unit; and waits for results in goroutines that nothing
// ends. An action is three services and two topics, so they are served here
// one by one, and goals keeps the book.
package rosnode
