package mqttlink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/internal/mqttline"
)

// air is a broker in fake time.
type air struct {
	mu    sync.Mutex
	fail  error       // of dialling
	tries []time.Time // to connect
	said  []saying
	open  *airSession
	hold  time.Duration // until it throws a robot out; 0: never
	keys  *Keys         // of the robot; nil: it does not tell
	count *counting     // of its health; nil: it does not tell
	will  Online        // of the latest connection
}

// counting is a census.
type counting struct {
	mu    sync.Mutex
	seq   uint64
	ended []watch.Health
	told  []watch.Health
}

func (c *counting) Health(now time.Time) []watch.Health {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	return append(slices.Clone(c.ended), watch.Health{Epoch: "now", Seq: c.seq, At: now})
}

func (c *counting) Told(h watch.Health) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, h)
	c.ended = slices.DeleteFunc(c.ended, func(e watch.Health) bool { return e.Epoch == h.Epoch })
}

type saying struct {
	topic   string
	payload string
	at      time.Time
}

type airSession struct {
	air  *air
	once sync.Once
	gone chan struct{}
}

func (a *air) dial(_ context.Context, _ func(delivery), will Online) (session, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.will = will
	a.tries = append(a.tries, time.Now())
	if a.fail != nil {
		return nil, a.fail
	}
	s := &airSession{air: a, gone: make(chan struct{})}
	if a.hold > 0 {
		time.AfterFunc(a.hold, s.end)
	}
	a.open = s
	return s, nil
}

func (s *airSession) end()                            { s.once.Do(func() { close(s.gone) }) }
func (s *airSession) subscribe(context.Context) error { return nil }
func (s *airSession) lost() <-chan struct{}           { return s.gone }
func (s *airSession) why() error                      { return mqttline.ErrGone }
func (s *airSession) close()                          { s.end() }

func (s *airSession) publish(_ context.Context, topic string, _ bool, payload []byte) error {
	select {
	case <-s.gone:
		return mqttline.ErrGone
	default:
	}
	s.air.mu.Lock()
	defer s.air.mu.Unlock()
	s.air.said = append(s.air.said, saying{topic, string(payload), time.Now()})
	return nil
}

func (a *air) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

// on are the things said on a topic.
func (a *air) on(topic string) (out []saying) {
	a.set(func() {
		for _, s := range a.said {
			if s.topic == topic {
				out = append(out, s)
			}
		}
	})
	return out
}

// aloft runs f over a link whose broker is a, in fake time.
func aloft(t *testing.T, a *air, f func(t *testing.T, l *Link, e *fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l, err := New(Config{URL: "mqtts://broker", RobotID: "r1", StateDir: t.TempDir()}, update.New(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		l.dial = a.dial
		if a.keys != nil {
			l.cfg.Keys = func() (k Keys) { a.set(func() { k = *a.keys }); return k }
		}
		if a.count != nil {
			l.census = a.count
		}
		e := newFake()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := l.Run(ctx, e); err != nil {
				t.Error(err)
			}
		}()
		defer func() { cancel(); <-done }()
		f(t, l, e)
	})
}

// TestAnHourWithoutBroker: it is tried again and again, ever more seldom, and
// what happened meanwhile is told.
func TestAnHourWithoutBroker(t *testing.T) {
	a := &air{fail: errors.New("no route to host")}
	aloft(t, a, func(t *testing.T, l *Link, _ *fake) {
		for range 60 {
			steps(l, 1) // does not wait for a broker
			time.Sleep(time.Minute)
		}
		a.mu.Lock()
		n := len(a.tries)
		for i := 1; i < n; i++ {
			if gap := a.tries[i].Sub(a.tries[i-1]); gap > maxWait || gap < firstWait/2 || i > 8 && gap < maxWait/2 {
				t.Errorf("pause %d is %s", i, gap)
			}
		}
		if n < 30 || n > 75 {
			t.Errorf("%d tries in an hour", n)
		}
		a.fail = nil
		a.mu.Unlock()
		time.Sleep(maxWait)
		if got := a.on("ota/event"); len(got) != 60 {
			t.Errorf("%d events, want 60", len(got))
		}
	})
}

// TestThrownOut: a broker that takes robots in and throws them out at once is
// not asked every second.
func TestThrownOut(t *testing.T) {
	a := &air{hold: 10 * time.Second}
	aloft(t, a, func(t *testing.T, _ *Link, _ *fake) {
		time.Sleep(time.Hour)
		a.mu.Lock()
		if n := len(a.tries); n > 75 {
			t.Errorf("%d tries in an hour", n)
		}
		a.hold = 0
		a.mu.Unlock()
		time.Sleep(10 * time.Minute)
		a.set(func() { a.tries = nil; a.open.end() })
		lost := time.Now()
		time.Sleep(10 * time.Second)
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.tries) != 1 || a.tries[0].Sub(lost) > firstWait {
			t.Errorf("after a connection that held: %v", a.tries)
		}
	})
}

