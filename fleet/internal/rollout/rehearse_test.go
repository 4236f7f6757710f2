package rollout

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// world is a fleet with the ordinary background of diagnostics: every robot has
// a rate of bad minutes of its own, most of them low and some high, and now and
// then one has a bad afternoon.
type world struct {
	random *rand.Rand
	rate   map[string]float64 // bad minutes a day
	harmed map[string]bool
	harm   float64 // minutes of ERROR a day on a harmed robot
	trial  bool    // a harmed robot fails its trial
}

func newWorld(seed uint64, ids []string, share, harm float64) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 7)), rate: map[string]float64{}, harmed: map[string]bool{}, harm: harm}
	for _, id := range ids {
		// A log-normal rate: median 3, one in twenty above 16.
		w.rate[id] = 3 * math.Exp(w.random.NormFloat64())
	}
	for _, i := range w.random.Perm(len(ids))[:int(share*float64(len(ids)))] {
		w.harmed[ids[i]] = true
	}
	return w
}

func (w *world) poisson(mean float64) float64 {
	if mean > 50 {
		return max(0, math.Round(mean+math.Sqrt(mean)*w.random.NormFloat64()))
	}
	n, left := 0.0, math.Exp(-mean)
	for p := w.random.Float64(); p > left; p *= w.random.Float64() {
		n++
	}
	return n
}

// window is what a robot counts in so many days.
func (w *world) window(id string, days float64, with bool) Window {
	bad := w.poisson(w.rate[id] * days)
	for range int(w.poisson(0.01 * days)) {
		bad += 30 * math.Exp(w.random.NormFloat64()) // a bad afternoon
	}
	c := Counters{}
	c.Error = math.Round(bad / 4)
	c.Warn = bad - c.Error
	if with && w.harmed[id] {
		c.Error += w.poisson(w.harm * days)
	}
	minutes := days * 24 * 60
	c.OK = max(0, minutes-c.Warn-c.Error)
	c.Odometry, c.Diagnostics, c.Battery = w.poisson(3000*minutes), w.poisson(120*minutes), w.poisson(60*minutes)
	c.Discharging = minutes * 30
	c.Used = c.Discharging / 3600 * 0.1 * math.Exp(0.05*w.random.NormFloat64())
	if w.random.Float64() < 0.005*days {
		c.EStops = 1
	}
	return Window{Counters: c}
}

// rehearsal is how a rollout went that all robots take at once.
type rehearsal struct {
	verdict Verdict
	stage   Stage
	code    Code
	text    string
	exposed int
	harmed  int // canaries
}

// rehearse lets a rollout go on from the moment when the canaries have their
// turn, until it is halted, asks, or opens the stage until.
func rehearse(p Plan, w *world, n int, until Stage) rehearsal {
	var candidates []Candidate
	for i := range n {
		candidates = append(candidates, Candidate{ID: fmt.Sprint("r", i)})
	}
	o, harmed := Observations{}, 0
	for _, c := range Draw(p, candidates) {
		if c.Stage == Canary && w.harmed[c.ID] {
			harmed++
		}
		o.Robots = append(o.Robots, Robot{ID: c.ID, Stage: c.Stage, Heard: noon, Before: w.window(c.ID, 7, false)})
	}
	s := State{Schema: Schema, Phase: Running, Stage: Canary, Opened: noon, Split: noon}
	for now := noon; ; {
		var d Decision
		for i := range o.Robots {
			o.Robots[i].Heard = now
		}
		s, d = Decide(p, s, o, now)
		if d.Verdict == Measure {
			o.Measured = true
			for i, r := range o.Robots {
				days := now.Sub(s.Opened).Hours() / 24
				o.Robots[i].Since = w.window(r.ID, days, r.Outcome == Confirmed)
				o.Robots[i].Recent = w.window(r.ID, 1, r.Outcome == Confirmed)
			}
			s, d = Decide(p, s, o, now)
			o.Measured = false
		}
		turn := 0
		for i, r := range o.Robots {
			if !s.Stage.Before(r.Stage) {
				turn++
				outcome, code := Confirmed, ""
				if w.trial && w.harmed[r.ID] {
					outcome, code = RolledBack, "self_test_failed"
				}
				o.Robots[i].Progress = r.Progress.With(outcome, code, now)
			}
		}
		if !s.Phase.Active() || s.Phase == Asking || !s.Stage.Before(until) {
			return rehearsal{d.Verdict, d.Stage, d.Code, d.Text, turn, harmed}
		}
		if now = now.Add(time.Hour); now.Sub(noon) > 60*24*time.Hour {
			return rehearsal{verdict: "never"}
		}
	}
}

