package journal

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/watch"
)

func TestBaseline(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := j.Baseline(); err != nil || got != (watch.Tally{}) {
		t.Errorf("before anything was learned: %+v, %v", got, err)
	}
	want := watch.Tally{Seconds: 10, Odometry: 500, Charge: watch.Charge{Used: 0.01, Discharging: 360}, Work: watch.Charge{Used: 0.1, Discharging: 400}, Tries: 2, Failures: 1}
	if err := j.KeepBaseline(want); err != nil {
		t.Fatal(err)
	}
	if got, err := j.Baseline(); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "{", `{"seconds": "x"}`} {
		if err := os.WriteFile(filepath.Join(dir, "baseline.json"), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := j.Baseline(); err == nil || got != (watch.Tally{}) {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
}
