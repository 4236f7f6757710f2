package hawkbit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/robot-platform/robot-ota/internal/disk"
)

const (
	// maxActions are remembered; a server has one for a robot at a time.
	maxActions = 32
	// maxLedger bounds the file that is read, in bytes.
	maxLedger = 4 << 20
	// ledgerSchema is the version of the file's form.
	ledgerSchema = 1
)

// ledger is what must not be forgotten of the server's actions. It is not safe
// for use by several goroutines.
type ledger struct {
	disk    disk.Disk
	path    string
	written []byte // what the file holds
	book
}

// book is the file's content.
type book struct {
	Schema int `json:"schema"`
	// Server and robot that the actions are of: others count from one, too.
	Server  string   `json:"server"`
	Actions []action `json:"actions,omitempty"` // oldest first
	// Dropped is the latest job whose end is nobody's business.
	Dropped string `json:"dropped,omitempty"`
	Last    last   `json:"last,omitzero"`
	// Attributes that the server was told.
	Attributes map[string]string `json:"attributes,omitempty"`
}

// openLedger reads the file. One that cannot be understood is put aside and
// begun anew: err tells, and the ledger is usable.
func openLedger(d disk.Disk, path, server string) (*ledger, error) {
	l := &ledger{disk: d, path: path, book: book{Schema: ledgerSchema, Server: server}}
	data, err := d.ReadFile(path, maxLedger)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	var b book
	if err == nil {
		err = json.Unmarshal(data, &b)
	}
	if err == nil && b.Schema != ledgerSchema {
		err = fmt.Errorf("its schema is %d, not %d", b.Schema, ledgerSchema)
	}
	if err != nil {
		return l, fmt.Errorf("what was known of the hawkBit server's actions (%s) was damaged and has been put aside: %w",
			path, errors.Join(err, d.Rename(path, path+".damaged")))
	}
	if b.Server == server {
		l.book, l.written = b, data
	}
	return l, nil
}

// find is the action of that id.
func (l *ledger) find(id string) (action, bool) {
	for _, a := range l.Actions {
		if a.ID == id {
			return a, true
		}
	}
	return action{ID: id}, false
}

// put remembers an action in place of what was known of it.
func (l *ledger) put(a action) {
	if i := slices.IndexFunc(l.Actions, func(b action) bool { return b.ID == a.ID }); i >= 0 {
		l.Actions[i] = a
		return
	}
	l.Actions = append(l.Actions, a)
	for i := 0; len(l.Actions) > maxActions && i < len(l.Actions)-1; {
		if e := l.Actions[i].End; e == nil || !e.Taken { // still to be told, or at work
			i++
			continue
		}
		l.Actions = slices.Delete(l.Actions, i, i+1)
	}
	l.Actions = l.Actions[max(0, len(l.Actions)-2*maxActions):]
}

// forget drops what is known of an action.
func (l *ledger) forget(id string) {
	l.Actions = slices.DeleteFunc(l.Actions, func(a action) bool { return a.ID == id })
}

// change applies f to each action.
func (l *ledger) change(f func(*action)) {
	for i := range l.Actions {
		f(&l.Actions[i])
	}
}

// untold are the ends that the server has not taken yet, oldest first.
func (l *ledger) untold() []action {
	var out []action
	for _, a := range l.Actions {
		if a.End != nil && !a.End.Taken {
			out = append(out, a)
		}
	}
	return out
}

// told says whether the server knows these attributes.
func (l *ledger) told(attributes map[string]string) bool {
	return maps.Equal(attributes, l.Attributes)
}

// save makes the ledger durable where it has changed.
func (l *ledger) save() error {
	data, err := json.MarshalIndent(l.book, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the hawkBit server's actions: %w", err)
	}
	if bytes.Equal(data, l.written) {
		return nil
	}
	if err := l.disk.WriteFile(l.path, data, 0o600); err != nil {
		return err
	}
	l.written = data
	return nil
}
