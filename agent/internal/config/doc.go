// Package config reads the agent's one configuration file.
//
// The file is written by the robot's operator and trusted as such: whoever can
// change it can name other keys. It is still read strictly, because a
// misspelt key that is passed over in silence (a gate believed shut, a port
// believed set) is worse than an agent that does not start: every key must be
// known, every value of its kind and within its range, and each fault is named
// by file, line and column together with what would be right. All faults are
// told at once.
//
// Layers, one file each:
//
//	config.go    what can be configured, with defaults
//	unit.go      durations and sizes
//	load.go      the file, and what is done with it
//	decode.go    YAML nodes → values, keeping where each stood
//	schema.go    the keys that exist
//	suggest.go   the key that was probably meant
//	validate.go  ranges and what goes together
//	key.go       the public keys that the file names
//	problem.go   faults, and how they are told
//
// No secret stands in the file itself: it names files that hold them, so that
// printing the configuration gives nothing away.
package config
