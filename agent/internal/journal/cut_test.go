package journal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/internal/disk"
	"github.com/robot-platform/robot-ota/internal/disk/disktest"
)

// acknowledged is what lives of a journal know of each other: of the memory, the
// baseline and the speed the last that was acknowledged and the last that was
// begun, as numbers; and the jobs whose end was acknowledged, or may have been.
type acknowledged struct {
	memory, baseline, speed span
	ended, maybe            []string
	litter                  map[string]int // how often a file was seen that is of no use
}

// span is from what is promised to what was begun.
type span struct{ kept, begun int }

// holds says whether what was found lies in it, and takes it as the truth.
func (s *span) holds(what string, found int) error {
	if found < s.kept || found > s.begun {
		return fmt.Errorf("%s %d is there, %d was kept and %d begun", what, found, s.kept, s.begun)
	}
	s.kept = found
	return nil
}

// do is one more of it.
func (s *span) do(f func(n int) error) error {
	s.begun++
	if err := f(s.begun); err != nil {
		return err
	}
	s.kept = s.begun
	return nil
}

// step is the memory of number n.
func step(n int) update.Memory {
	m := update.New()
	m.Job.ID = fmt.Sprint("j", n)
	m.Job.State = update.Writing
	m.Job.From.Slot = "ota_0"
	m.Job.Image.Version.Patch = uint8(n)
	return m
}

// long is a record of more than one sector.
func long(id string) update.Record {
	r := record(id)
	r.Evidence = []string{strings.Repeat("well ", 200)}
	return r
}

// The memory is the old one or the new one, whatever happens, and never
// damaged; the history has all that was acknowledged, once, and is never
// shorter than its head says.
func TestCuts(t *testing.T) {
	if r := disktest.Sweep(t, "files: journal", acknowledged{}, life); r.Points < 1000 {
		t.Errorf("too little was tried: %+v", r)
	}
}

func life(d disk.Disk, known acknowledged) (acknowledged, error) {
	j, err := OpenOn(d, "/var/state")
	if err != nil {
		return known, err
	}
	if err := known.clean(d); err != nil {
		return known, err
	}
	m, err := j.Load()
	if err != nil {
		return known, err
	}
	if err := known.memory.holds("memory", int(m.Job.Image.Version.Patch)); err != nil {
		return known, err
	}
	if err := known.findHistory(j); err != nil {
		return known, err
	}
	tally, err := j.Baseline()
	if err != nil {
		return known, err
	}
	baud, _, err := j.Speed()
	if err := errors.Join(err, known.baseline.holds("baseline", int(tally.Seconds)), known.speed.holds("speed", baud)); err != nil {
		return known, err
	}
	if err := known.job(j); err != nil {
		return known, err
	}
	err = known.baseline.do(func(n int) error { return j.KeepBaseline(watch.Tally{Seconds: float64(n)}) })
	if err == nil {
		err = known.speed.do(func(n int) error { return j.KeepSpeed(n, time.Unix(int64(n), 0)) })
	}
	return known, err
}

// clean looks whether what was half written goes, at the latest when nothing is
// in the way.
func (a *acknowledged) clean(d disk.Disk) error {
	entries, err := d.ReadDir("/var/state")
	if err != nil {
		return err
	}
	seen := make(map[string]int)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if seen[e.Name()] = a.litter[e.Name()] + 1; seen[e.Name()] == 3 {
			return fmt.Errorf("%s is left for ever", e.Name())
		}
	}
	a.litter = seen
	return nil
}

// job saves a memory, and one by which the job has ended, and settles it.
func (a *acknowledged) job(j *Journal) error {
	if err := a.memory.do(func(n int) error { return j.Save(step(n)) }); err != nil {
		return err
	}
	id := fmt.Sprint("j", a.memory.begun+1)
	a.maybe = append(slices.Clip(a.maybe), id)
	if err := a.memory.do(func(n int) error { return j.Save(step(n), long(id)) }); err != nil {
		return err
	}
	a.ended = append(slices.Clip(a.ended), id)
	left, err := j.Settle()
	if err == nil && left > 0 {
		return fmt.Errorf("%d records are left", left)
	}
	return err
}

// findHistory looks whether all that is promised is there, once it is settled,
// and nothing else or twice.
func (a *acknowledged) findHistory(j *Journal) error {
	for _, look := range []func() (update.Audit, error){j.Verify, View{j.folder}.Verify} {
		if audit, err := look(); err != nil || audit.Torn {
			return fmt.Errorf("as it was found: %+v: %w", audit, err)
		}
	}
	if _, err := j.Settle(); err != nil {
		return err
	}
	rs, err := j.History(0)
	if err != nil {
		return err
	}
	var found []string
	for _, r := range rs {
		if slices.Contains(found, r.JobID) {
			return fmt.Errorf("%s is there twice: %v", r.JobID, found)
		}
		if !slices.Contains(a.maybe, r.JobID) {
			return fmt.Errorf("%q was never written", r.JobID)
		}
		found = append(found, r.JobID)
	}
	for _, id := range a.ended {
		if !slices.Contains(found, id) {
			return fmt.Errorf("the end of %s was acknowledged, and the history has %v", id, found)
		}
	}
	a.ended = found
	if audit, err := j.Verify(); err != nil || audit.Records != len(found) {
		return fmt.Errorf("settled: %+v, %w", audit, err)
	}
	return nil
}
