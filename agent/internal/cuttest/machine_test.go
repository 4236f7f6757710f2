package cuttest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Flags of this package's tests, after -args where go test does not know them.
var (
	onePoint = flag.String("point", "", "the point to replay, such as good/flash/213/half/robot")
	seed     = flag.Uint64("seed", 1, "of the order of the points and of the second cuts")
	limit    = flag.Duration("limit", 0, "how long to cut; 0: until all is done")
	most     = flag.Int("points", 0, "how many first cuts to try; 0: one of each way in each flow or, of a full run, all")
	seconds  = flag.Int("seconds", 1, "how many second cuts to try after each first")
)

// TestFlows: each flow ends as it should where nothing goes wrong.
func TestFlows(t *testing.T) {
	p := plantOf(t)
	for _, f := range flows() {
		t.Run(f.name, func(t *testing.T) {
			r := run(t, p, f)
			t.Logf("%s in %v of made-up time: %v", r.outcome, r.took, r.counts)
			if r.outcome != f.want || r.lives != 1 {
				t.Errorf("%s after %d lives, want %s", r.outcome, r.lives, f.want)
			}
			for _, fault := range r.faults {
				t.Error(fault)
			}
		})
	}
}

func plantOf(t *testing.T) *plant {
	t.Helper()
	p, err := newPlant()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPoint replays one point.
func TestPoint(t *testing.T) {
	if *onePoint == "" {
		t.Skip("-point names none")
	}
	p, err := parsePoint(*onePoint)
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, plantOf(t), flowOf(t, p.flow), p.cuts()...)
	t.Logf("%d cuts struck; %s after %d lives and %v of made-up time; since then %v", r.hits, r.outcome, r.lives, r.took, r.counts)
	for _, fault := range r.faults {
		t.Error(fault)
	}
}

func (p point) cuts() []cut {
	if p.second == nil {
		return []cut{p.first}
	}
	return []cut{p.first, *p.second}
}

func flowOf(t *testing.T, name string) flow {
	t.Helper()
	i := slices.IndexFunc(flows(), func(f flow) bool { return f.name == name })
	if i < 0 {
		t.Fatalf("there is no flow %q", name)
	}
	return flows()[i]
}

// TestCuts cuts at one point of each way in each flow; with ROBOT_OTA_PROOF=full
// at all of them.
func TestCuts(t *testing.T) {
	m := &machine{t: t, plant: plantOf(t), full: os.Getenv("ROBOT_OTA_PROOF") == "full", start: time.Now(), tally: newTally()}
	for _, f := range flows() {
		m.points = append(m.points, points(f, run(t, m.plant, f).counts)...)
	}
	for _, p := range m.points {
		m.tally.of[p.first.kind]++
	}
	m.order()
	m.cut()
	m.tell()
}

// machine cuts at points, two at a time where there are two processors.
type machine struct {
	t      *testing.T
	plant  *plant
	full   bool
	start  time.Time
	points []point
	tally  *tally
	next   atomic.Int64 // of the points
	runs   atomic.Int64
}

// order puts the points into the order of the seed, so that a run that ends
// early has cut evenly at all of them; what is not wanted is left out.
func (m *machine) order() {
	rng := rand.New(rand.NewPCG(*seed, 1)) //nolint:gosec // a seed must give the same points again
	rng.Shuffle(len(m.points), func(i, j int) { m.points[i], m.points[j] = m.points[j], m.points[i] })
	if !m.full && *most == 0 {
		type stratum struct {
			flow, kind string
			way
		}
		seen := map[stratum]bool{}
		m.points = slices.DeleteFunc(m.points, func(p point) bool {
			s := stratum{p.flow, p.first.kind, way{p.first.how, p.first.who}}
			had := seen[s]
			seen[s] = true
			return had
		})
		if testing.Short() {
			m.points = m.points[:len(m.points)/8]
		}
	}
	if *most > 0 && *most < len(m.points) {
		m.points = m.points[:*most]
	}
}

// cut works off the points. What comes second is drawn for each first one apart,
// so that it does not hang on how many are done at a time.
func (m *machine) cut() {
	over := make(chan struct{})
	var wg, watch sync.WaitGroup
	if m.full {
		watch.Go(func() { m.progress(over) })
	}
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := int(m.next.Add(1)) - 1; i < len(m.points); i = int(m.next.Add(1)) - 1 {
				if *limit > 0 && time.Since(m.start) > *limit {
					return
				}
				draw := rand.New(rand.NewPCG(*seed, uint64(i))) //nolint:gosec // as above
				counts := m.try(m.points[i])
				if !m.full && *most == 0 && i%2 == 1 { // the sample is to be short
					continue
				}
				for _, second := range m.points[i].then(draw, counts, *seconds) {
					m.try(second)
				}
			}
		})
	}
	wg.Wait()
	close(over)
	watch.Wait()
}

func (m *machine) try(p point) map[string]uint64 {
	r := run(m.t, m.plant, flowOf(m.t, p.flow), p.cuts()...)
	m.runs.Add(1)
	m.tally.note(p, r)
	return r.counts
}

// progress tells how far the machine is, now and then, and what has failed
// since: a run of an hour may be ended before it tells all.
func (m *machine) progress(over <-chan struct{}) {
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for told := 0; ; {
		select {
		case <-over:
			return
		case <-tick.C:
		}
		done, took := min(m.next.Load(), int64(len(m.points))), time.Since(m.start)
		left := time.Duration(float64(took) * float64(int64(len(m.points))-done) / float64(max(done, 1)))
		if *limit > 0 {
			left = min(left, *limit-took)
		}
		fmt.Fprintf(os.Stderr, "cut: %d of %d first cuts, %d runs, %.0f a second, %d failures, %v to go\n", done, len(m.points), m.runs.Load(),
			float64(m.runs.Load())/took.Seconds(), m.tally.failed(), left.Round(time.Second))
		for _, f := range m.tally.since(told) {
			fmt.Fprintln(os.Stderr, "cut: FAILED", f)
			told++
		}
	}
}

// tell reports.
func (m *machine) tell() {
	took := time.Since(m.start)
	m.t.Logf("seed %d: %d runs in %v (%.0f a second); %d first cuts are known", *seed, m.runs.Load(), took.Round(time.Second),
		float64(m.runs.Load())/took.Seconds(), total(m.tally.of))
	for _, line := range m.tally.lines() {
		m.t.Log(line)
	}
	for _, f := range m.tally.failures {
		m.t.Error(f)
	}
	if path := os.Getenv("ROBOT_OTA_PROOF_REPORT"); path != "" {
		if err := m.tally.report(path); err != nil {
			m.t.Error(err)
		}
	}
}
