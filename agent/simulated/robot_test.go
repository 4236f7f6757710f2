package simulated

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/mqttlink"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/flashmap"
)

var (
	start = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	old   = compat.Version{Minor: 2}
	next  = compat.Version{Minor: 2, Patch: 1}
)

// firmware has the old version and the next one, of some nature.
func firmware(n Nature) map[string]Firmware {
	of := func(sum string, v compat.Version, n Nature) Firmware {
		return NewFirmware(v, sum, strings.Repeat(sum[:1], 64), 1_000_000, "k", n)
	}
	return map[string]Firmware{"aa": of("aa", old, Nature{}), "bb": of("bb", next, n)}
}

// shop offers the next version to everybody that runs an older one.
type shop struct{ asked int }

func (s *shop) Check(_ context.Context, _ string, runs compat.Version) (Offer, bool, error) {
	s.asked++
	return Offer{SHA256: "bb", Size: 1_000_000, Version: next, Release: "standard-0.2.1"}, runs.Compare(next) < 0, nil
}

// closed has nothing.
type closed struct{}

func (closed) Check(context.Context, string, compat.Version) (Offer, bool, error) {
	return Offer{}, false, nil
}

func fleet(t *testing.T, size int, n Nature, change func(*Config)) []*Robot {
	t.Helper()
	var robots []*Robot
	for i := range size {
		cfg := DefaultConfig()
		cfg.ID, cfg.SKU, cfg.Companion, cfg.Runs = fmt.Sprintf("r%03d", i), "standard", compat.Version{Minor: 2}, old
		cfg.Firmware, cfg.Seed, cfg.Start = firmware(n), uint64(i)+1, start
		if change != nil {
			change(&cfg)
		}
		r, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		robots = append(robots, r)
	}
	return robots
}

