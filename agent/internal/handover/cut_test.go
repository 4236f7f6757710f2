package handover

import (
	"fmt"
	"testing"

	"github.com/robot-platform/robot-ota/internal/disk"
	"github.com/robot-platform/robot-ota/internal/disk/disktest"
)

// An owner that may have been stopped is known to be until its start was noted.
func TestCutsOfTheMarker(t *testing.T) {
	type marked struct{ must, may bool }
	const path = "/state/handover"
	r := disktest.Sweep(t, "files: hand-over", marked{}, func(d disk.Disk, known marked) (marked, error) {
		if err := d.MkdirAll("/state", 0o700); err != nil {
			return known, err
		}
		m, found, err := readMarker(d, path)
		if err != nil {
			return known, err
		}
		if found && !known.may || !found && known.must || found && m.Unit != "micro-ros-agent.service" {
			return known, fmt.Errorf("found %v, %+v: %+v", found, m, known)
		}
		for range 2 {
			known = marked{may: true, must: found}
			if err := writeMarker(d, path, mark{Unit: "micro-ros-agent.service"}); err != nil {
				return known, err
			}
			known.must = true // the owner is stopped, and started again
			if err := removeMarker(d, path); err != nil {
				known.must = false
				return known, err
			}
			known, found = marked{}, false
		}
		return known, nil
	})
	if r.Points < 300 {
		t.Errorf("too little was tried: %+v", r)
	}
}
