package cuttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/disk/disktest"
	"github.com/robot-platform/robot-ota/sim/espsim"
)

// result is what became of a run.
type result struct {
	hits    int               // cuts that struck
	counts  map[string]uint64 // events since the last of them
	outcome update.State      // of the first job
	lives   int
	faults  []string
	took    time.Duration // of made-up time
}

// maxRestarts of the agent until the job has ended, and runTime the longest
// that a run may take.
const (
	maxRestarts = 3
	runTime     = 2 * time.Hour
)

// run lives through a flow with its cuts, in a bubble of fake time.
func run(t *testing.T, p *plant, f flow, cuts ...cut) (r result) {
	t.Helper()
	defer func() {
		if e := recover(); e != nil {
			r.faults = append(r.faults, fmt.Sprint("panic: ", e))
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		w, err := newWorld(p, f, cuts)
		if err != nil {
			t.Fatal(err)
		}
		r = w.play(t.Context())
		if err := w.close(); err != nil {
			r.faults = append(r.faults, err.Error())
		}
	})
	return r
}

// play has the agent live, one life after the other, until the update has ended
// and the robot is whole.
func (w *world) play(ctx context.Context) (r result) {
	start := time.Now()
	for {
		if c, dark := w.dark(); dark { // again, before the computer was up
			w.outlive(c)
		}
		l, err := w.begin(ctx)
		if err != nil && !l.dead() && w.latest().who != "disk" && !errors.Is(err, disktest.ErrCut) { // what fails then makes it start again
			w.oracle.blame("the agent does not start: %v", err)
		}
		done := err == nil && w.await(l, start)
		if done {
			w.judge(l)
		}
		if done && outcome(l.status()) != w.flow.want {
			w.again(ctx, l)
		}
		l.bury()
		if done {
			break
		}
		if w.lives > maxRestarts {
			w.oracle.blame("the update has not ended after %d restarts", maxRestarts)
			break
		}
		if c, dark := w.dark(); dark {
			w.outlive(c)
			w.sleep(hostAway)
		} else {
			w.sleep(agentAway)
		}
		if w.isFull() { // until there is room it ends as soon as it is started
			w.sleep(fullTime)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r = result{hits: w.hits, counts: w.since, lives: w.lives, took: time.Since(start), outcome: w.outcome}
	w.oracle.mu.Lock()
	defer w.oracle.mu.Unlock()
	r.faults = w.oracle.faults
	return r
}

// again asks for the update once more where it did not end as it does without
// cuts. Nothing is in its way any more, so that now it must.
func (w *world) again(ctx context.Context, l *life) {
	w.mu.Lock()
	w.cuts = nil
	w.mu.Unlock()
	w.chip.SetFaults(espsim.Faults{})
	w.sleep(5 * time.Second) // until everything has been heard
	r := fromOperator()
	r.Force = true // where its version is held to be bad
	id, err := l.core.Trigger(ctx, r)
	if err != nil {
		w.oracle.blame("the update cannot be asked for again: %v", err)
		return
	}
	start := time.Now()
	for time.Since(start) < runTime/2 && w.sleep(time.Second) {
		if s := l.status(); s.JobID == id && w.ended(l) {
			if outcome(s) != w.flow.want {
				w.oracle.blame("the update that was asked for again is %s: %s", s.State, s.Message)
			}
			w.judge(l)
			return
		}
	}
	w.oracle.blame("the update that was asked for again has not ended: %s", l.core.Status().Message)
}

// tally is how many events of each kind there were since the last cut; the lock
// is held.
func (w *world) tally() map[string]uint64 {
	c := w.chip.Counters()
	n := map[string]uint64{flashOp: c.FlashOps, frameIn: c.FramesToChip, frameOut: c.FramesToHost, byteIn: c.BytesToChip, byteOut: c.BytesToHost,
		byteAny: c.BytesToChip + c.BytesToHost}
	for k, v := range w.counts {
		n[k] = v
	}
	return n
}

// await waits until the update has ended, or the agent.
func (w *world) await(l *life, start time.Time) (done bool) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-l.ended:
			return false
		case <-tick.C:
		}
		if w.ended(l) {
			w.mu.Lock()
			w.cuts = nil // nothing is to happen while the end is judged
			w.mu.Unlock()
			time.Sleep(5 * arrival) // a kill may have struck and not yet had its effect
			synctest.Wait()
			return !l.dead()
		}
		if time.Since(start) > runTime {
			s := l.core.Status()
			w.oracle.blame("after %v the update is still %s (%s), line held %v, chip %s", runTime, s.State, s.Message, s.Held, w.chip.App().Mode)
			return true
		}
	}
}

