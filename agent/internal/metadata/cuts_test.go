package metadata

import (
	"fmt"
	"testing"

	"github.com/robot-platform/robot-ota/internal/disk"
	"github.com/robot-platform/robot-ota/internal/disk/disktest"
	"github.com/robot-platform/robot-ota/internal/tuf"
)

// Power and disk fail at every operation of a robot that is started three times
// and accepts something each time: what it has acted on it never goes back
// behind, and it can always read what it has.
func TestCuts(t *testing.T) {
	held := tuf.Held{Root: []byte("root"), Timestamp: []byte("timestamp")}
	disktest.Sweep(t, "files: release metadata", uint64(0), func(d disk.Disk, acted uint64) (uint64, error) {
		for range 3 {
			f := newFile(d, "/state")
			if err := f.Prepare(); err != nil {
				return acted, err
			}
			a, _, err := f.Load()
			if err != nil {
				return acted, fmt.Errorf("what was accepted cannot be read: %w", err)
			}
			if a.number < acted || a.number > 0 && string(a.held.Root) != "root" {
				return acted, fmt.Errorf("it has acted on number %d, and now has %+v", acted, a)
			}
			acted = a.number
			next := accepted{number: a.number + 1, renewed: noon, held: held}
			if _, err := f.Save(next); err == nil {
				acted = next.number // else it does not act on it
			}
		}
		return acted, nil
	})
}
