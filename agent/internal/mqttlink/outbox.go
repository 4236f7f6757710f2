package mqttlink

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/disk"
)

// Bounds of the outbox.
const (
	// maxEvents wait for the broker.
	maxEvents = 1000
	// maxVerdicts of them may tell of commands: a flood of bad ones must not
	// push out what happened to the robot.
	maxVerdicts = 300
	// maxOutbox bytes are read; compactAt bytes are cleaned up.
	maxOutbox = 64 << 20
	compactAt = 4 << 20
)

// outbox holds the events that the broker has not acknowledged, in memory and
// in a file of JSON lines that is only appended to, and now and then written
// anew.
type outbox struct {
	disk disk.Disk
	path string
	more chan struct{} // receives when an event was added

	mu     sync.Mutex
	epoch  string // random, of this state directory
	parted bool   // the epoch is of what could not be kept
	starts uint64 // of the agent, this one included
	next   uint64 // sequence number of the next event
	lost   uint64
	last   update.Job // id, state and since when alone: of the last transition told
	events []Event    // oldest first
	file   disk.File
	size   int64
}

// line is one line of the file: the head of the file, an event, or the end of
// one.
type line struct {
	Head  *head  `json:"head,omitempty"`
	Event *Event `json:"event,omitempty"`
	Done  uint64 `json:"done,omitempty"` // sequence number
}

type head struct {
	Epoch  string `json:"epoch"`
	Starts uint64 `json:"starts"`
	Next   uint64 `json:"next"`
	Lost   uint64 `json:"lost"`
	// Job and State of the last transition told.
	Job   string       `json:"job,omitempty"`
	State update.State `json:"state"`
}

// openOutbox reads what is left to be sent. A file that cannot be read is put
// aside and begun anew: then err tells, and the outbox is usable.
func openOutbox(d disk.Disk, path string) (*outbox, error) {
	o := &outbox{disk: d, path: path, more: make(chan struct{}, 1), last: update.Job{State: update.Idle}}
	data, err := d.ReadFile(path, maxOutbox)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = o.replay(data)
	}
	if err != nil {
		o.epoch, o.starts, o.next, o.lost, o.events = "", 0, 0, 0, nil
		err = fmt.Errorf("the outbox %s was damaged and has been put aside: %w", path, errors.Join(err, d.Rename(path, path+".damaged")))
	}
	if o.epoch == "" {
		o.epoch, o.next = newEpoch(), 1
	}
	o.starts++
	o.wake()
	if unkept := o.compact(); unkept != nil {
		o.part()
		for i := range o.events { // a killed agent may have left them in memory alone
			o.events[i].ID = o.id(o.events[i].Seq)
		}
		err = errors.Join(err, unkept)
	}
	return o, err
}

func (o *outbox) id(seq uint64) string { return fmt.Sprintf("%s-%d", o.epoch, seq) }

// part gives what cannot be kept an epoch of its own: the next start will not
// know that it was counted, and count the same.
func (o *outbox) part() {
	if !o.parted {
		o.epoch, o.parted = newEpoch(), true
	}
}

func newEpoch() string { return strings.ToLower(rand.Text()[:10]) }

// replay takes in a file's content. Of what was not synced a power cut leaves a
// last line without its end, and lines with zeros where a sector is missing:
// they were promised to nobody.
func (o *outbox) replay(data []byte) error {
	r := bufio.NewReader(bytes.NewReader(data))
	for n := 1; ; n++ {
		raw, err := r.ReadBytes('\n')
		if err != nil {
			return nil //nolint:nilerr // the end, or a torn line
		}
		if bytes.IndexByte(raw, 0) >= 0 {
			continue
		}
		var l line
		if err := json.Unmarshal(raw, &l); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		switch {
		case l.Head != nil:
			o.epoch, o.starts, o.next, o.lost = l.Head.Epoch, l.Head.Starts, l.Head.Next, l.Head.Lost
			o.last = update.Job{ID: l.Head.Job, State: l.Head.State}
		case l.Event != nil:
			o.take(*l.Event)
		default:
			o.drop(l.Done)
		}
	}
}

