package mqttlink

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/internal/disk"
	"github.com/robot-platform/robot-ota/internal/disk/disktest"
)

// posted is what lives of an outbox know of each other.
type posted struct {
	begun int               // events
	kept  []string          // that were acknowledged and not sent, oldest first
	told  map[string]string // events that somebody may have been told of, by id
	lives map[string]uint64 // starts of the agent that somebody may have been told of, by epoch
}

// tell notes that events may have been told under their ids.
func (p *posted) tell(events ...Event) error {
	p.told = maps.Clone(p.told)
	if p.told == nil {
		p.told = make(map[string]string)
	}
	for _, e := range events {
		if before, ok := p.told[e.ID]; ok && before != e.JobID {
			return fmt.Errorf("%s was the id of %s, and is that of %s", e.ID, before, e.JobID)
		}
		p.told[e.ID] = e.JobID
	}
	return nil
}

// No event that was acknowledged is lost before it was sent, all stand in the
// order in which they came, and no id is given twice: the fleet would take the
// second event for a repeat.
func TestCutsOfTheOutbox(t *testing.T) {
	r := disktest.Sweep(t, "files: outbox", posted{}, func(d disk.Disk, known posted) (posted, error) {
		if err := d.MkdirAll("/state/mqtt", 0o700); err != nil {
			return known, err
		}
		o, err := openOutbox(d, "/state/mqtt/outbox.jsonl")
		defer o.close()
		if errors.Is(err, disktest.ErrCut) {
			return known, err
		}
		if err := known.live(o.life()); err != nil {
			return known, err
		}
		if err != nil { // a disk that fails ends no agent
			return known, errors.Join(err, known.add(o))
		}
		if err := known.find(o); err != nil {
			return known, err
		}
		for range 3 {
			if err := known.add(o); err != nil {
				return known, err
			}
		}
		first, _ := o.first()
		known.kept = slices.DeleteFunc(slices.Clone(known.kept), func(name string) bool { return name == first.JobID })
		return known, o.done(first.Seq)
	})
	if r.Points < 500 {
		t.Errorf("too little was tried: %+v", r)
	}
}

// live notes a start that somebody may be told of.
func (p *posted) live(epoch string, starts uint64) error {
	if before, ok := p.lives[epoch]; ok && starts <= before {
		return fmt.Errorf("start %d after %d", starts, before)
	}
	p.lives = maps.Clone(p.lives)
	if p.lives == nil {
		p.lives = make(map[string]uint64)
	}
	p.lives[epoch] = starts
	return nil
}

// add adds an event, which is sent whether or not it could be kept.
func (p *posted) add(o *outbox) error {
	p.begun++
	name := fmt.Sprint("e", p.begun)
	err := o.add(Event{Kind: KindTransition, JobID: name, Text: strings.Repeat("why ", 300)})
	if errors.Is(err, disktest.ErrCut) {
		return err
	}
	if err := p.tell(o.events...); err != nil {
		return err
	}
	if err == nil {
		p.kept = append(slices.Clip(p.kept), name)
	}
	return err
}

// find looks whether what is promised is there, and takes what is there as it.
func (p *posted) find(o *outbox) error {
	var found []string
	for _, e := range o.events {
		found = append(found, e.JobID)
	}
	rest := found
	for _, name := range p.kept {
		i := slices.Index(rest, name)
		if i < 0 {
			return fmt.Errorf("%s is missing, or out of its order: %v are there, of %v", name, found, p.kept)
		}
		rest = rest[i+1:]
	}
	p.kept = found
	return p.tell(o.events...)
}

// A command that was remembered is never followed again.
func TestCutsOfTheMemoryOfCommands(t *testing.T) {
	type followed struct{ kept, begun int }
	r := disktest.Sweep(t, "files: commands", followed{}, func(d disk.Disk, known followed) (followed, error) {
		if err := d.MkdirAll("/state/mqtt", 0o700); err != nil {
			return known, err
		}
		s, err := openSeen(d, "/state/mqtt/commands.json")
		if err != nil {
			return known, err
		}
		for n := 1; n <= known.kept; n++ {
			if _, ok := s.find(fmt.Sprint("command ", n)); !ok {
				return known, fmt.Errorf("command %d of %d is forgotten", n, known.kept)
			}
		}
		for range 3 {
			known.begun++
			for n := known.kept + 1; n <= known.begun; n++ {
				if err := s.add(known1(n)); err != nil {
					return known, err
				}
			}
			known.kept = known.begun
		}
		return known, nil
	})
	if r.Points < 500 {
		t.Errorf("too little was tried: %+v", r)
	}
}

func known1(n int) known { return known{Key: fmt.Sprint("command ", n), Job: fmt.Sprint("job ", n)} }
