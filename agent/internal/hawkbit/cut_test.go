package hawkbit

import (
	"fmt"
	"testing"

	"github.com/robot-platform/robot-ota/internal/disk"
	"github.com/robot-platform/robot-ota/internal/disk/disktest"
)

// What is known of the server's actions is the old or the new, whole.
func TestCuts(t *testing.T) {
	type saved struct{ kept, begun int }
	r := disktest.Sweep(t, "files: hawkbit", saved{}, func(d disk.Disk, known saved) (saved, error) {
		if err := d.MkdirAll("/state", 0o700); err != nil {
			return known, err
		}
		l, err := openLedger(d, "/state/hawkbit.json", "server")
		if err != nil {
			return known, err
		}
		a, _ := l.find("1")
		if a.Told < known.kept || a.Told > known.begun {
			return known, fmt.Errorf("%d is there, %d was kept and %d begun", a.Told, known.kept, known.begun)
		}
		known.kept = a.Told
		for range 3 {
			known.begun++
			l.put(action{ID: "1", Job: "j", Told: known.begun})
			if err := l.save(); err != nil {
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
