package journal

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// ErrTampered says that the history is not the one that was written.
var ErrTampered = errors.New("the history has been changed")

// A TamperedError says where the history stops being the one that was written.
type TamperedError struct {
	File   string
	Line   int    // from 1; the first that is wrong, or missing
	Reason string // and what it means
}

func (e *TamperedError) Error() string {
	return fmt.Sprintf("%v: line %d of %s %s", ErrTampered, e.Line, e.File, e.Reason)
}

// Unwrap gives ErrTampered.
func (*TamperedError) Unwrap() error { return ErrTampered }

// Verify walks the chain to its end, and holds that against what the agent has
// written. The error is a *TamperedError, of which the audit tells as well, or
// that the files cannot be read.
func (j *Journal) Verify() (update.Audit, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a, err := j.audit(j.head)
	if err == nil && (a.Records > j.tail.Records || a.Torn) { // the file is the agent's alone, and it wrote no more
		err = j.tampered(j.tail.Records+1, "was not written by the agent")
	}
	return told(a, err)
}

// told puts what is wrong into the audit.
func told(a update.Audit, err error) (update.Audit, error) {
	var bad *TamperedError
	if errors.As(err, &bad) {
		a.Line, a.Wrong = bad.Line, bad.Reason
	}
	return a, err
}

// audit walks the chain. It must lead to the head that is known, and may go on
// from there: a record is written before the head is.
func (f folder) audit(known *head) (update.Audit, error) {
	var a update.Audit
	if known != nil {
		a.Counted = &known.Records
	}
	if f.disk.Exists(f.asideHistory()) {
		a.Aside = f.asideHistory()
	}
	err := f.each(func(raw rawLine) error {
		if !raw.ended {
			a.Torn = true
			return nil
		}
		if err := f.follows(raw.text, a); err != nil {
			return err
		}
		a.Records++
		a.Head = digest(raw.text)
		if known != nil && a.Records == known.Records && a.Head != known.SHA256 {
			return f.tampered(a.Records, "is not the one that the agent wrote there: lines up to it were changed, or cut off and written anew")
		}
		return nil
	})
	if err != nil {
		return a, err
	}
	if known != nil && a.Records < known.Records {
		return a, f.tampered(a.Records+1, fmt.Sprintf("is missing: the agent wrote %d records, and %d are there: the end was cut off", known.Records, a.Records))
	}
	return a, nil
}

// follows says whether a line is the next one after those that a has seen.
func (f folder) follows(raw []byte, a update.Audit) error {
	var l line
	if err := json.Unmarshal(raw, &l); err != nil {
		return f.tampered(a.Records+1, fmt.Sprintf("is no record (%v): it was damaged, or not written by the agent", err))
	}
	switch {
	case l.Before == a.Head:
		return nil
	case a.Records == 0:
		return f.tampered(1, "is not the first that was written: lines before it were taken out")
	}
	return f.tampered(a.Records+1, fmt.Sprintf("does not follow from line %d: that one was changed, or lines between them were taken out or put in", a.Records))
}

func (f folder) tampered(line int, reason string) error {
	return &TamperedError{File: f.historyFile(), Line: line, Reason: reason}
}
