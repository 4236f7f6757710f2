package journal

import (
	"encoding/json"
	"errors"
	"fmt"
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

// Audit is what a history that holds together is made of.
type Audit struct {
	// Records of the chain, and the SHA-256 of the last line: whoever noted
	// both elsewhere can tell later that all of them are still there.
	Records int    `json:"records"`
	Head    string `json:"head,omitempty"`
	// Counted is how many the memory knows of; nil: it does not count, as it
	// was written by an agent of before, or is not there.
	Counted *int `json:"counted,omitempty"`
	// Torn: a last line has no end, as a power cut leaves it. The agent takes
	// it away at its next start.
	Torn bool `json:"torn,omitempty"`
	// Aside is where an earlier history was put aside.
	Aside string `json:"aside,omitempty"`
}

// Verify walks the chain to its end, and holds that against what the agent has
// written. The error is a *TamperedError, or that the files cannot be read.
func (j *Journal) Verify() (Audit, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a, err := j.audit(j.head)
	if err != nil || j.head == nil {
		return a, err
	}
	if a.Records > j.tail.Records || a.Torn { // the file is the agent's alone, and it wrote no more
		return a, j.tampered(j.tail.Records+1, "was not written by the agent")
	}
	return a, nil
}

// audit walks the chain. It must lead to the head that is known, and may go on
// from there: a record is written before the head is.
func (f folder) audit(known *head) (Audit, error) {
	var a Audit
	if known != nil {
		a.Counted = &known.Records
	}
	if exists(f.asideHistory()) {
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
func (f folder) follows(raw []byte, a Audit) error {
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
