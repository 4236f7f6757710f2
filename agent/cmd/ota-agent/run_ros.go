//go:build ros2

package main

// withROS says that this build has a ROS 2 node.
const withROS = true
