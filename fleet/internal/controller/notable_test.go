package controller

import (
	"testing"

	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
)

// A gate that looks every hour and finds nothing is kept once an hour, not twice.
func TestWhichDecisionsAreKept(t *testing.T) {
	state := func(looks int, code rollout.Code) rollout.State {
		return rollout.State{Looks: looks, Latest: rollout.Decision{Code: code}}
	}
	wait := func(code rollout.Code) rollout.Decision { return rollout.Decision{Verdict: rollout.Wait, Code: code} }
	for name, tt := range map[string]struct {
		was, is rollout.State
		d       rollout.Decision
		kept    bool
	}{
		"robots have taken it":        {state(0, rollout.CodeUpdating), state(0, rollout.CodeWatching), wait(rollout.CodeWatching), true},
		"the same again":              {state(0, rollout.CodeWatching), state(0, rollout.CodeWatching), wait(rollout.CodeWatching), false},
		"a look":                      {state(0, rollout.CodeWatching), state(1, rollout.CodeUnclear), wait(rollout.CodeUnclear), true},
		"a look like the one before":  {state(1, rollout.CodeUnclear), state(2, rollout.CodeUnclear), wait(rollout.CodeUnclear), true},
		"the watch after a look":      {state(1, rollout.CodeUnclear), state(1, rollout.CodeWatching), wait(rollout.CodeWatching), false},
		"the watch after test robots": {state(0, rollout.CodeUnhealthy), state(0, rollout.CodeWatching), wait(rollout.CodeWatching), false},
		"a question":                  {state(1, rollout.CodeWatching), state(1, rollout.CodeTooFew), rollout.Decision{Verdict: rollout.Ask, Code: rollout.CodeTooFew}, true},
		"the watch after an order":    {state(1, rollout.CodeOrdered), state(1, rollout.CodeWatching), wait(rollout.CodeWatching), true},
	} {
		if got := notable(tt.was, tt.is, tt.d); got != tt.kept {
			t.Errorf("%s: kept %v", name, got)
		}
	}
}