func TestJitter(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 100 {
		d := jitter(time.Minute)
		if seen[d] = true; d < 30*time.Second || d >= time.Minute {
			t.Errorf("%s", d)
		}
	}
	if len(seen) < 90 {
		t.Errorf("%d different pauses of 100", len(seen))
	}
}

// TestStatusPace: a change of state is told at once, progress once a second,
// and nothing is said where nothing changes.
func TestStatusPace(t *testing.T) {
	a := &air{}
	aloft(t, a, func(t *testing.T, _ *Link, e *fake) {
		time.Sleep(time.Hour)
		if got := a.on("ota/status"); len(got) != 1 {
			t.Fatalf("an idle robot said %d statuses in an hour", len(got))
		}
		began := time.Now()
		for i := range 100 { // ten seconds of a download
			e.set(func(s *update.Status) {
				s.State, s.BytesDone, s.Message = update.Downloading, int64(i+1), fmt.Sprint(i)
			})
			time.Sleep(100 * time.Millisecond)
		}
		e.set(func(s *update.Status) { s.State = update.Verifying })
		synctest.Wait()
		got := a.on("ota/status")[1:]
		if n := len(got); n < 10 || n > 13 {
			t.Errorf("%d statuses in ten seconds", n)
		}
		var first, last update.Status
		if json.Unmarshal([]byte(got[0].payload), &first) != nil || json.Unmarshal([]byte(got[len(got)-1].payload), &last) != nil {
			t.Fatal(got)
		}
		if first.State != update.Downloading || !got[0].at.Equal(began) || last.State != update.Verifying || !got[len(got)-1].at.Equal(time.Now()) {
			t.Errorf("the changes of state were told late: %v", got)
		}
		e.set(func(s *update.Status) { s.Progress = 0.5 })
		time.Sleep(2 * pace)
		if got := a.on("ota/status"); !slices.ContainsFunc(got, func(s saying) bool { return json.Unmarshal([]byte(s.payload), &last) == nil && last.Progress == 0.5 }) {
			t.Error("the last progress was never told")
		}
	})
}

// TestKeysAreTold: whose signatures count is part of the status, and a change
// of it is told without one of the update.
func TestKeysAreTold(t *testing.T) {
	a := &air{keys: &Keys{Keyring: 7, Trusted: []string{"00000000000000aa"}, Revoked: []string{"00000000000000bb"}, Firmware: "00000000000000cc"}}
	aloft(t, a, func(t *testing.T, _ *Link, _ *fake) {
		time.Sleep(time.Hour)
		a.set(func() { a.keys.Keyring = 8 })
		time.Sleep(time.Hour)
		got := a.on("ota/status")
		if len(got) != 2 {
			t.Fatalf("%d statuses: %v", len(got), got)
		}
		for i, version := range []string{"7", "8"} {
			want := `"keys":{"keyring":` + version + `,"trusted":["00000000000000aa"],"revoked":["00000000000000bb"],"firmware":"00000000000000cc"},"at":`
			if p := got[i].payload; !strings.Contains(p, want) || !strings.HasPrefix(p, `{"state":"idle"`) {
				t.Errorf("%s\nwant %s in it", p, want)
			}
		}
	})
}