// seeds is how many rollouts are rehearsed; `make rehearse` asks for 1,000.
func seeds(t *testing.T, usual int) int {
	if text := os.Getenv("ROBOT_OTA_REHEARSALS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("ROBOT_OTA_REHEARSALS=%q: want a number", text)
		}
		return n
	}
	return usual
}

func ids(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint("r", i))
	}
	return all
}

// inTrial stands for a harm that shows in the trial, not in minutes.
const inTrial = -1

func rehearsals(t *testing.T, n, robots int, share, harm float64, until Stage) map[Verdict]int {
	ended, exposed, hidden := map[Verdict]int{}, 0, 0
	for seed := range n {
		p := plan(t)
		p.Internal, p.Seed = nil, uint64(seed)
		w := newWorld(uint64(seed), ids(robots), share, max(0, harm))
		w.trial = harm == inTrial
		got := rehearse(p, w, robots, until)
		ended[got.verdict]++
		if share > 0 && got.harmed == 0 {
			hidden++
		}
		if got.verdict == Halt {
			exposed += got.exposed
		}
	}
	what := fmt.Sprintf("%.0f minutes of ERROR a day", harm)
	if harm == inTrial {
		what = "a failed trial"
	}
	t.Logf("%d rollouts on %d robots, %s for %.0f %% of them: %v", n, robots, what, 100*share, ended)
	if share > 0 {
		t.Logf("no canary was harmed: %d times", hidden)
	}
	if halts := ended[Halt]; halts > 0 {
		t.Logf("exposed where it was halted: %.1f %% of the fleet", 100*float64(exposed)/float64(halts*robots))
	}
	return ended
}

// A release that harms one robot in twenty does not get past the canary.
func TestRehearseHarm(t *testing.T) {
	t.Parallel()
	n := seeds(t, 100)
	if past := rehearsals(t, n, 1000, 0.05, 240, Wide)[Advance]; past > max(1, n/100) {
		t.Errorf("%d of %d got past the canary", past, n)
	}
}

// Nor does one that one robot in twenty puts back in its trial.
func TestRehearseTrials(t *testing.T) {
	t.Parallel()
	n := seeds(t, 100)
	if past := rehearsals(t, n, 1000, 0.05, inTrial, Wide)[Advance]; past > max(1, n/100) {
		t.Errorf("%d of %d got past the canary", past, n)
	}
}

// A harmless one, with the ordinary background, is stopped rarely.
func TestRehearseHarmless(t *testing.T) {
	t.Parallel()
	n := seeds(t, 100)
	ended := rehearsals(t, n, 1000, 0, 0, Wide)
	if stopped := n - ended[Advance]; stopped > max(2, n/20) {
		t.Errorf("%d of %d were stopped", stopped, n)
	}
}

// Where nothing can be told, a person is asked: nobody is let through.
func TestRehearseSmallFleets(t *testing.T) {
	t.Parallel()
	for _, robots := range []int{1, 2, 10, 40, 200} {
		ended := rehearsals(t, 10, robots, 0, 0, Wide)
		if ended[Advance] > 0 || ended[Ask] == 0 {
			t.Errorf("%d robots: %v", robots, ended)
		}
	}
}

// A harmless release gets through the wide stage as well.
func TestRehearseWide(t *testing.T) {
	t.Parallel()
	n := min(seeds(t, 20), 200) // they take their time
	ended := rehearsals(t, n, 1000, 0, 0, Full)
	if stopped := n - ended[Advance]; stopped > max(2, n/10) {
		t.Errorf("%d of %d were stopped in canary or wide", stopped, n)
	}
}
