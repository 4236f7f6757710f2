package main

import "slices"

// rosFlag begins the arguments of ROS 2; "--" or the end of the line ends them.
const rosFlag = "--ros-args"

// splitROS takes the arguments of ROS 2 out of a command line, in the order
// and the words in which they stand, each run of them with its --ros-args and,
// where it was there, its closing "--". A "--" right before --ros-args only
// separates the two and belongs to nobody.
func splitROS(args []string) (own, ros []string) {
	for len(args) > 0 {
		start := slices.Index(args, rosFlag)
		if start < 0 {
			return append(own, args...), ros
		}
		before := args[:start]
		if n := len(before); n > 0 && before[n-1] == "--" {
			before = before[:n-1]
		}
		own = append(own, before...)
		args = args[start:]
		end := slices.Index(args, "--")
		if end < 0 {
			return own, append(ros, args...)
		}
		ros = append(ros, args[:end+1]...)
		args = args[end+1:]
	}
	return own, ros
}
