// Package rollout decides how a release reaches the robots of a SKU: in four
// stages, each with a gate, and back when they get worse. It is pure: no I/O,
// no clock, no log, no chance but that of a plan's seed.
//
// Draw gives robots their stage. Decide looks at a Plan, its State, the robots'
// progress and what was counted of them, and gives the next State with a
// Decision, which holds the evidence that it was made on. Obey does the same
// for what a person orders. Whoever calls them stores both at once and acts on
// them.
//
//	            advance (canary, wide, full)            complete
//	         ┌──────────┐                          ┌───────────────▶ stable
//	start ──▶│ running  │──────────────────────────┤
//	         └┬─▲────┬─▲┘                          │ promote
//	    pause │ │    │ │ the gate opens, promote   │
//	          ▼ │    ▼ │                           │
//	     paused │   asking ────────────────────────┘
//	      resume┘
//	running, asking, paused ── a trigger, too many failures, a gate's test, or a person ──▶ halted
//
// Robots are offered the release in the phases running and asking, each from
// its stage on. In paused nobody is, but triggers and failures still halt.
// Halted and stable are final.
//
// # What is compared
//
// The robot is the unit: minutes of one robot are no independent evidence. Of
// each robot the change is looked at, from the time before the rollout to the
// time with the release; robots that have not had their turn are the control
// group, so that what happens to all of them is nobody's fault. What a robot
// did not report counts neither for nor against the release, except that
// falling silent is compared as well.
//
// A gate that found nothing opens only where it would have found something: a
// plan says which share of harmed robots is to be noticed with which
// probability, and a gate whose robots are too few for that asks a person.
package rollout
