package mqttlink

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// When to try again, and how often to speak.
const (
	firstWait = time.Second
	maxWait   = 2 * time.Minute
	// steady is how long a connection must have held for the next wait to
	// begin small again: a broker that throws robots out at once is not asked
	// every second.
	steady = time.Minute
	// pace is the least time between two statuses that differ in progress
	// alone.
	pace = time.Second
	// refresh is how often Status is looked at without being woken: the
	// running firmware's version comes from telemetry.
	refresh = 30 * time.Second
	// healthEvery is how often the health is told.
	healthEvery = time.Minute
	// waiting is how many messages are taken from the broker before they are
	// followed.
	waiting = 64
	// farewell bounds the last words to the broker.
	farewell = 2 * time.Second
)

// Run talks to the broker until ctx ends; it is called once. The engine never
// waits for it.
func (l *Link) Run(ctx context.Context, e Engine) error {
	defer func() {
		if err := l.outbox.close(); err != nil {
			l.log.Warn("the outbox was not closed well", "err", err)
		}
	}()
	wait := firstWait
	for {
		began := time.Now()
		err := l.converse(ctx, e)
		l.down(err, time.Now())
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > steady {
			wait = firstWait
		}
		pause := max(jitter(wait), leaveAlone(err))
		l.log.Warn("no connection to "+l.peer, "err", err, "again", pause.Round(time.Second/10), "events_waiting", l.outbox.len())
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		wait = min(2*wait, maxWait)
	}
}

// jitter is between a half of d and all of it, so that a fleet does not come
// back at once when its broker does.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2) //nolint:gosec // no secret hangs on it
}

// converse is one connection, from its beginning to its end.
func (l *Link) converse(ctx context.Context, e Engine) error {
	run, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	arrivals := make(chan delivery, waiting)
	connection := Online{RobotID: l.cfg.RobotID, Stamp: l.stamps.next(), At: time.Now()}
	will := connection
	will.Reason = "connection_lost"
	s, err := l.dial(run, func(d delivery) {
		select {
		case arrivals <- d:
		case <-run.Done():
		}
	}, will)
	if err != nil {
		return err
	}
	wg.Go(func() { l.listen(run, e, arrivals) })
	err = l.speak(run, s, e, connection)
	if ctx.Err() != nil {
		last, stop := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer stop()
		connection.Reason = "stopped"
		if err := l.announce(last, s, connection); err != nil {
			l.log.Info(l.peer+" was not told that the agent stops", "err", err)
		}
	}
	cancel() // a message that nobody takes any more must not hold the farewell up
	s.close()
	return err
}

func (l *Link) listen(ctx context.Context, e Engine, arrivals <-chan delivery) {
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-arrivals:
			if l.follow(ctx, e, d.message) {
				d.ack()
			}
		}
	}
}

func (l *Link) announce(ctx context.Context, s session, o Online) error {
	o.Agent, o.At = l.cfg.Version, time.Now()
	raw, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return s.publish(ctx, "ota/online", true, raw)
}

// speak says everything there is to say until the connection or ctx ends. A
// status comes after the events that led to it: who hears both sees a robot go
// from state to state, also after a time without a connection.
func (l *Link) speak(ctx context.Context, s session, e State, o Online) error {
	news, stop := e.News()
	defer stop()
	if err := s.subscribe(ctx); err != nil {
		return err
	}
	o.Online = true
	if err := l.announce(ctx, s, o); err != nil {
		return err
	}
	l.up(time.Now())
	l.log.Info("connected to "+l.peer, "robot", l.cfg.RobotID)
	tick := time.NewTimer(0)
	defer tick.Stop()
	told := teller{stamps: l.stamps, census: l.census, pace: l.pace}
	for {
		next, err := l.say(ctx, s, e, &told)
		if err != nil {
			return err
		}
		tick.Reset(next)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.lost():
			return s.why()
		case <-news:
		case <-l.outbox.more:
		case <-tick.C:
		}
	}
}

// say sends the events and then the status and the health; next is when to look
// again at the latest.
func (l *Link) say(ctx context.Context, s session, e State, told *teller) (next time.Duration, err error) {
	status := l.status(e.Status()) // before the look at the outbox, which knows of it earlier
	for again := true; again; {
		if again, err = l.send(ctx, s); err != nil {
			return 0, err
		}
		if again {
			status = l.status(e.Status())
		}
	}
	next = pace
	if !l.behind(status.Status, time.Now()) { // else it is about to change, with news
		if next, err = told.status(ctx, s, status, time.Now()); err != nil {
			return 0, err
		}
	}
	return next, told.health(ctx, s, time.Now())
}

// behind says that a status is older than an event that was told a moment ago:
// the engine writes its steps down before it shows them.
func (l *Link) behind(s update.Status, now time.Time) bool {
	last := l.outbox.latest()
	return now.Sub(last.Since) < pace && (last.ID != s.JobID || last.State != s.State)
}

// send sends the oldest event; false: there is none.
func (l *Link) send(ctx context.Context, s session) (bool, error) {
	ev, ok := l.outbox.first()
	if !ok {
		return false, nil
	}
	raw, err := json.Marshal(ev)
	if err != nil {
		return false, err
	}
	if err := s.publish(ctx, "ota/event", false, raw); err != nil {
		return false, err
	}
	if err := l.outbox.done(ev.Seq); err != nil {
		l.log.Warn("an event that was sent may be sent again after a restart", "seq", ev.Seq, "err", err)
	}
	return true, nil
}

// teller publishes the status, changes at once and progress at its pace, and
// the health.
type teller struct {
	stamps  *stamps
	census  Census // nil: none
	pace    time.Duration
	counted time.Time
	last    string // as published, without time and stamp
	shape   string // without what only moves
	at      time.Time
}

// health publishes what was counted where it is time to.
func (t *teller) health(ctx context.Context, to session, now time.Time) error {
	if t.census == nil || now.Sub(t.counted) < healthEvery {
		return nil
	}
	for _, h := range t.census.Health(now) {
		raw, err := json.Marshal(h)
		if err != nil {
			return err
		}
		if err := to.publish(ctx, "ota/health", false, raw); err != nil {
			return err
		}
		t.census.Told(h)
	}
	t.counted = now
	return nil
}

// status publishes s where it is time to; next is when to ask again at the
// latest.
func (t *teller) status(ctx context.Context, to session, s Status, now time.Time) (next time.Duration, err error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return 0, err
	}
	if string(raw) == t.last {
		return refresh, nil
	}
	shape, err := shapeOf(s)
	if err != nil {
		return 0, err
	}
	if shape == t.shape {
		if wait := t.pace - now.Sub(t.at); wait > 0 {
			return wait, nil
		}
	}
	s.At, s.Stamp = now, t.stamps.next()
	stamped, err := json.Marshal(s)
	if err != nil {
		return 0, err
	}
	if err := to.publish(ctx, "ota/status", true, stamped); err != nil {
		return 0, err
	}
	t.last, t.shape, t.at = string(raw), shape, now
	return refresh, nil
}

// shapeOf is the status without what moves all the time.
func shapeOf(s Status) (string, error) {
	s.Progress, s.BytesDone, s.BytesTotal, s.Rate, s.Message = 0, 0, 0, 0, ""
	s.Reasons = slices.Clone(s.Reasons)
	for i := range s.Reasons {
		s.Reasons[i].Text = ""
	}
	raw, err := json.Marshal(s)
	return string(raw), err
}
