package hawkbit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/internal/disk"
)

func TestLedgerSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hawkbit.json")
	l, err := openLedger(disk.Disk{}, path, "https://a/DEFAULT/controller/v1/r1")
	if err != nil {
		t.Fatal(err)
	}
	l.put(action{ID: "3", Job: "j", Hold: "shut", End: &ending{Success: true}})
	if err := l.save(); err != nil {
		t.Fatal(err)
	}
	if l, err = openLedger(disk.Disk{}, path, "https://a/DEFAULT/controller/v1/r1"); err != nil {
		t.Fatal(err)
	}
	if a, ok := l.find("3"); !ok || a.Job != "j" || a.Hold != "shut" || !a.End.Success || len(l.untold()) != 1 {
		t.Errorf("got %+v", a)
	}
	// Another server, or another robot at it, counts from one as well.
	if l, err = openLedger(disk.Disk{}, path, "https://b/DEFAULT/controller/v1/r1"); err != nil || len(l.Actions) != 0 {
		t.Errorf("another server's actions: %+v, %v", l.Actions, err)
	}
}

func TestDamagedLedgerIsPutAside(t *testing.T) {
	for name, content := range map[string]string{
		"torn": `{"schema": 1, "act`, "empty": "", "newer": `{"schema": 99}`, "huge": strings.Repeat(" ", maxLedger+1),
	} {
		path := filepath.Join(t.TempDir(), "hawkbit.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := openLedger(disk.Disk{}, path, "x")
		if err == nil || !strings.Contains(err.Error(), "put aside") || len(l.Actions) != 0 {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
		if kept, err := os.ReadFile(path + ".damaged"); err != nil || string(kept) != content {
			t.Errorf("%s: what was damaged is lost: %v", name, err)
		}
		l.put(action{ID: "3"})
		if err := l.save(); err != nil {
			t.Errorf("%s: it cannot be used: %v", name, err)
		}
	}
}
