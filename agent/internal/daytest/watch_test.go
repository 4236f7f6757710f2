package daytest

import (
	"fmt"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/mqttlink"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// bounds are how often a thing may be done within a minute, and all in all. An
// agent tries seven times in its first minute what it does not give up, and may
// die and begin anew a few times in one.
func bounds() map[string]struct{ minute, whole int } {
	return map[string]struct{ minute, whole int }{
		"check":    {1, 150},
		"artifact": {20, 400},
		"dial":     {30, 600},
		"take":     {30, 400},
		"give":     {30, 400},
		"connect":  {30, 400},
		"reset":    {30, 600},
		"inspect":  {30, 300},
		"write":    {4 * pieces, 500},
		"attest":   {5, 60},
		"switch":   {3, 50},
		"restore":  {30, 200},
		"save":     {60, 3000},
		"settle":   {60, 1000},
	}
}

// count notes that a thing is done; the lock is held.
func (d *day) count(what string) {
	now := time.Now()
	d.done[what]++
	b, known := bounds()[what]
	if !known {
		d.fault("%s has no bound", what)
	}
	if d.done[what] > b.whole*max(1, d.restless) {
		d.fault("%s was done %d times", what, d.done[what])
	}
	late := slices.DeleteFunc(d.lately[what], func(t time.Time) bool { return now.Sub(t) >= 55*time.Second })
	late = append(late, now)
	d.lately[what] = late
	if len(late) > b.minute {
		d.fault("%s was done %d times within a minute", what, len(late))
	}
}

// fault notes what must not have happened; the lock is held. Each kind of it is
// told once, with its moment.
func (d *day) fault(format string, args ...any) {
	if _, told := d.faults[format]; !told {
		d.faults[format] = fmt.Sprintf("%s: ", time.Since(d.start).Round(time.Second)) + fmt.Sprintf(format, args...)
	}
}

// written is the first piece of a version; the lock is held. One that was put
// back is not to be seen again.
func (d *day) written(v version) {
	d.writes[v]++
	if d.blamed[v] {
		d.fault("%s is written again, after it was put back", v)
	}
	if d.writes[v] > 20 {
		d.fault("%s is written %d times", v, d.writes[v])
	}
}

// blame notes what was put back for a reason of its own, from the moment on at
// which the agent will remember it; the lock is held.
func (d *day) blame(records []update.Record) {
	for _, r := range records {
		if r.Outcome == update.RolledBack && r.Failure != nil && r.Failure.Code != update.CodeInterrupted {
			d.blamed[r.Image.Version] = true
			if d.natures[r.Image.Version] == good {
				d.fault("%s is good, and was put back: %s: %s", r.Image.Version, r.Failure.Code, r.Failure.Text)
			}
		}
	}
}

// ends holds the end of the day against what it should be.
func (d *day) ends(l *life, want version) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &d.chip
	if c.runs < 0 || c.slots[c.runs].version != want || !c.slots[c.runs].whole || c.slots[c.runs].state.String() != "valid" {
		d.fault("slot %d runs, with %+v; it should be %s", c.runs, c.slots[max(0, c.runs)], want)
	}
	if !d.body.owner {
		d.fault("the owner of the serial line is not back")
	}
	if s := l.core.Status(); s.State != update.Idle || s.Held {
		d.fault("the agent ends in %+v", s)
	}
}

// recorded holds the history against itself: each end of a job once.
func (d *day) recorded(l *life) {
	records, err := l.log.History(0)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.fault("the history cannot be read: %v", err)
	}
	seen := map[string]bool{}
	for _, r := range records {
		key := r.JobID + " " + string(r.Outcome)
		if seen[key] {
			d.fault("%s is in the history twice", key)
		}
		seen[key] = true
	}
	if a, err := l.log.Verify(); err != nil || a.Records != len(records) {
		d.fault("the history does not hold together: %+v, %v", a, err)
	}
}

// spared is each bad firmware that ran and was not put back.
func (d *day) spared() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for v, n := range d.natures {
		if n != good && d.writes[v] > 0 && !d.blamed[v] {
			d.fault("%s is bad, and was not put back", v)
		}
	}
}

// told holds what the fleet has heard against what there was to tell.
func (d *day) told(want version) {
	d.mu.Lock()
	defer d.mu.Unlock()
	heard := map[uint64]string{}
	var top uint64
	refused, followed := map[string]bool{}, map[string]bool{}
	for _, e := range d.fleet.events {
		if id, twice := heard[e.Seq]; twice && id != e.ID {
			d.fault("two events have the number %d", e.Seq)
		}
		if e.Seq > top+1 {
			d.fault("event %d came after %d", e.Seq, top)
		}
		if _, again := heard[e.Seq]; again {
			continue
		}
		heard[e.Seq], top = e.ID, e.Seq
		if e.Verdict != "" {
			refused[e.Code] = true
		}
		if e.Verdict == mqttlink.VerdictFollowed {
			if followed[e.Command] {
				d.fault("command %s was followed twice", e.Command)
			}
			followed[e.Command] = true
		}
	}
	for _, code := range refusals() {
		if !refused[code] {
			d.fault("no command was refused as %s", code)
		}
	}
	if s := d.fleet.last; s.Running.Version != want || s.State != update.Idle {
		d.fault("the last status says %s, with %s", s.State, s.Running.Version)
	}
}
