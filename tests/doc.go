// Package tests holds what concerns the project as a whole: the directions in which its packages depend on each other,
// the set-up of a machine, and the build as a package of a ROS 2 workspace.
package tests
