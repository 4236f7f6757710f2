package handover

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/robot-platform/robot-ota/internal/disk"
)

// FuzzMarker: a marker that is there is found, whatever it says, and names no unit
// that systemd would not know.
func FuzzMarker(f *testing.F) {
	f.Add([]byte(`{"schema":1,"unit":"micro_ros_agent.service"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "marker")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		m, found, err := readMarker(disk.Disk{}, path)
		if !found || err != nil && m != (mark{}) || m.Unit != "" && checkUnit(m.Unit) != nil {
			t.Fatalf("%+v, %v, %v", m, found, err)
		}
	})
}
