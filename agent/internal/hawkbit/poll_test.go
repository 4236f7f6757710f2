package hawkbit

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/disk"
)

// polls are the times at which the root was asked for, from the begin.
func (r *rig) polls() (out []time.Duration) {
	begin := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // where synctest's clock starts
	r.hawk.do(func() {
		for i, l := range r.hawk.log {
			if l == "GET " {
				out = append(out, r.hawk.at[i].Sub(begin))
			}
		}
	})
	return out
}

// gaps are the times between them.
func (r *rig) gaps() []time.Duration {
	var out []time.Duration
	p := r.polls()
	for i := range p[1:] {
		out = append(out, p[i+1]-p[i])
	}
	return out
}

// The server says how often it wants to be asked; a fleet does not ask at
// once.
func TestPollsAsTheServerSays(t *testing.T) {
	for _, tt := range []struct {
		sleep string
		want  time.Duration
	}{
		{"00:05:00", 5 * time.Minute},
		{"00:00:30", 30 * time.Second},
		{"12:00:00", 12 * time.Hour},
		{"00:00:00", minSleep},
		{"999:00:00", maxSleep},
	} {
		h := newHawk()
		h.sleep = tt.sleep
		play(t, h, func(t *testing.T, r *rig) {
			r.wait(20 * tt.want)
			if p := r.polls(); p[0] > first {
				t.Errorf("%s: the first poll came after %s", tt.sleep, p[0])
			}
			gaps := r.gaps()
			if len(gaps) < 15 {
				t.Fatalf("%s: polled at %v", tt.sleep, r.polls())
			}
			for _, g := range gaps {
				if g < tt.want*9/10 || g > tt.want*11/10+time.Second {
					t.Errorf("%s: a gap of %s", tt.sleep, g)
				}
			}
			if same := slices.Max(gaps) - slices.Min(gaps); same < tt.want/100 {
				t.Errorf("%s: no jitter in %v", tt.sleep, gaps)
			}
			if h.etags < len(gaps)-2 {
				t.Errorf("%s: of %d polls %d were answered 304", tt.sleep, len(gaps), h.etags)
			}
		})
	}
}

// A server that is away or ill is asked less and less often, and for no longer
// than ten minutes not at all.
func TestBackOff(t *testing.T) {
	h := newHawk(&assignment{id: "3", version: "0.2.1"})
	h.down = true
	play(t, h, func(t *testing.T, r *rig) {
		r.wait(24 * time.Hour)
		gaps := r.gaps()
		if gaps[0] > firstWait || gaps[1] > 2*firstWait || len(gaps) < 140 || len(gaps) > 300 {
			t.Errorf("%d gaps, beginning with %v", len(gaps), gaps[:5])
		}
		for _, g := range gaps[8:] {
			if g < maxWait/2 || g > maxWait {
				t.Errorf("a gap of %s", g)
			}
		}
		h.do(func() { h.down = false })
		r.until("the update", maxWait+time.Second, func() bool { return r.state() == update.Downloading })
		before := len(r.gaps())
		h.do(func() { h.down = true })
		r.wait(7 * time.Minute)
		if g := r.gaps()[before:]; g[0] < 4*time.Minute || g[1] > firstWait {
			t.Errorf("after a success the pauses were %v", g)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		status int
		after  string
		min    time.Duration
		max    time.Duration
	}{
		{429, "3600", time.Hour, time.Hour + maxWait},
		{503, "7200", 2 * time.Hour, 2*time.Hour + maxWait},
		{503, "99999999", maxSleep, maxSleep + maxWait},
		{503, "", 0, firstWait},
	} {
		h := newHawk()
		h.fail, h.wait = tt.status, tt.after
		play(t, h, func(t *testing.T, r *rig) {
			r.wait(first)
			h.do(func() { h.fail = 0 })
			r.wait(30 * time.Hour)
			if g := r.gaps(); g[0] < tt.min || g[0] > tt.max {
				t.Errorf("%d %s: asked again after %s", tt.status, tt.after, g[0])
			}
		})
	}
}

// A robot that is not let in says what to look at, and gets in when the
// operator has put it right.
func TestUnauthorized(t *testing.T) {
	h := newHawk(&assignment{id: "3", version: "0.2.1"})
	h.token = "TargetToken s3cret"
	play(t, h, func(t *testing.T, r *rig) {
		r.wait(time.Hour)
		if r.triggers != 0 {
			t.Error("an update was begun")
		}
		h.do(func() { h.token = "" })
		r.until("the update", maxWait+time.Second, func() bool { return r.state() == update.Downloading })
	})
}

// Attributes are told when the server asks, and when they have changed.
func TestAttributes(t *testing.T) {
	h := newHawk()
	h.ask = true
	play(t, h, func(t *testing.T, r *rig) {
		r.wait(time.Hour)
		if len(h.puts) != 1 || h.puts[0].Mode != "merge" {
			t.Fatalf("told %d times: %v", len(h.puts), h.puts)
		}
		r.crash()
		r.wait(time.Hour)
		if len(h.puts) != 1 {
			t.Errorf("after a restart it was told %d times", len(h.puts))
		}
		r.runs("0.2.5", "ota_1", "dd") // flashed by hand
		r.wait(10 * time.Minute)
		if len(h.puts) != 2 || h.attrs["firmware_version"] != "0.2.5" {
			t.Errorf("told %d times, now %v", len(h.puts), h.attrs)
		}
		h.do(func() { h.ask = true })
		r.wait(10 * time.Minute)
		if len(h.puts) != 3 {
			t.Errorf("asked for, and told %d times", len(h.puts))
		}
	})
}

// hawkBit takes 128 characters of a set for each attribute.
func TestAttributeValues(t *testing.T) {
	for in, want := range map[string]string{
		"0.2.1": "0.2.1", "müde: 50 %": "m?de: 50 %", "a\nb\x00": "a?b?", strings.Repeat("x", 300): strings.Repeat("x", 128),
		"":   "",
		"~`": "??",
	} {
		if got := attribute(in); got != want {
			t.Errorf("%q: got %q", in, got)
		}
	}
}

// What the agent remembers of actions is bounded, and what is still to be told
// stays.
func TestLedgerIsBounded(t *testing.T) {
	l, err := openLedger(disk.Disk{}, t.TempDir()+"/hawkbit.json", "x")
	if err != nil {
		t.Fatal(err)
	}
	l.put(action{ID: "untold", End: &ending{}})
	l.put(action{ID: "work"})
	for i := range 1000 {
		l.put(action{ID: "a" + strings.Repeat("x", i), End: &ending{Taken: true}})
	}
	if _, ok := l.find("untold"); !ok || len(l.Actions) != maxActions {
		t.Errorf("%d actions, untold there: %t", len(l.Actions), ok)
	}
	if _, ok := l.find("work"); !ok {
		t.Error("the action at work was dropped")
	}
}
