package lies

import (
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// TestWhatABrokerMay is what the table says of orders to roll back, and shows that
// its oracles see an update: the honest one is installed, the broker may have the
// firmware before it back, once, and nothing follows from saying it again.
func TestWhatABrokerMay(t *testing.T) {
	t.Parallel()
	s := &scene{world: newWorld(t)}
	s.robot = newSubject(t, s.world, settings{})
	r := s.robot
	if said := r.orderFile(s.server, "0.2.1", s.good()); said != accepted {
		t.Fatal(said)
	}
	r.eventually("the update is confirmed", func() bool { return r.core.Status().State == update.Observing })
	if r.untouched() == "" {
		t.Error("the oracle saw nothing of an update")
	}
	back := `{"id":"back","reason":"it is bad","version":"0.2.1"}`
	if said := r.command("rollback", "%s", back); said != accepted { // followed, and going on
		t.Fatal(said)
	}
	r.eventually("it is rolled back", func() bool { s := r.core.Status(); return s.State == update.RolledBack && !s.Held })
	if a := r.chip.App(); a.Version != "0.2.0" || a.Slot != "factory" {
		t.Errorf("%s runs from %s", a.Version, a.Slot)
	}
	boots := r.chip.App().BootCount
	for text, want := range map[string]string{
		back:                                 "duplicate: ",
		`{"id":"more","reason":"once more"}`: "nothing_to_do: ",
		`{"id":"more2","reason":"of before","version":"0.2.1"}`:  "not_running: ",
		`{"id":"more3","reason":"of factory","version":"0.2.0"}`: "nothing_to_do: ",
	} {
		if said := r.command("rollback", "%s", text); !strings.HasPrefix(said, want) {
			t.Errorf("%s: got %s, want %s", text, said, want)
		}
	}
	// What was put back is not installed again by a broker that likes it better.
	if said := r.orderFile(s.server, "0.2.1", s.good()); !strings.HasPrefix(said, "failed_before: ") {
		t.Errorf("the version that was put back, again: %s", said)
	}
	if n := r.chip.App().BootCount; n != boots {
		t.Errorf("%d resets more", n-boots)
	}
	r.done()
	if r.sum() == r.before {
		t.Error("the flash's sum knows nothing of an update")
	}
}
