// Package benchtable is the rows of the table that make bench prints, as the
// programs that measure hand them on.
package benchtable

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"github.com/robot-platform/robot-ota/internal/bounded"
)

// Row is what one program needed for one case. Of the rows of a case, which
// follow one another, the first is ours. Less is better in every unit.
type Row struct {
	Part   string    `json:"part"`
	Case   string    `json:"case"`
	Who    string    `json:"who"`
	Unit   string    `json:"unit"`   // see Units
	Values []float64 `json:"values"` // one a run
	Median float64   `json:"median"`
	Bound  *Bound    `json:"bound,omitempty"`
	// More are other figures of the run in the middle.
	More []Figure `json:"more,omitempty"`
	// Mark is what was aimed at, and whether it was met.
	Mark string `json:"mark,omitempty"`
}

// Bound is the least that the case can need, and what sets it.
type Bound struct {
	By    string  `json:"by"`
	Value float64 `json:"value"`
}

// Figure is a number with its name.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// Units are those that a row may have: seconds, bytes, MiB, per cent.
func Units() []string { return []string{"s", "B", "MiB", "%"} }

// Bounds on a file of rows.
const (
	maxFile   = 1 << 20
	maxRows   = 1000
	maxValues = 1000
)

// check says what of a row cannot be shown.
func (r Row) check() error {
	switch {
	case r.Case == "" || r.Who == "":
		return errors.New("it has no case or nobody's")
	case !slices.Contains(Units(), r.Unit):
		return fmt.Errorf("unit %q: want one of %q", r.Unit, Units())
	case len(r.Values) == 0 || len(r.Values) > maxValues:
		return fmt.Errorf("%d values: want 1 to %d", len(r.Values), maxValues)
	}
	for _, v := range r.Values {
		if v < 0 || math.IsInf(v, 0) || math.IsNaN(v) {
			return fmt.Errorf("value %v: want one from 0 up", v)
		}
	}
	return nil
}

// Write writes rows to a file, for Read.
func Write(file string, rows []Row) error {
	b, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

// Read reads the rows that a program wrote, and refuses such as nobody could
// make sense of.
func Read(file string) ([]Row, error) {
	b, err := bounded.File(file, maxFile)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var rows []Row
	if err := d.Decode(&rows); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(rows) == 0 || len(rows) > maxRows {
		return nil, fmt.Errorf("%s: %d rows: want 1 to %d", file, len(rows), maxRows)
	}
	for i, r := range rows {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("%s: row %d, %q of %q: %w", file, i+1, r.Case, r.Who, err)
		}
	}
	return rows, nil
}
