package figures

import (
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
)

func TestTally(t *testing.T) {
	var n Tally
	if _, ok := n.Success(); ok {
		t.Error("a success rate of nothing")
	}
	if _, ok := n.Rollback(); ok {
		t.Error("a rollback rate of nothing")
	}
	if _, ok := n.Download(); ok {
		t.Error("a download time of nothing")
	}
	n.Add(Confirmed, "", 6, 4, 10)
	n.Add(Failed, "no_space", 3, 0, 0)
	n.Add(RolledBack, "reboots", 1, 1, 5)
	n.Add("", "", 7, 0, 0)
	n.Add(Failed, "cancelled", 3, 0, 0)
	n.Add("something", "", 2, 0, 0)
	if want := (Tally{Confirmed: 6, Failed: 3, RolledBack: 1, Running: 7, Other: 5, Downloads: 5, Seconds: 15}); n != want {
		t.Errorf("got %+v", n)
	}
	if got, ok := n.Success(); got != 0.6 || !ok {
		t.Errorf("success %v", got)
	}
	if got, ok := n.Rollback(); got != 0.1 || !ok {
		t.Errorf("rollback %v", got)
	}
	if got, ok := n.Download(); got != 3*time.Second || !ok {
		t.Errorf("download %v", got)
	}
}

func TestMean(t *testing.T) {
	if _, ok := Mean(nil); ok {
		t.Error("a mean of nothing")
	}
	if got, ok := Mean([]time.Duration{time.Hour, 3 * time.Hour}); got != 2*time.Hour || !ok {
		t.Errorf("got %v", got)
	}
}

func TestCode(t *testing.T) {
	for said, want := range map[string]string{"reboots": "reboots", "": "other", "<script>": "other", "Reboots": "other"} {
		if got := Code(said); got != want {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
	}
}

// What halts a rollout has a label of its own.
func TestTriggersAreCodes(t *testing.T) {
	for _, code := range rollout.Triggers() {
		if Code(code) != code {
			t.Errorf("%s is %s", code, Code(code))
		}
	}
}
