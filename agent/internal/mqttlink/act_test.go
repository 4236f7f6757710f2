package mqttlink

import (
	"errors"
	"fmt"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// tooOften is the engine's word for a storm.
type tooOften struct{}

func (tooOften) Error() string { return "too many" }
func (tooOften) Code() string  { return tooMany }

// TestRefusalsOfTheEngine: what the engine says no to, and by which code the fleet
// hears it. busy is what it says again later.
func TestRefusalsOfTheEngine(t *testing.T) {
	for want, err := range map[string]error{
		codeBusy: fmt.Errorf("no: %w", tooOften{}), codeTooLate: update.ErrTooLate, codeNothing: update.ErrNothingToCancel, codeRequest: update.ErrRequest,
		codeAgent: errors.New("something else"),
	} {
		e := newFake()
		e.refuse = err
		if _, got := act(t.Context(), e, action{command: command{verb: verbUpdate}}); got == nil || got.code != want || got.text != err.Error() {
			t.Errorf("%v: %+v, want %s", err, got, want)
		}
	}
	e := newFake()
	e.refuse = &update.BusyError{JobID: "j"}
	if _, got := act(t.Context(), e, action{command: command{verb: verbCancel}}); got == nil || got.code != codeBusy || got.job != "j" {
		t.Errorf("%+v", got)
	}
}
