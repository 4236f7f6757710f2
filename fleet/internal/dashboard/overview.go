package dashboard

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/figures"
	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// figure is a number with what it is of.
type figure struct {
	Name   string
	Value  string
	Target string // "": there is none
	// Verdict on the target: met, missed, or nothing yet.
	Verdict string
	Of      string
}

// overviewData is what the first page shows.
type overviewData struct {
	Days      int
	Choices   []int
	Figures   []figure
	Presence  store.Presence
	Silent    time.Duration
	Pies      []pie
	Active    []store.Rollout
	Incidents []store.Incident
	Commands  []store.CommandCount
}

// choices are the days over which figures can be shown; the third is shown first.
func choices() []int { return []int{1, 7, 30, 90} }

// overview is the first page.
func (d *dashboard) overview(r *http.Request, _ visit) (page, error) {
	days := choices()[2]
	for _, c := range choices() {
		if r.URL.Query().Get("days") == strconv.Itoa(c) {
			days = c
		}
	}
	o, err := d.fleets[days].get(d.cfg.Now, func() (overviewData, error) { return d.fleet(r.Context(), days) })
	return page{name: "overview", Title: "Fleet", Data: o, Live: true}, err
}

// fleet reads what the first page shows.
func (d *dashboard) fleet(ctx context.Context, days int) (overviewData, error) {
	o, now := overviewData{Days: days, Choices: choices(), Silent: figures.SilentAfter}, d.cfg.Now()
	err := d.store.View(ctx, func(s *store.Reader) (err error) {
		if o.Figures, err = overviewFigures(ctx, s, now.AddDate(0, 0, -days), days); err != nil {
			return err
		}
		if o.Presence, err = s.Presence(ctx, now.Add(-figures.SilentAfter)); err != nil {
			return err
		}
		versions, err := s.CountVersions(ctx)
		if err != nil {
			return err
		}
		o.Pies = pies(versions)
		if o.Active, err = s.ActiveRollouts(ctx); err != nil {
			return err
		}
		if o.Incidents, err = s.Incidents(ctx, true); err != nil {
			return err
		}
		o.Commands, err = s.CountCommands(ctx)
		return err
	})
	return o, err
}

// overviewFigures are the mission's figures since a moment.
func overviewFigures(ctx context.Context, s *store.Reader, since time.Time, days int) ([]figure, error) {
	counts, err := s.CountUpdates(ctx, since)
	if err != nil {
		return nil, err
	}
	var t figures.Tally
	for _, c := range counts {
		t.Add(c.Outcome, c.Code, c.Updates, c.Downloads, c.Seconds)
	}
	full, err := deployments(ctx, s, since)
	if err != nil {
		return nil, err
	}
	over := " in the last " + count(days, "day")
	success, ok := t.Success()
	out := []figure{share("Success rate", success, ok, "> 99 %", success > figures.SuccessTarget, count(t.Ended(), "update")+" that ended"+over)}
	rolled, ok := t.Rollback()
	out = append(out, share("Rollback rate", rolled, ok, "< 1 %", rolled < figures.RollbackTarget, count(t.Ended(), "update")+" that ended"+over))
	mean, ok := t.Download()
	out = append(out, span("Average download time", mean, ok, count(t.Downloads, "download")+over))
	mean, ok = figures.Mean(full)
	return append(out, span("Time to full deployment", mean, ok, count(len(full), "rollout")+" that became stable"+over+", from its start until its last robot confirmed")), nil
}

// deployments are how long the rollouts took, from their start until the last
// of their robots confirmed, that became stable since a moment.
func deployments(ctx context.Context, s *store.Reader, since time.Time) ([]time.Duration, error) {
	all, err := s.Rollouts(ctx)
	if err != nil {
		return nil, err
	}
	var out []time.Duration
	for _, o := range all {
		if o.Phase != string(rollout.Stable) || o.Ended.Before(since) {
			continue
		}
		last, err := s.LastConfirmed(ctx, o.ID)
		if err != nil {
			return nil, err
		}
		if !last.IsZero() {
			out = append(out, last.Sub(o.Created))
		}
	}
	return out, nil
}

func share(name string, value float64, known bool, target string, met bool, of string) figure {
	f := figure{Name: name, Value: "–", Target: target, Of: of}
	if known {
		f.Value, f.Verdict = percent(value), "missed"
		if met {
			f.Verdict = "met"
		}
	}
	return f
}

func span(name string, value time.Duration, known bool, of string) figure {
	f := figure{Name: name, Value: "–", Of: of}
	if known {
		f.Value = duration(value)
	}
	return f
}