// take adds an event and makes room for it.
func (o *outbox) take(e Event) {
	o.events = append(o.events, e)
	o.next = max(o.next, e.Seq+1)
	if e.Kind == KindTransition {
		o.last = update.Job{ID: e.JobID, State: e.To, Since: e.At}
	}
	verdicts := 0
	for _, e := range o.events {
		if e.Kind == KindCommand {
			verdicts++
		}
	}
	if verdicts > maxVerdicts {
		o.lose(slices.IndexFunc(o.events, func(e Event) bool { return e.Kind == KindCommand }))
	}
	if len(o.events) > maxEvents {
		o.lose(0)
	}
}

func (o *outbox) lose(i int) {
	o.events = slices.Delete(o.events, i, i+1)
	o.lost++
}

func (o *outbox) drop(seq uint64) {
	o.events = slices.DeleteFunc(o.events, func(e Event) bool { return e.Seq == seq })
}

// add gives an event its number and keeps it. With an error it is kept in
// memory alone.
func (o *outbox) add(e Event) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	e.Seq = o.next
	e.ID = o.id(e.Seq)
	o.take(e)
	o.wake()
	err := o.write(line{Event: &e}, true)
	if err == nil {
		o.parted = false
		return nil
	}
	o.part()
	if i := slices.IndexFunc(o.events, func(b Event) bool { return b.Seq == e.Seq }); i >= 0 {
		o.events[i].ID = o.id(e.Seq)
	}
	return err
}

// life names this state directory and counts the agent's starts with it.
func (o *outbox) life() (epoch string, starts uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.epoch, o.starts
}

// len is how many events wait.
func (o *outbox) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.events)
}

// first is the event to be sent next.
func (o *outbox) first() (Event, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.events) == 0 {
		return Event{}, false
	}
	e := o.events[0]
	e.Lost = o.lost
	return e, true
}

// latest is the job and state that the last transition led to, and when; that
// is zero where it was acknowledged before this start.
func (o *outbox) latest() update.Job {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last
}

// done forgets an event that the broker has acknowledged. That it did so need
// not survive a power cut: the event would go out twice.
func (o *outbox) done(seq uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drop(seq)
	return o.write(line{Done: seq}, false)
}

func (o *outbox) wake() {
	select {
	case o.more <- struct{}{}:
	default:
	}
}

// write appends a line; what a full disk left of one is taken away again.
func (o *outbox) write(l line, sync bool) error {
	if o.file == nil || o.size > compactAt {
		return o.compact() // it holds the line's effect
	}
	raw, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	n, err := o.file.Write(append(raw, '\n'))
	if err == nil && sync {
		err = o.file.Sync()
	}
	if err != nil {
		err = fmt.Errorf("write to the outbox: %w", errors.Join(err, o.file.Close()))
		o.file = nil // and the next write begins it anew
		return err
	}
	o.size += int64(n)
	return nil
}

// compact writes the file anew, with what is left to be sent.
func (o *outbox) compact() error {
	if o.file != nil {
		_ = o.file.Close() // it is about to be replaced
		o.file = nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	if err := enc.Encode(line{Head: &head{Epoch: o.epoch, Starts: o.starts, Next: o.next, Lost: o.lost, Job: o.last.ID, State: o.last.State}}); err != nil {
		return fmt.Errorf("encode the outbox: %w", err)
	}
	for _, e := range o.events {
		if err := enc.Encode(line{Event: &e}); err != nil {
			return fmt.Errorf("encode the outbox: %w", err)
		}
	}
	if err := o.disk.WriteFile(o.path, b.Bytes(), 0o600); err != nil {
		return err
	}
	f, err := o.disk.OpenFile(o.path, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the outbox: %w", err)
	}
	o.file, o.size = f, int64(b.Len())
	return nil
}

func (o *outbox) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file == nil {
		return nil
	}
	f := o.file
	o.file = nil
	return f.Close()
}
