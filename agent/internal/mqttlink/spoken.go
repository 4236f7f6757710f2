package mqttlink

import (
	"context"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// Transition is the event by which a step from one job to another is told, but
// for its id, number and robot; false: the step changes nothing that is told.
// cause is what led to it. It is for robots that have no broker to speak to.
func Transition(before, after update.Job, cause string, now time.Time) (Event, bool) {
	return transition(before, after, cause, now)
}

// Commanded lets e follow one message on a topic of the fleet (commands/…), as a
// Link would that has just heard it, and gives the event by which that is told.
// seen are the keys of the commands that took effect before, which Commanded
// adds to. It is for robots that have no broker to speak to.
func Commanded(ctx context.Context, e interface {
	Commands
	Status() update.Status
}, sku, topic string, payload []byte, seen map[string]string, now time.Time,
) (Event, bool) {
	i := slices.IndexFunc(verbs(), func(v verb) bool { return topic == "commands/"+string(v) })
	if i < 0 || len(payload) == 0 {
		return Event{}, false
	}
	m := message{verb: verbs()[i], payload: payload}
	a, bad := judge(m, situation{now: now, sku: sku, status: e.Status(), known: func(key string) (known, bool) {
		job, ok := seen[key]
		return known{Key: key, Job: job}, ok
	}})
	job := ""
	if bad == nil {
		job, bad = act(ctx, e, a)
	}
	if bad != nil {
		return verdict(m, a.command, bad, now), true
	}
	seen[a.key] = job
	return followed(m, a.command, job, now), true
}
