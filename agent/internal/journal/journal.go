// Package journal keeps what the agent must not lose: the memory of the update
// state machine, and the history of the updates that have ended.
//
// The memory is one JSON file, replaced as a whole and synced before the
// engine goes on. The history is a file of JSON lines that is only appended
// to; each line holds the SHA-256 of the line before, so that a line that was
// changed or taken out is found. The chain alone would not miss lines that are
// cut off its end, so the memory holds its head: how many lines there are, and
// the SHA-256 of the last. A record is written first and the head after it: a
// crash in between leaves a history that is longer than the head says, never
// one that is shorter.
//
// That a job has ended and its record are one write: the memory holds the
// records that are owed to the history. They are written right after it, or
// later where that did not work, and each once.
//
// The chain has no secret. It shows damage, and changes by somebody who does
// not know it; whoever may write to the state directory can forge all of it.
//
// Layers, one file each:
//
//	folder.go    where the files lie, and the memory as it is kept
//	journal.go   the agent's own hold on them
//	history.go   lines of the history
//	owed.go      records on their way there
//	audit.go     does the history hold together, and with its head?
//	view.go      a look from outside, which changes nothing
//	baseline.go  what was learned of the robot
package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/disk"
)

// Journal is the state directory's memory and history.
type Journal struct {
	folder

	mu     sync.Mutex     // guards what follows
	memory *update.Memory // as last loaded or saved; nil: neither yet
	head   *head          // of the history; nil: it is not known to be right
	tail   head           // of the file
	known  []outcome      // that the file holds; the latest
	owed   []update.Record
	lost   int    // records that were owed for too long
	stray  *int64 // where the file is to end: what lies beyond could not be taken away; nil: nothing does
}

// Open prepares the state directory, readable for its owner alone, and mends
// what a crash has left there. The caller has claimed it.
func Open(dir string) (*Journal, error) { return OpenOn(disk.Disk{}, dir) }

// OpenOn is Open for a state directory on that disk.
func OpenOn(d disk.Disk, dir string) (*Journal, error) {
	if err := d.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	_ = d.Sweep(dir) // what is left there takes room, and does no other harm
	j := &Journal{folder: folder{disk: d, dir: dir}}
	if err := j.openHistory(); err != nil {
		return nil, err
	}
	return j, nil
}

// A DamagedError says that the memory file cannot be understood. It is put
// aside, never overwritten.
type DamagedError struct {
	Path  string // where it was put
	Cause error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the agent's memory was damaged and has been put aside as %s: %v", e.Path, e.Cause)
}

func (e *DamagedError) Unwrap() error { return e.Cause }

// Load returns the memory; a new one where there is none. With a *DamagedError
// the returned memory is a careful guess: nothing is going on, but line and
// chip may be held.
func (j *Journal) Load() (update.Memory, error) {
	m, err := j.load()
	if err == nil || errors.As(err, new(*DamagedError)) {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.memory = &m
	}
	return m, err
}

func (j *Journal) load() (update.Memory, error) {
	k, err := j.read()
	var newer *NewerError
	switch {
	case err == nil:
		return k.Memory, nil
	case errors.Is(err, fs.ErrNotExist):
		return update.New(), nil
	case errors.As(err, &newer), errors.Is(err, fs.ErrPermission): // it may be well for another agent, another user
		return update.Memory{}, err
	}
	if rerr := j.disk.Rename(j.memoryFile(), j.asideMemory()); rerr != nil {
		return update.Memory{}, fmt.Errorf("read %s: %w", j.memoryFile(), errors.Join(err, rerr))
	}
	m := update.New()
	m.Held, m.Loader = true, true
	return m, &DamagedError{Path: j.asideMemory(), Cause: err}
}

// Save makes the memory durable, and with it, in one write, that these jobs have
// ended and are to be in the history. Settle writes them there.
func (j *Journal) Save(m update.Memory, ended ...update.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.memory = &m
	j.owe(ended)
	return j.save()
}

// save writes the memory with the history's head; mu is held.
func (j *Journal) save() error {
	data, err := json.MarshalIndent(kept{Memory: *j.memory, History: j.head, Owed: j.owed}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode memory: %w", err)
	}
	return j.disk.WriteFile(j.memoryFile(), append(data, '\n'), 0o600)
}
