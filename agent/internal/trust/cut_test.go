package trust

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/robot-platform/robot-ota/internal/disk"
	"github.com/robot-platform/robot-ota/internal/disk/disktest"
)

// accepting is what lives of a store know of each other: the version that is
// promised to be in force, and the one that was offered last.
type accepting struct{ kept, begun uint64 }

// A document that was accepted stays in force, whatever happens; one that was
// not is there or not; and never is there nothing that can be read.
func TestCuts(t *testing.T) {
	s := newSite(t)
	var documents [][]byte // each is signed by key 0, which all of them trust
	for v := range uint64(40) {
		documents = append(documents, s.document(v+1, 0, 1))
	}
	r := disktest.Sweep(t, "files: keyring", accepting{}, func(d disk.Disk, known accepting) (accepting, error) {
		st, err := Open(Config{Dir: "/state", Base: s.base, Disk: d}, slog.New(slog.DiscardHandler))
		if err != nil {
			return known, err
		}
		p := st.Report()
		if p.Damaged != "" {
			return known, fmt.Errorf("nobody is trusted: %s", p.Damaged)
		}
		if p.Version < known.kept || p.Version > known.begun {
			return known, fmt.Errorf("version %d is in force, %d was accepted and %d offered", p.Version, known.kept, known.begun)
		}
		known.kept = p.Version
		for range 2 {
			known.begun++
			if _, err := st.Update(documents[known.begun-1], "operator"); err != nil {
				return known, err
			}
			known.kept = known.begun
		}
		return known, nil
	})
	if r.Points < 500 {
		t.Errorf("too little was tried: %+v", r)
	}
}
