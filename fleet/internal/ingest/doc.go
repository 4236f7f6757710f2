// Package ingest turns what robots say of themselves into the fleet's memory:
// their current state, their history, how far they have come in rollouts, which
// commands they answered and complied with, and what was counted of their health.
//
// Parties. Robots say it, over MQTT or HTTP; brokers and networks carry it and
// may lose, repeat, hold back and reorder it. Nobody is believed: each message is
// bounded and checked, is about the robot that its topic (which the broker's
// access rules keep to that robot) or its token names, and of a robot that is
// registered. A robot can lie about itself alone.
//
// What decides here is pure, and says what a message changes:
//
//	message.go  topics, kinds, bounds, refusals
//	words.go    bytes → what was said, checked
//	state.go    status, online, diagnostics → state: which of two is newer
//	ledger.go   cumulative health → hours
//	jobs.go     transitions, in whatever order they came → updates and progress
//	answers.go  verdicts and states → commands that were answered, complied with
//
// and ingest.go, with transactions of the store, does it.
//
// # Order
//
// The state follows the newest message: by the stamp (epoch and number) that the
// agent gives it, not by when it came. Events are a set: what follows from them
// is worked out from all that are known, in the robot's own order. Health is
// cumulative: of each epoch the highest number counts, and only what it adds. So
// whatever order messages come in, and however often, the state, the events, the
// updates and the sums are the same in the end. The hours into which sums are
// put can differ where a message was lost or came late.
package ingest