// pass lets a robot live for a while, and collects what it says.
func pass(t *testing.T, r *Robot, s Server, d time.Duration) (said []Message) {
	t.Helper()
	for end := r.now.Add(d); r.now.Before(end); {
		m, err := r.Step(t.Context(), s, r.now.Add(10*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		said = append(said, m...)
	}
	return said
}

func decode[T any](t *testing.T, said []Message, topic string) (out []T) {
	t.Helper()
	for _, m := range said {
		if m.Topic != topic {
			continue
		}
		var v T
		if err := json.Unmarshal(m.Payload, &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func TestAGoodReleaseReachesEverybody(t *testing.T) {
	for _, r := range fleet(t, 15, Nature{}, nil) {
		said := pass(t, r, &shop{}, 60*time.Hour)
		if r.Runs() != next || r.State() != update.Idle || r.body.chip.runs != 1 || r.body.chip.state() != flashmap.Valid {
			t.Errorf("%s runs %s from %s (%s), %s", r.ID(), r.Runs(), r.body.chip.runs, r.body.chip.state(), r.State())
		}
		var states []update.State
		for _, e := range decode[mqttlink.Event](t, said, "ota/event") {
			if e.Kind == mqttlink.KindTransition && e.From != e.To && e.Target == next {
				states = append(states, e.To)
			}
		}
		want := []update.State{update.Downloading, update.Verifying, update.Waiting, update.Handover, update.Connecting, update.Writing, update.Attesting,
			update.Booting, update.Validating, update.Confirmed, update.Observing, update.Idle}
		if !slices.Equal(states, want) {
			t.Errorf("%s told of %v", r.ID(), states)
		}
		counted := decode[watch.Health](t, said, "ota/health")
		last := counted[len(counted)-1]
		if last.Firmware != next || last.Counters.OK < 1000 || last.Counters.EStops+last.Counters.Reboots > 0 {
			t.Errorf("%s counted %+v", r.ID(), last)
		}
	}
}

// What a firmware does to a robot is found by the agent's own trial and triggers,
// and the robot has its old firmware again.
func TestABadReleaseIsPutBack(t *testing.T) {
	for name, tt := range map[string]struct {
		nature Nature
		codes  []string
	}{
		"self-test":     {Nature{Harms: 1, FailsTrial: 1}, []string{watch.CodeBack}},
		"stops":         {Nature{Harms: 1, EStops: 2}, []string{watch.CodeEStop}},
		"reboots":       {Nature{Harms: 1, Reboots: 120}, []string{watch.CodeReboots, watch.CodeRebooted, watch.CodeBack}}, // the last two in the trial
		"a thirsty one": {Nature{Harms: 1, Drain: 4}, []string{watch.CodeDrain}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range fleet(t, 3, tt.nature, func(c *Config) { c.Temper.Away = 0 }) {
				pass(t, r, closed{}, 12*time.Hour) // it gets to know itself
				s := &shop{}
				said := pass(t, r, s, 30*time.Hour)
				if r.Runs() != old || r.body.chip.runs != 0 || r.body.chip.state() != flashmap.Valid {
					t.Errorf("%s runs %s from %s (%s)", r.ID(), r.Runs(), r.body.chip.runs, r.body.chip.state())
				}
				var ends []string
				for _, e := range decode[mqttlink.Event](t, said, "ota/event") {
					if e.To == update.RolledBack {
						ends = append(ends, e.Code)
					}
				}
				if len(ends) != 1 || !slices.Contains(tt.codes, ends[0]) {
					t.Errorf("%s was put back because of %q, want once, %q", r.ID(), ends, tt.codes)
				}
				if s.asked < 4 {
					t.Errorf("asked %d times", s.asked)
				}
			}
		})
	}
}

func TestHarmIsDrawnOnce(t *testing.T) {
	n := Nature{Harms: 0.05}
	harmed := 0
	for i := range 10_000 {
		id := fmt.Sprintf("r%d", i)
		first := n.against(id, next)
		if n.against(id, next) != first {
			t.Fatal("drawn twice")
		}
		if first {
			harmed++
		}
	}
	if harmed < 400 || harmed > 600 {
		t.Errorf("%d of 10,000 robots are harmed, want about 500", harmed)
	}
}

func TestCommands(t *testing.T) {
	r := fleet(t, 1, Nature{}, func(c *Config) { c.Temper.Away = 0 })[0]
	pass(t, r, &shop{}, 14*time.Hour)
	if r.Runs() != next {
		t.Fatalf("%s in %s", r.Runs(), r.State())
	}
	for range 2 { // the second does nothing
		if !r.Command(t.Context(), "commands/rollback", []byte(`{"id":"c1","reason":"it squeaks","version":"0.2.1"}`)) {
			t.Fatal("out of reach")
		}
	}
	said := pass(t, r, &shop{}, time.Hour)
	if r.Runs() != old || r.State() != update.RolledBack {
		t.Errorf("%s in %s", r.Runs(), r.State())
	}
	var verdicts []string
	for _, e := range decode[mqttlink.Event](t, said, "ota/event") {
		if e.Kind == mqttlink.KindCommand {
			verdicts = append(verdicts, e.Verdict+" "+e.Code)
		}
	}
	if !slices.Equal(verdicts, []string{"followed ", "ignored duplicate"}) {
		t.Errorf("verdicts %q", verdicts)
	}
	r.awayUntil = r.now.Add(time.Hour)
	if r.Command(t.Context(), "commands/cancel", []byte(`{"id":"c2"}`)) {
		t.Error("a robot out of reach took a command")
	}
}

// What a robot had to say while it was away is said when it is back.
func TestARobotThatIsAwayTellsLater(t *testing.T) {
	r := fleet(t, 1, Nature{}, func(c *Config) { c.Temper.Away = 0 })[0]
	pass(t, r, closed{}, time.Hour)
	r.awayUntil = r.now.Add(5 * time.Hour)
	if said := pass(t, r, closed{}, 4*time.Hour); len(said) != 0 {
		t.Errorf("%d messages from out of reach", len(said))
	}
	said := pass(t, r, closed{}, 2*time.Hour)
	if n := len(decode[watch.Health](t, said, "ota/health")); n < 20 {
		t.Errorf("%d words on its health", n)
	}
	if n := len(decode[mqttlink.Online](t, said, "ota/online")); n != 1 {
		t.Errorf("came back %d times", n)
	}
}

func TestTheSameSeedIsTheSameFleet(t *testing.T) {
	run := func() string {
		var all strings.Builder
		for _, r := range fleet(t, 2, Nature{Harms: 0.5, EStops: 0.2, Warnings: 0.1}, nil) {
			for _, m := range pass(t, r, &shop{}, 24*time.Hour) {
				fmt.Fprintf(&all, "%s %s\n", m.Topic, m.Payload)
			}
		}
		return all.String()
	}
	if a, b := run(), run(); a != b || len(a) < 10_000 {
		t.Errorf("two runs said different things, or little: %d and %d bytes", len(a), len(b))
	}
}

func TestWhatCannotBe(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Runs, cfg.Firmware = compat.Version{Major: 9}, firmware(Nature{})
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "9.0.0") {
		t.Errorf("a version that is not there: %v", err)
	}
	cfg.Runs, cfg.Firmware = old, firmware(Nature{Harms: 1.5})
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "harms 1.5: want 0 to 1") {
		t.Errorf("a nature that cannot be: %v", err)
	}
}

func BenchmarkARobotsDay(b *testing.B) {
	for b.Loop() {
		cfg := DefaultConfig()
		cfg.ID, cfg.SKU, cfg.Companion, cfg.Runs, cfg.Firmware, cfg.Seed, cfg.Start = "r", "standard", old, old, firmware(Nature{}), 1, start
		r, err := New(cfg)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Step(b.Context(), closed{}, start.Add(24*time.Hour)); err != nil {
			b.Fatal(err)
		}
	}
}

// A good release changes nothing of how often a robot feels bad, although an
// update shifts when its minutes begin.
func TestAnUpdateIsNoIllness(t *testing.T) {
	minutes := map[compat.Version]watch.Counters{}
	for _, r := range fleet(t, 12, Nature{}, func(c *Config) { c.Temper.Warnings, c.Temper.Away = 0.05, 0 }) {
		last := map[compat.Version]watch.Counters{}
		for _, s := range []Server{closed{}, &shop{}} {
			for _, h := range decode[watch.Health](t, pass(t, r, s, 72*time.Hour), "ota/health") {
				last[h.Firmware] = h.Counters
			}
		}
		for v, c := range last {
			m := minutes[v]
			m.OK, m.Warn = m.OK+c.OK, m.Warn+c.Warn
			minutes[v] = m
		}
	}
	share := func(v compat.Version) float64 { return minutes[v].Warn / (minutes[v].OK + minutes[v].Warn) }
	if a, b := share(old), share(next); minutes[next].OK < 20_000 || b > 1.15*a || b < 0.85*a {
		t.Errorf("%.2f %% of the minutes were WARN before, %.2f %% after (%+v)", 100*a, 100*b, minutes)
	}
}
