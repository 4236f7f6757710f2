// Package controller carries rollouts out: it looks at each that goes on, lets
// package rollout decide, and stores what follows.
//
// Parties. One server of several leads (the store's lease); commands and the
// dashboard give orders beside it. Whoever it is, all that follows from one
// decision, the rollout's row, the decision with its evidence, the release's
// status, the incident of a halt, is one transaction: a server that dies has
// done all of it or nothing, and one that lost the lease does nothing more. The
// controller keeps nothing in memory between two looks.
//
// How far robots have come (assignments) is written by the intake, from what
// they say; the controller gives them their places and reads the rest. Robots
// are told to put a release back by whoever follows incidents.
//
//	observe.go  rows of the store → what a decision is made on       pure
//	measure.go  hours of health → windows before and since           pure, but for its reads
//	tick.go     one look at every rollout
//	order.go    plan, start, and what people order
package controller
