package rollout

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Schema is the version of the form in which plans, states and decisions are
// stored.
const Schema = 1

// Stage is a part of a rollout. Its names are persisted.
type Stage string

// The stages, in their order.
const (
	Internal Stage = "internal" // named test robots
	Canary   Stage = "canary"
	Wide     Stage = "wide"
	Full     Stage = "full"
)

// Stages lists them in their order.
func Stages() []Stage { return []Stage{Internal, Canary, Wide, Full} }

// Next is the stage after s; false after the last.
func (s Stage) Next() (Stage, bool) {
	all := Stages()
	i := slices.Index(all, s)
	if i < 0 || i+1 == len(all) {
		return "", false
	}
	return all[i+1], true
}

// Before says whether s comes before other.
func (s Stage) Before(other Stage) bool {
	return slices.Index(Stages(), s) < slices.Index(Stages(), other)
}

// Plan is how one release reaches the robots of its SKU. It does not change
// once the rollout has started.
type Plan struct {
	Release string // its name
	SKU     string
	Version compat.Version
	// Protocol that the release speaks: a companion has to fit it.
	Protocol compat.Protocol
	// Internal names the test robots.
	Internal []string
	// Seed is where chance comes from: the same seed draws the same robots.
	Seed  uint64
	Steps Steps
	Limits
}

// Steps are the stages' times and shares.
type Steps struct{ Internal, Canary, Wide, Full Step }

// Of is a stage's step.
func (s Steps) Of(stage Stage) Step {
	switch stage {
	case Internal:
		return s.Internal
	case Canary:
		return s.Canary
	case Wide:
		return s.Wide
	case Full:
	}
	return s.Full
}

// Step is a stage's part of a plan.
type Step struct {
	// Share of the SKU's robots, without the internal ones, that have had their
	// turn with this stage. It is 0 for internal and 1 for full.
	Share float64
	// Watch is for how long the robots of the stage are watched once they have
	// taken the release.
	Watch time.Duration
	// Patience is for how long the stage waits for robots that do not take it,
	// and beyond its watch for a gate that cannot tell. After it robots that are
	// away are left out, or a person is asked.
	Patience time.Duration
}

// Limits are what gates measure by.
type Limits struct {
	// FailureRate is the share of updates that may fail or be rolled back.
	FailureRate float64
	// FalseAlarms is the probability with which a harmless release may be halted
	// by the tests of one gate.
	FalseAlarms float64
	// Detect is the share of harmed robots that a gate has to notice with the
	// probability Power.
	Detect, Power float64
	// Away is for how long a robot may not be heard of before nobody waits for it.
	Away time.Duration
	// Coverage is the share of its watch of which a robot has to have reported
	// for its report to count.
	Coverage float64
	// TopicMargin, DrainMargin and SafetyMargin are what counts as no regression:
	// a relative loss of messages, a relative growth of battery drain, and a
	// growth of the share of robots with safety events.
	TopicMargin, DrainMargin, SafetyMargin float64
}

// Bounds of a plan.
const (
	maxInternal = 100
	minWatch    = time.Second
	maxWatch    = 90 * 24 * time.Hour
)

// ErrPlan says that a plan cannot be followed.
var ErrPlan = errors.New("not a plan that can be followed")

// Default is the mission's plan, still without release, robots and seed.
func Default() Plan {
	const day = 24 * time.Hour
	return Plan{
		Steps: Steps{
			Internal: Step{Watch: day, Patience: 3 * day},
			Canary:   Step{Share: 0.10, Watch: 2 * day, Patience: 3 * day},
			Wide:     Step{Share: 0.50, Watch: day, Patience: 3 * day},
			Full:     Step{Share: 1, Watch: day, Patience: 14 * day},
		},
		Limits: Limits{
			FailureRate: 0.01, FalseAlarms: 0.05, Detect: 0.10, Power: 0.95, Away: 13 * time.Hour, Coverage: 0.5,
			TopicMargin: 0.05, DrainMargin: 0.10, SafetyMargin: 0.05,
		},
	}
}

// Check says why a plan cannot be followed; nil: it can.
func (p Plan) Check() error {
	switch {
	case p.Release == "" || len(p.Release) > 100:
		return fmt.Errorf("%w: release: want a release's name", ErrPlan)
	case p.SKU == "" || len(p.SKU) > 64:
		return fmt.Errorf("%w: sku: want the release's SKU", ErrPlan)
	case p.Version.IsZero():
		return fmt.Errorf("%w: version: want the release's version", ErrPlan)
	case len(p.Internal) > maxInternal:
		return fmt.Errorf("%w: internal: %d robots; at most %d are test robots", ErrPlan, len(p.Internal), maxInternal)
	}
	for i, id := range p.Internal {
		if id == "" || len(id) > 64 || slices.Contains(p.Internal[:i], id) {
			return fmt.Errorf("%w: internal: %.64q is no robot's id, or there twice", ErrPlan, id)
		}
	}
	if err := p.checkSteps(); err != nil {
		return err
	}
	return p.Limits.check()
}

func (p Plan) checkSteps() error {
	for _, stage := range Stages() {
		step := p.Steps.Of(stage)
		if step.Watch < minWatch || step.Watch > maxWatch {
			return fmt.Errorf("%w: %s.watch: %v is not from %v to %v", ErrPlan, stage, step.Watch, minWatch, maxWatch)
		}
		if step.Patience < minWatch || step.Patience > maxWatch {
			return fmt.Errorf("%w: %s.patience: %v is not from %v to %v", ErrPlan, stage, step.Patience, minWatch, maxWatch)
		}
	}
	s := p.Steps
	if !within(s.Canary.Share, 0.001, 0.9) || !within(s.Wide.Share, 0.001, 0.95) || s.Canary.Share >= s.Wide.Share {
		return fmt.Errorf("%w: canary.share %g and wide.share %g: want 0.001 to 0.9, and wide above canary up to 0.95, so that a control group is left", ErrPlan, s.Canary.Share, s.Wide.Share)
	}
	if s.Internal.Share != 0 || s.Full.Share != 1 {
		return fmt.Errorf("%w: internal.share and full.share are 0 and 1", ErrPlan)
	}
	return nil
}

func (l Limits) check() error {
	if l.Away < minWatch || l.Away > maxWatch {
		return fmt.Errorf("%w: limits.away: %v is not from %v to %v", ErrPlan, l.Away, minWatch, maxWatch)
	}
	for _, limit := range []struct {
		name            string
		value, from, to float64
	}{
		{"failure_rate", l.FailureRate, 0.0001, 0.5},
		{"false_alarms", l.FalseAlarms, 0.0001, 0.2},
		{"detect", l.Detect, 0.001, 0.9},
		{"power", l.Power, 0.5, 0.9999},
		{"coverage", l.Coverage, 0.05, 1},
		{"topic_margin", l.TopicMargin, 0.001, 0.9},
		{"drain_margin", l.DrainMargin, 0.001, 10},
		{"safety_margin", l.SafetyMargin, 0.001, 0.9},
	} {
		if !within(limit.value, limit.from, limit.to) {
			return fmt.Errorf("%w: limits.%s: %g is not from %g to %g", ErrPlan, limit.name, limit.value, limit.from, limit.to)
		}
	}
	return nil
}

// within is false for what is no number.
func within(x, from, to float64) bool { return x >= from && x <= to }
