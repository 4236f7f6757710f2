package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// owner stands for files, or does not.
type owner struct {
	mu     sync.Mutex
	heals  bool                    // what he says anew is good
	stale  error                   // why nothing newer is known
	refuse func(update.File) error // nil: he stands for all
	asked  []string                // renew, vouch
	files  []update.File           // of what he was asked
}

func (o *owner) Renew(context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, "renew")
	if o.heals {
		o.refuse = nil
	}
	return o.stale
}

func (o *owner) Vouch(f update.File) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, "vouch")
	o.files = append(o.files, f)
	if o.refuse == nil {
		return nil
	}
	return o.refuse(f)
}

func (*owner) Metadata() update.Metadata { return update.Metadata{List: 7} }

func (o *owner) withdraw(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refuse = func(update.File) error { return err }
}

type refusal string

func (r refusal) Error() string { return string(r) }
func (r refusal) Code() string  { return "metadata_" + string(r) }
func (refusal) Final() bool     { return true }

func TestTheOwnerIsAskedAtEachStep(t *testing.T) {
	o := &owner{}
	playWith(t, o, func(t *testing.T, r *rig, e *engine.Engine) {
		time.Sleep(time.Second)
		trigger(t, e)
		s := wait(t, e, update.Failed, update.Observing)
		if s.State != update.Observing || s.Metadata == nil || s.Metadata.List != 7 {
			t.Fatalf("%+v, %+v", s, s.Failure)
		}
		if len(o.asked) < 4 || !slices.Equal(o.asked[:3], []string{"renew", "vouch", "vouch"}) {
			t.Errorf("asked %v", o.asked)
		}
		last := o.files[len(o.files)-1]
		if last.SHA256 == "" || last.Size != int64(len(r.file)) || last.Version.String() != "0.2.1" || last.Local {
			t.Errorf("asked at last for %+v", last)
		}
	})
}

// What the owner does not stand for is not installed, whoever names it, and
// whenever he takes his word back.
func TestTheOwnerDoesNotStandForIt(t *testing.T) {
	for name, tt := range map[string]struct {
		owner   *owner
		request update.Request
		at      update.State // at which he takes his word back; "": from the start
		in      update.State
		code    string
	}{
		"nothing newer is known":  {&owner{stale: refusal("expired")}, update.Request{}, "", update.Checking, "metadata_expired"},
		"an offer of the server":  {&owner{refuse: func(update.File) error { return refusal("not_listed") }}, update.Request{}, "", update.Checking, "metadata_not_listed"},
		"a URL that somebody has": {&owner{refuse: func(f update.File) error { return refusal("not_listed") }}, update.Request{URL: "https://example.org/x.bin"}, "", update.Checking, "metadata_not_listed"},
		"a URL alone, which says nothing": {&owner{refuse: func(f update.File) error {
			if f.SHA256 == "" {
				return nil
			}
			return refusal("not_listed")
		}}, update.Request{URL: "https://example.org/x.bin"}, "", update.Verifying, "metadata_not_listed"},
		"while it is downloaded":      {&owner{}, update.Request{}, update.Downloading, update.Verifying, "metadata_withdrawn"},
		"after the line was taken":    {&owner{}, update.Request{}, update.Connecting, update.Connecting, "metadata_withdrawn"},
		"while the image was written": {&owner{}, update.Request{}, update.Writing, update.Attesting, "metadata_withdrawn"},
	} {
		t.Run(name, func(t *testing.T) {
			playWith(t, tt.owner, func(t *testing.T, r *rig, e *engine.Engine) {
				r.do(func() {
					r.onSave = func(s update.State) {
						if s == tt.at {
							tt.owner.withdraw(refusal("withdrawn"))
						}
					}
				})
				time.Sleep(time.Second)
				tt.request.Origin = update.FromCLI
				if _, err := e.Trigger(t.Context(), tt.request); err != nil {
					t.Fatal(err)
				}
				s := wait(t, e, update.Failed, update.Observing)
				if s.Failure == nil || s.Failure.Code != tt.code || s.Failure.State != tt.in {
					t.Fatalf("%+v, %+v", s, s.Failure)
				}
				time.Sleep(5 * time.Second)
				if r.did("switch") {
					t.Errorf("the agent did %v", r.log)
				}
				r.ends(t, 0, name)
			})
		})
	}
}

// What has expired while the robot waited is asked for before its line is taken,
// and not while it stands still for the flash.
func TestItExpiresMeanwhile(t *testing.T) {
	for at, want := range map[update.State]update.State{update.Handover: update.Observing, update.Writing: update.Failed} {
		o := &owner{heals: true}
		playWith(t, o, func(t *testing.T, r *rig, e *engine.Engine) {
			r.do(func() {
				r.onSave = func(s update.State) {
					if s == at {
						o.withdraw(refusal("expired"))
					}
				}
			})
			time.Sleep(time.Second)
			trigger(t, e)
			s := wait(t, e, update.Failed, update.Observing)
			renewed := len(slices.DeleteFunc(slices.Clone(o.asked), func(a string) bool { return a != "renew" }))
			if s.State != want || (renewed > 1) != (want == update.Observing) {
				t.Errorf("in %s: %+v, asked %v", at, s, o.asked)
			}
		})
	}
}

// A file of this computer costs no question to a server that may be out of reach.
func TestLocalFilesAreVouchedForOffline(t *testing.T) {
	o := &owner{stale: errors.New("no network")}
	playWith(t, o, func(t *testing.T, _ *rig, e *engine.Engine) {
		time.Sleep(time.Second)
		if _, err := e.Plan(t.Context(), update.Request{URL: "file:///media/x.bin", Origin: update.FromCLI}); err != nil || slices.Contains(o.asked, "renew") {
			t.Errorf("%v, asked %v", err, o.asked)
		}
		_, err := e.Plan(t.Context(), update.Request{URL: "https://example.org/x.bin", Origin: update.FromCLI})
		if err == nil || !strings.Contains(err.Error(), "no network") {
			t.Errorf("%v", err)
		}
	})
}
