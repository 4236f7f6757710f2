package schedule

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzKept: whatever the file holds, the next check comes neither in the past
// nor later than a server may put it off.
func FuzzKept(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"next":"2026-01-01T00:00:00Z","failures":3,"last":{"at":"2026-01-01T00:00:00Z","origin":"schedule","err":"no route"}}`))
	f.Add([]byte(`{"next":"9999-01-01T00:00:00Z","alone_until":"9999-01-01T00:00:00Z","failures":-1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "schedule.json")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s := New(Config{Period: 6 * time.Hour, File: file}, quiet)
		if d := time.Until(s.Next()); d < -time.Minute || d > maxAlone+time.Minute {
			t.Errorf("next in %s", d)
		}
	})
}
