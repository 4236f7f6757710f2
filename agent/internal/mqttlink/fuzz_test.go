package mqttlink

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/robot-platform/robot-ota/internal/disk"
)

// FuzzSeen: a memory of commands is read or put aside, and in both cases
// remembers the next one.
func FuzzSeen(f *testing.F) {
	f.Add([]byte(`[{"key":"ota a","job":"j","at":"2026-01-02T03:04:05Z"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "commands.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openSeen(disk.Disk{}, path)
		if err != nil && len(s.list) != 0 {
			t.Fatal("put aside, and believed")
		}
		if err := s.add(known{Key: "ota new", Job: "j"}); err != nil {
			t.Fatal(err)
		}
		again, err := openSeen(disk.Disk{}, path)
		if _, found := again.find("ota new"); err != nil || !found || len(again.list) > maxSeen {
			t.Fatalf("%v, %v, %d", found, err, len(again.list))
		}
	})
}
