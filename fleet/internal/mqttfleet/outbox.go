package mqttfleet

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// How commands are sent.
const (
	// askEvery is how often the outbox is looked at: a halt is to be with the
	// robots in seconds.
	askEvery = time.Second
	// again is when a command that was sent once and not answered is sent again;
	// see store.Reader.Due.
	again = time.Minute
	// window is how many commands are published before the broker's word on the
	// first of them is awaited.
	window = 200
)

// send sends what is due now.
func (l *Link) send(ctx context.Context, s session) error { return l.flush(ctx, s, l.cfg.Now(), again) }

// repeat sends what no robot has answered: the broker may have lost it.
func (l *Link) repeat(ctx context.Context, s session) error { return l.flush(ctx, s, l.cfg.Now(), 0) }

// flush sends what was due at a moment. What the store cannot say now is sent
// later.
func (l *Link) flush(ctx context.Context, s session, now time.Time, unit time.Duration) error {
	for {
		due, err := l.outbox.Due(ctx, now, unit, window)
		if err != nil {
			l.log.Warn("the commands that are due cannot be read", "err", err)
			return nil
		}
		if len(due) == 0 {
			return nil
		}
		taken, failed := l.publish(ctx, s, due)
		if len(taken) > 0 {
			if err := l.outbox.Sent(ctx, taken...); err != nil {
				l.log.Warn("commands that were sent will be sent again: it cannot be noted", "commands", len(taken), "err", err)
				return failed
			}
			l.log.Info("commands sent", "commands", len(taken), "first", taken[0])
		}
		if failed != nil || len(due) < window {
			return failed
		}
	}
}

// publish publishes commands and waits until the broker has them. It gives the
// ids of those that it took.
func (l *Link) publish(ctx context.Context, s session, due []store.Command) (taken []string, failed error) {
	waits := make([]func() error, len(due))
	for i, c := range due {
		topic := "fleet/" + c.Robot + "/commands/" + string(c.Verb)
		payload, err := withID(c)
		if err != nil || !store.IsRobotID(c.Robot) {
			l.log.Error("a command cannot be sent; drop it", "command", c.ID, "robot", c.Robot, "err", err)
			waits[i] = func() error { return nil } // as if sent: it is tried seldom then
			continue
		}
		waits[i] = s.publish(ctx, topic, payload)
	}
	for i, wait := range waits {
		if err := wait(); err != nil {
			failed = err
			continue
		}
		taken = append(taken, due[i].ID)
	}
	return taken, failed
}

// withID is the payload with an id, by which the robot knows the command.
func withID(c store.Command) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(c.Payload, &fields); err != nil || fields == nil {
		return nil, fmt.Errorf("its payload is no JSON object: %.80q", c.Payload)
	}
	if _, there := fields["id"]; there {
		return c.Payload, nil
	}
	id, err := json.Marshal(c.ID)
	if err != nil {
		return nil, err
	}
	fields["id"] = id
	return json.Marshal(fields)
}