// ended says whether nothing more is to come.
func (w *world) ended(l *life) bool {
	w.mu.Lock()
	away := w.away
	w.mu.Unlock()
	s := l.status()
	switch {
	case away > 0, s.Held, s.JobID == "", !w.chip.App().Running || w.chip.App().SelfTest == "running" && w.flow.behaviour != "hang":
		return false
	case s.State == update.Observing && w.flow.want != update.Confirmed, l.core.Status().State.Busy():
		return false
	}
	return !l.dead() && l.recorded(s) // the history is tried again every minute
}

// status is the agent's. One whose disk was full may have noted the end of a job
// in the history alone, and know nothing of it when it is started again.
func (l *life) status() update.Status {
	s := l.core.Status()
	if s.JobID != "" || s.State != update.Idle {
		return s
	}
	if records, err := l.log.History(1); err == nil && len(records) == 1 {
		s.JobID, s.State = records[0].JobID, records[0].Outcome
	}
	return s
}

// outcome of a job; a history calls one confirmed whose firmware is observed.
func outcome(s update.Status) update.State {
	if s.State == update.Confirmed {
		return s.State
	}
	return s.Outcome()
}

// recorded says whether the end of the job is in the history.
func (l *life) recorded(s update.Status) bool {
	records, err := l.log.History(0)
	if _, verr := l.log.Verify(); verr != nil { // of a line that the disk did not let go; at the next try it does
		return false
	}
	return err == nil && slices.ContainsFunc(records, func(r update.Record) bool { return r.JobID == s.JobID && r.Outcome == outcome(s) })
}

// judge holds the end against what it should be.
func (w *world) judge(l *life) {
	s, app, flash := l.status(), w.chip.App(), w.chip.Report()
	o := w.oracle
	w.mu.Lock()
	owner, worn := w.owner, w.worn
	w.judged++
	if w.judged == 1 {
		w.outcome, w.since = outcome(s), w.tally()
	}
	w.mu.Unlock()
	want, state := w.plant.old.version, "valid"
	if outcome(s) == update.Confirmed {
		want = w.fresh.version
	}
	if w.flow.want == update.RolledBack && outcome(s) == update.Confirmed {
		o.blame("a firmware that is bad was confirmed")
	}
	if app.Version != want || !app.Running {
		o.blame("the update is %s, but %s runs from %s (%s)", s.State, app.Version, app.Slot, app.Mode)
	}
	if app.OTAState != state && app.Slot != "factory" && !(w.flow.agent && app.OTAState == "undefined") {
		o.blame("the firmware in %s runs as %s", app.Slot, app.OTAState)
	}
	onceMore := worn && outcome(s) == update.RolledBack && slices.ContainsFunc(flash.OTAData, func(e espsim.OTAEntry) bool {
		return e.Valid && e.Slot == flash.NextBoot && e.State == "new" // a trial, which the boot loader ends again
	})
	if flash.NextBoot != app.Slot && !onceMore {
		o.blame("%s runs, but %s would boot next", app.Slot, flash.NextBoot)
	}
	if !owner || s.Held {
		o.blame("the serial line is not back with its owner")
	}
	w.recorded(l, s)
}

// recorded holds the history against itself: each end of the job once.
func (w *world) recorded(l *life, s update.Status) {
	records, err := l.log.History(0)
	if err != nil {
		w.oracle.blame("the history cannot be read: %v", err)
	}
	seen, jobs := map[string]int{}, map[string]bool{}
	for _, r := range records {
		seen[r.JobID+" "+string(r.Outcome)]++
		jobs[r.JobID] = true
	}
	if n := seen[s.JobID+" "+string(outcome(s))]; n != 1 {
		w.oracle.blame("the job's end, %s, is in the history %d times", outcome(s), n)
	}
	if len(jobs) != w.judged {
		w.oracle.blame("there are %d jobs in the history", len(jobs))
	}
	if a, err := l.log.Verify(); err != nil || a.Records != len(records) || a.Line != 0 {
		w.oracle.blame("the history does not hold together: %+v, %v", a, err)
	}
}

var _ espsim.Tap = (*world)(nil)
