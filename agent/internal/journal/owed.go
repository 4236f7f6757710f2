package journal

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// Bounds of the records that wait for the history, and of how far back it is
// looked for one that is there already.
const (
	maxOwed  = 32
	maxKnown = 2 * maxOwed
)

// outcome is what a job has one record of.
type outcome struct {
	job string
	end update.State
}

func of(r update.Record) outcome { return outcome{r.JobID, r.Outcome} }

// owe notes records that are to be written; mu is held.
func (j *Journal) owe(rs []update.Record) {
	j.owed = append(slices.Clone(j.owed), rs...)
	if over := len(j.owed) - maxOwed; over > 0 {
		j.owed, j.lost = j.owed[over:], j.lost+over
	}
}

// noted remembers that the history holds r.
func (j *Journal) noted(r update.Record) {
	j.known = append(j.known, of(r))
	j.known = j.known[max(0, len(j.known)-maxKnown):]
}

// see notes a line of the file; one that is none is for Verify to tell.
func (j *Journal) see(raw []byte) {
	var l struct {
		Record struct {
			JobID   string       `json:"job_id"`
			Outcome update.State `json:"outcome"`
		} `json:"record"`
	}
	if json.Unmarshal(raw, &l) == nil {
		j.noted(update.Record{JobID: l.Record.JobID, Outcome: l.Record.Outcome})
	}
}

// Settle writes to the history what is owed to it, and says how much is left.
// What the history holds already is not written twice: an agent may have died
// after it wrote a record, and before it could forget that it owes it.
func (j *Journal) Settle() (left int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.owed) == 0 {
		return 0, nil
	}
	for len(j.owed) > 0 && err == nil {
		if !slices.Contains(j.known, of(j.owed[0])) {
			err = j.add(j.owed[0])
		}
		if err == nil {
			j.owed = j.owed[1:]
		}
	}
	switch {
	case err != nil && j.lost > 0:
		err = fmt.Errorf("%w; %d older records had to be given up", err, j.lost)
	case err == nil && j.memory != nil: // else the head goes with the first one
		if serr := j.save(); serr != nil {
			err = fmt.Errorf("the history is written, but not yet that it is: %w", serr)
		}
	}
	return len(j.owed), err
}