// TestToldAfterACrash: a transition that was saved but not told is told at the
// next start, once.
func TestToldAfterACrash(t *testing.T) {
	cfg := Config{URL: "mqtts://broker", RobotID: "r1", StateDir: t.TempDir()}
	m := update.New()
	m.Job.ID, m.Job.State = "job-1", update.Writing
	for range 2 {
		l, err := New(cfg, m, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		e, ok := l.outbox.first()
		if !ok || l.outbox.len() != 1 || e.From != update.Idle || e.To != update.Writing || e.JobID != "job-1" || e.Cause != "Restarted" {
			t.Errorf("%d events, %+v", l.outbox.len(), e)
		}
		if err := l.outbox.close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStoppingDoesNotAcknowledge: a command that the engine could not take
// because the agent stops has to come again.
func TestStoppingDoesNotAcknowledge(t *testing.T) {
	l, err := New(Config{URL: "mqtts://broker", RobotID: "r1", StateDir: t.TempDir()}, update.New(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.outbox.close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := newFake()
	e.refuse = ctx.Err()
	if l.follow(ctx, e, message{verb: verbUpdate, payload: []byte(good(`,"id":"c-1"`))}) || l.outbox.len() != 0 {
		t.Error("it was acknowledged or refused")
	}
	e.refuse = nil
	if !l.follow(t.Context(), e, message{verb: verbUpdate, payload: []byte(good(`,"id":"c-1"`))}) || len(e.heard()) != 1 {
		t.Error("it was not followed when it came again")
	}
}

// TestHealthIsTold: once a minute while there is a broker, what has ended once.
func TestHealthIsTold(t *testing.T) {
	a := &air{count: &counting{ended: []watch.Health{{Epoch: "before", Seq: 9}}}}
	aloft(t, a, func(t *testing.T, _ *Link, _ *fake) {
		time.Sleep(10*time.Minute + time.Second)
		a.set(func() { a.fail = mqttline.ErrGone; a.open.end() })
		time.Sleep(10 * time.Minute)
		a.set(func() { a.fail = nil })
		time.Sleep(10 * time.Minute)
		got := a.on("ota/health")
		if n := len(got); n < 18 || n > 24 {
			t.Errorf("%d in 20 minutes with a broker", n)
		}
		for i, g := range got {
			if strings.Contains(g.payload, `"before"`) != (i == 0) {
				t.Errorf("%d: %s", i, g.payload)
			}
		}
		a.count.mu.Lock()
		defer a.count.mu.Unlock()
		if len(a.count.told) != len(got) {
			t.Errorf("%d are said to be told, of %d", len(a.count.told), len(got))
		}
	})
}

// TestStampsRise: whatever is said later has a higher number, over connections
// and restarts, and a will comes after the word that it takes back.
func TestStampsRise(t *testing.T) {
	dir := t.TempDir()
	var last Stamp
	for range 3 {
		a := &air{}
		synctest.Test(t, func(t *testing.T) {
			l, err := New(Config{URL: "mqtts://broker", RobotID: "r1", StateDir: dir}, update.New(), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			l.dial = a.dial
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- l.Run(ctx, newFake()) }()
			for range 2 {
				time.Sleep(time.Minute)
				a.set(func() { a.open.end() })
				time.Sleep(maxWait)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		said := a.on("ota/online")
		if len(said) != 4 {
			t.Fatalf("%v", said)
		}
		for _, s := range append(said[:3:3], a.on("ota/status")...) {
			var m struct {
				Stamp
				At time.Time
			}
			if err := json.Unmarshal([]byte(s.payload), &m); err != nil || m.At.IsZero() {
				t.Error(s.payload, err)
			}
			if last.Epoch != "" && (m.Epoch != last.Epoch || m.Seq <= last.Seq) && s.topic == "ota/online" {
				t.Errorf("%+v after %+v", m, last)
			}
			if s.topic == "ota/online" {
				last = m.Stamp
			}
		}
		if a.will.Stamp != last || a.will.Online || a.will.Reason != "connection_lost" || a.will.RobotID != "r1" {
			t.Errorf("will %+v, connection %+v", a.will, last)
		}
	}
}

// TestAStatusComesAfterItsEvents: over connections that end and begin anew at
// any moment, nobody hears of a state before the transition that led to it.
func TestAStatusComesAfterItsEvents(t *testing.T) {
	a := &air{}
	aloft(t, a, func(t *testing.T, l *Link, e *fake) {
		states := update.States()[1:]
		before := update.Job{State: update.Idle}
		for i := range 200 {
			after := update.Job{ID: "job", State: states[i%len(states)]}
			l.Stepped(update.Memory{Job: before}, update.Memory{Job: after}, "x")
			e.set(func(s *update.Status) { s.JobID, s.State = after.ID, after.State })
			before = after
			switch i % 7 {
			case 2:
				a.set(func() { a.fail = mqttline.ErrGone; a.open.end() })
			case 5:
				a.set(func() { a.fail = nil })
			}
			time.Sleep(time.Duration(i%5) * 40 * time.Second)
		}
		a.set(func() { a.fail = nil })
		time.Sleep(2 * maxWait)
		last, statuses := update.Idle, 0
		var said []saying
		a.set(func() { said = slices.Clone(a.said) })
		for _, s := range said {
			var got struct{ State, To update.State }
			if err := json.Unmarshal([]byte(s.payload), &got); err != nil {
				t.Fatal(err)
			}
			switch s.topic {
			case "ota/event":
				last = got.To
			case "ota/status":
				statuses++
				if got.State != last {
					t.Errorf("a status of %s after the event of %s", got.State, last)
				}
			}
		}
		if last != before.State || statuses < 50 {
			t.Errorf("%d statuses, the last of %s, want %s", statuses, last, before.State)
		}
	})
}
