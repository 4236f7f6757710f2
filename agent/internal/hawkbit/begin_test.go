package hawkbit

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// Deployments that this robot cannot follow are closed with the reason.
func TestRefusedDeployments(t *testing.T) {
	for name, tt := range map[string]struct {
		a    assignment
		want string
	}{
		"two images":    {assignment{files: []string{"a.signed", "b-signed.bin", "readme.txt"}}, "several_images: its deployment 3 holds 2 signed images"},
		"none so named": {assignment{files: []string{"a.bin", "b.bin"}}, "no_image: none of the 2 files"},
		"no file":       {assignment{files: []string{}}, "no_image: its deployment 3 holds no file"},
		"older":         {assignment{version: "0.1.9"}, "older_version: it offers 0.1.9, which is older than the running 0.2.0"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.a.id = "3"
			h := newHawk(&tt.a)
			play(t, h, func(t *testing.T, r *rig) {
				r.until("the answer", time.Minute, func() bool { return tt.a.outcome == "error" })
				d := strings.Join(tt.a.statuses[0].Status.Details, "; ")
				if len(tt.a.statuses) != 1 || !strings.Contains(d, tt.want) || r.triggers != 0 {
					t.Errorf("the server heard %q: %s", h.heard(&tt.a), d)
				}
			})
		})
	}
}

// The engine is busy with what somebody else asked for: the server hears that
// it has to wait, and its turn comes.
func TestBusy(t *testing.T) {
	a := &assignment{id: "3", version: "0.2.1"}
	h := newHawk()
	play(t, h, func(t *testing.T, r *rig) {
		r.wait(time.Minute)
		if _, err := r.Trigger(t.Context(), update.Request{URL: "https://x.example/y", Origin: update.FromCLI}); err != nil {
			t.Fatal(err)
		}
		h.do(func() { h.actions = []*assignment{a} })
		r.wait(time.Hour)
		if got := h.heard(a); !slices.Equal(got, []string{"scheduled/none"}) || !strings.Contains(a.statuses[0].Status.Details[0], "is going on (downloading)") {
			t.Errorf("the server heard %q", got)
		}
		r.happen(update.EffectFailed{Code: "x", Text: "y"})
		r.until("its turn", 5*time.Second, func() bool { return r.mem.Job.Offer.Release == "hawkbit:3" })
	})
}

// Nothing is begun before the firmware has said what it is.
func TestFirmwareUnheard(t *testing.T) {
	assigned(t, func(t *testing.T, r *rig, h *hawk, a *assignment) {
		r.until("the server's hearing", time.Minute, func() bool { return len(a.statuses) > 0 })
		r.wait(time.Hour)
		if got := h.heard(a); !slices.Equal(got, []string{"scheduled/none"}) || r.triggers != 0 {
			t.Errorf("the server heard %q, %d triggers", got, r.triggers)
		}
		if _, ok := h.attrs["firmware_version"]; ok {
			t.Error("a version was told that nobody knows")
		}
		r.runs("0.2.0", "ota_0", "aa")
		r.begun()
	}, func(r *rig) { r.board = robot.NewBoard() })
}

// Whoever asks without a URL (ROS, command line) gets the server's deployment,
// and the server hears of it.
func TestTriggeredByHand(t *testing.T) {
	a := &assignment{id: "3", version: "0.2.1", window: windowShut}
	h := newHawk()
	play(t, h, func(t *testing.T, r *rig) {
		r.wait(time.Minute)
		if _, ok, err := r.link.Check(t.Context(), version("0.2.0")); ok || err != nil {
			t.Errorf("nothing is assigned: %t, %v", ok, err)
		}
		h.do(func() { h.actions = []*assignment{a} })
		if o, ok, err := r.link.Check(t.Context(), version("0.2.0")); !ok || err != nil || o.Release != "hawkbit:3" {
			t.Errorf("got %+v, %t, %v", o, ok, err)
		}
		if r.held() == "" {
			t.Error("a plan does not see that the window is shut")
		}
		r.wait(glance + time.Second)
		if h := r.held(); h != "" {
			t.Errorf("a look alone holds updates back: %s", h)
		}
		if _, err := r.Trigger(t.Context(), update.Request{Origin: update.FromROS}); err != nil {
			t.Fatal(err)
		}
		r.wait(glance + time.Second)
		if r.state() != update.Downloading || r.held() == "" {
			t.Errorf("it is in %s, held back: %q", r.state(), r.held())
		}
		if got := h.heard(a); !slices.Equal(got, []string{"proceeding/none"}) {
			t.Errorf("the server heard %q", got)
		}
	})
}

// Ended actions are not offered to those who ask by hand either.
func TestCheckAfterTheEnd(t *testing.T) {
	a := &assignment{id: "3", version: "0.2.1", neverStops: true}
	play(t, newHawk(a), func(t *testing.T, r *rig) {
		r.begun()
		r.happen(update.EffectFailed{Code: "disk_full", Text: "full"})
		r.wait(time.Second)
		if _, ok, err := r.link.Check(t.Context(), version("0.2.0")); ok || err != nil {
			t.Errorf("offered: %t, %v", ok, err)
		}
	})
}
