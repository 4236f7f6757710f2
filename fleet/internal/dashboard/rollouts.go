package dashboard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

func (d *dashboard) rollouts(r *http.Request, _ visit) (page, error) {
	all, err := d.store.Rollouts(r.Context())
	return page{name: "rollouts", Title: "Rollouts", Data: all, Live: true}, err
}

// rolloutData is what a rollout's page shows.
type rolloutData struct {
	store.Rollout
	State  rollout.State
	Stages []stageData
	// Decisions, the newest first; Left out are older ones.
	Decisions []decisionData
	Left      int
	Commands  commandData
	Verbs     []verb
	Incident  string // that it opened; "": none
}

// stageData is a stage of a rollout.
type stageData struct {
	Name   rollout.Stage
	Who    string
	Gate   string
	Watch  time.Duration
	Now    string // waits, open, passed, halted
	Opened time.Time
	Filled time.Time
	Passed time.Time
	By     string
	bar
	Offered, Confirmed, Failed, RolledBack, Trying int
}

// decisionData is a decision with its evidence, which is read here.
type decisionData struct {
	store.Decision
	All rollout.Decision
}

// commandData counts a rollout's commands.
type commandData struct{ All, Open int }

// shownDecisions is how many decisions a page shows.
const shownDecisions = 100

func (d *dashboard) rollout(r *http.Request, _ visit) (page, error) {
	ctx, id := r.Context(), r.PathValue("id")
	var out rolloutData
	err := d.store.View(ctx, func(s *store.Reader) (err error) {
		if out.Rollout, err = s.Rollout(ctx, id); err != nil {
			return err
		}
		counts, err := s.CountStages(ctx, id)
		if err != nil {
			return err
		}
		if err := out.read(counts); err != nil {
			return err
		}
		decisions, err := s.Decisions(ctx, id, 0)
		if err != nil {
			return err
		}
		out.decide(decisions)
		commands, err := s.Commands(ctx, store.CommandQuery{Rollout: id})
		if err != nil {
			return err
		}
		out.Commands.All = len(commands)
		for _, c := range commands {
			if c.Complied.IsZero() && c.Dropped.IsZero() {
				out.Commands.Open++
			}
		}
		incidents, err := s.Incidents(ctx, false)
		if i := slices.IndexFunc(incidents, out.about); i >= 0 {
			out.Incident = incidents[i].ID
		}
		return err
	})
	if d.deeds.Steering != nil {
		out.Verbs = verbsIn(rollout.Phase(out.Phase))
	}
	return page{name: "rollout", Title: "Rollout of " + out.Release, Data: out, Live: true}, err
}

// about says whether an incident is about the rollout's release.
func (o *rolloutData) about(i store.Incident) bool {
	return i.Version == o.Version && slices.ContainsFunc(o.SKUs, func(sku string) bool { return slices.Contains(i.SKUs, sku) })
}

// read takes plan and state apart.
func (o *rolloutData) read(counts []store.StageCount) error {
	plan, err := rollout.ParsePlan(o.Plan)
	if err != nil {
		return fmt.Errorf("the plan of rollout %s: %w", o.ID, err)
	}
	if o.State, err = rollout.ParseState(o.Rollout.State); err != nil {
		return fmt.Errorf("the state of rollout %s: %w", o.ID, err)
	}
	for _, stage := range rollout.Stages() {
		o.Stages = append(o.Stages, o.stage(plan, stage, counts))
	}
	return nil
}

func (o *rolloutData) stage(plan rollout.Plan, stage rollout.Stage, counts []store.StageCount) stageData {
	s := stageData{Name: stage, Watch: plan.Steps.Of(stage).Watch, Now: "waits", Gate: gates()[stage]}
	switch stage {
	case rollout.Internal:
		s.Who = count(len(plan.Internal), "test robot")
	case rollout.Full:
		s.Who = "all"
	default:
		s.Who = percent(plan.Steps.Of(stage).Share) + " with the stages before"
	}
	for _, p := range o.State.Passed {
		if p.Stage == stage {
			s.Now, s.Opened, s.Filled, s.Passed, s.By = "passed", p.Opened, p.Filled, p.Passed, p.By
		}
	}
	if o.State.Stage == stage && s.Now != "passed" {
		if s.Now = "open"; o.State.Phase == rollout.Halted {
			s.Now = "halted"
		}
		s.Opened, s.Filled = o.State.Opened, o.State.Filled
	}
	for _, c := range counts {
		if c.Stage == string(stage) {
			s.add(c)
		}
	}
	s.Parts = []part{{"confirmed", s.Confirmed}, {"rolled_back", s.RolledBack}, {"failed", s.Failed}, {"trying", s.Trying},
		{"offered", max(0, s.Offered-s.Confirmed-s.RolledBack-s.Failed-s.Trying)}}
	return s
}

func (s *stageData) add(c store.StageCount) {
	s.Robots += c.Robots
	s.Offered += c.Offered
	switch rollout.Outcome(c.Outcome) {
	case rollout.Confirmed:
		s.Confirmed += c.Robots
	case rollout.Failed:
		s.Failed += c.Robots
	case rollout.RolledBack:
		s.RolledBack += c.Robots
	case rollout.Trying:
		s.Trying += c.Robots
	case rollout.Pending:
	}
}

// gates say what has to hold for the next stage to begin.
func gates() map[rollout.Stage]string {
	return map[rollout.Stage]string{
		rollout.Internal: "every one reports OK for the whole watch",
		rollout.Canary:   "no more ERROR and WARN than the control group",
		rollout.Wide:     "no regression in topic rates, battery life, safety events",
		rollout.Full:     "then the release is marked stable",
	}
}

// decide takes decisions with their evidence, the newest first. One that cannot
// be read is shown without.
func (o *rolloutData) decide(all []store.Decision) {
	slices.Reverse(all)
	if len(all) > shownDecisions {
		o.Left = len(all) - shownDecisions
		all = all[:shownDecisions]
	}
	for _, d := range all {
		shown := decisionData{Decision: d}
		_ = json.Unmarshal(d.Decision, &shown.All) // what is not there is not shown
		o.Decisions = append(o.Decisions, shown)
	}
}

// releases lists what there is.
func (d *dashboard) releases(r *http.Request, _ visit) (page, error) {
	all, err := d.store.Releases(r.Context())
	slices.Reverse(all)
	return page{name: "releases", Title: "Releases", Data: map[string]any{"Releases": all, "Verbs": d.deeds.Emergency != nil}, Live: true}, err
}
