package rollout

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Phase is what a rollout is doing. Its names are persisted.
type Phase string

// The phases.
const (
	Running Phase = "running"
	Asking  Phase = "asking" // running, and a person has to decide
	Paused  Phase = "paused" // nobody is offered the release
	Halted  Phase = "halted" // for good; those that took it roll back
	Stable  Phase = "stable" // for good; every robot is offered it
)

// Phases lists them.
func Phases() []Phase { return []Phase{Running, Asking, Paused, Halted, Stable} }

// Active says whether something may still happen.
func (p Phase) Active() bool { return p == Running || p == Asking || p == Paused }

// State is how far a rollout has come.
type State struct {
	Schema int   `json:"schema"`
	Phase  Phase `json:"phase"`
	Stage  Stage `json:"stage"`
	// Opened is since when the robots of the stage have their turn, Filled since
	// when nobody is waited for: the watch begins there. Zero: they are waited for.
	Opened time.Time `json:"opened"`
	Filled time.Time `json:"filled,omitzero"`
	// Split is when the first robots that were drawn had their turn. It parts
	// the time before the release from the time with it, for all robots alike.
	Split time.Time `json:"split,omitzero"`
	// Looks counts how often the stage's gate has tested; each look has its
	// share of the false alarms. NextLook is when it does so again.
	Looks    int       `json:"looks,omitempty"`
	NextLook time.Time `json:"next_look,omitzero"`
	// Asked is since when a person is asked, PausedAt since when it is paused.
	Asked    time.Time `json:"asked,omitzero"`
	PausedAt time.Time `json:"paused_at,omitzero"`
	// Passed are the stages that are over.
	Passed []Passage `json:"passed,omitempty"`
	// Ended is when it was halted or became stable.
	Ended time.Time `json:"ended,omitzero"`
	// Tests are what the stage's gate found when it looked last.
	Tests []Check `json:"tests,omitempty"`
	// Latest is what was decided last, waiting included.
	Latest Decision `json:"latest,omitzero"`
}

// Passage is a stage that is over.
type Passage struct {
	Stage  Stage     `json:"stage"`
	Opened time.Time `json:"opened"`
	Filled time.Time `json:"filled,omitzero"`
	Passed time.Time `json:"passed"`
	By     string    `json:"by,omitempty"` // who promoted it; "": its gate opened
}

// ParseState reads a state that was stored.
func ParseState(b []byte) (State, error) {
	var s State
	if err := json.Unmarshal(b, &s); err != nil {
		return State{}, fmt.Errorf("not a rollout's state: %w", err)
	}
	switch {
	case s.Schema != Schema:
		return State{}, fmt.Errorf("not a rollout's state: schema %d; this program knows %d", s.Schema, Schema)
	case !slices.Contains(Phases(), s.Phase):
		return State{}, fmt.Errorf("not a rollout's state: unknown phase %.40q", s.Phase)
	case !slices.Contains(Stages(), s.Stage):
		return State{}, fmt.Errorf("not a rollout's state: unknown stage %.40q", s.Stage)
	}
	return s, nil
}
