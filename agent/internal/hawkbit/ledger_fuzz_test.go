package hawkbit

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/robot-platform/robot-ota/internal/disk"
)

// FuzzLedger: what is known of the server's actions is read or put aside, and can
// be added to.
func FuzzLedger(f *testing.F) {
	f.Add([]byte(`{"schema":1,"server":"https://h","actions":[{"id":"7"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "hawkbit.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := openLedger(disk.Disk{}, path, "https://h")
		if err != nil && len(l.Actions) != 0 {
			t.Fatal("put aside, and believed")
		}
		l.put(action{ID: "new"})
		if a, found := l.find("new"); !found || a.ID != "new" || len(l.Actions) > 2*maxActions {
			t.Fatalf("%+v, %v, %d", a, found, len(l.Actions))
		}
	})
}
