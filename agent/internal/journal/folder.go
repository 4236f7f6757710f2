package journal

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/disk"
)

// maxMemory bounds the memory file that is read.
const maxMemory = 1 << 20

// folder is a state directory.
type folder struct {
	disk disk.Disk
	dir  string
}

func (f folder) memoryFile() string  { return filepath.Join(f.dir, "memory.json") }
func (f folder) historyFile() string { return filepath.Join(f.dir, "history.jsonl") }

// What was damaged lies beside what took its place. A history is put aside by
// a person.
func (f folder) asideMemory() string  { return f.memoryFile() + ".damaged" }
func (f folder) asideHistory() string { return f.historyFile() + ".damaged" }

// kept is the memory file. Agents of before wrote no head.
type kept struct {
	update.Memory
	History *head `json:"history,omitempty"`
	// Owed are records that may not be in the history yet.
	Owed []update.Record `json:"owed,omitempty"`
}

// head is the end of the history.
type head struct {
	Records int    `json:"records"`
	SHA256  string `json:"sha256"` // of the last line, hex; "" of none
}

// A NewerError says that the memory was written by an agent that knows more.
type NewerError struct {
	Path   string
	Schema int
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("%s was written by a newer agent (schema %d, this one knows %d): install that agent again", e.Path, e.Schema, update.Schema)
}

// read reads the memory file.
func (f folder) read() (kept, error) {
	var k kept
	data, err := f.disk.ReadFile(f.memoryFile(), maxMemory)
	if err == nil {
		err = json.Unmarshal(data, &k)
	}
	if err == nil && k.Schema > update.Schema {
		return kept{}, &NewerError{Path: f.memoryFile(), Schema: k.Schema}
	}
	if err == nil {
		err = k.Check()
	}
	if err == nil && k.History != nil && (k.History.Records < 0 || (k.History.Records == 0) != (k.History.SHA256 == "")) {
		err = fmt.Errorf("a history of %d records that ends with %q", k.History.Records, k.History.SHA256)
	}
	if err != nil {
		return kept{}, err
	}
	return k, nil
}

// headOf is the head that k remembers; nil: it remembers none. A history that
// was put aside is no longer missed.
func (f folder) headOf(k kept) *head {
	if k.History != nil && k.History.Records > 0 && !f.disk.Exists(f.historyFile()) && f.disk.Exists(f.asideHistory()) {
		return &head{}
	}
	return k.History
}
