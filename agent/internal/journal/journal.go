// Package journal keeps what the agent must not lose: the memory of the update
// state machine, and the history of the updates that have ended.
//
// The memory is one JSON file, replaced as a whole and synced before the
// engine goes on. The history is a file of JSON lines that is only appended
// to; each line holds the SHA-256 of the line before, so that a line that was
// changed or taken out is found.
package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/durable"
)

// maxMemory bounds the memory file that is read.
const maxMemory = 1 << 20

// Journal is the state directory's memory and history.
type Journal struct {
	dir string

	mu   sync.Mutex // guards the history's tail
	tail string
}

// Open prepares the state directory, readable for its owner alone.
func Open(dir string) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	j := &Journal{dir: dir}
	if err := j.openHistory(); err != nil {
		return nil, err
	}
	return j, nil
}

func (j *Journal) memory() string { return filepath.Join(j.dir, "memory.json") }

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
	data, err := readBounded(j.memory(), maxMemory)
	if errors.Is(err, fs.ErrNotExist) {
		return update.New(), nil
	}
	var m update.Memory
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err == nil && m.Schema > update.Schema {
		return update.Memory{}, fmt.Errorf("%s was written by a newer agent (schema %d, this one knows %d): install that agent again",
			j.memory(), m.Schema, update.Schema)
	}
	if err == nil {
		err = m.Check()
	}
	if err == nil {
		return m, nil
	}
	aside := j.memory() + ".damaged"
	if rerr := os.Rename(j.memory(), aside); rerr != nil {
		return update.Memory{}, fmt.Errorf("read %s: %w", j.memory(), errors.Join(err, rerr))
	}
	m = update.New()
	m.Held, m.Loader = true, true
	return m, &DamagedError{Path: aside, Cause: err}
}

// Save makes the memory durable.
func (j *Journal) Save(m update.Memory) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode memory: %w", err)
	}
	return durable.WriteFile(j.memory(), append(data, '\n'), 0o600)
}

func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s holds %d bytes, more than the %d it may", path, info.Size(), limit)
	}
	return os.ReadFile(path)
}
