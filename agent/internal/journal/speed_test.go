package journal

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSpeed(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if baud, at, err := j.Speed(); err != nil || baud != 0 || !at.IsZero() {
		t.Errorf("before there was noise: %d, %v, %v", baud, at, err)
	}
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	if err := j.KeepSpeed(460800, noon); err != nil {
		t.Fatal(err)
	}
	if baud, at, err := j.Speed(); err != nil || baud != 460800 || !at.Equal(noon) {
		t.Errorf("%d, %v, %v", baud, at, err)
	}
	for _, bad := range []string{"", "{", `{"baud": "x"}`} {
		if err := os.WriteFile(filepath.Join(dir, "line.json"), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if baud, _, err := j.Speed(); err == nil || baud != 0 {
			t.Errorf("%q: %d, %v", bad, baud, err)
		}
	}
}
