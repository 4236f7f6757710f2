package metrics

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/figures"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// window is a time over which is counted.
type window struct {
	name string
	long time.Duration
}

func windows() []window { return []window{{"24h", 24 * time.Hour}, {"30d", 30 * 24 * time.Hour}} }

// versionsMost is how many versions of a SKU have a label of their own.
const versionsMost = 20

// read reads everything.
func (r *reading) read(ctx context.Context, s *store.Reader, now time.Time) error {
	for _, w := range windows() {
		if err := r.updates(ctx, s, w, now.Add(-w.long)); err != nil {
			return err
		}
	}
	for _, part := range []func(context.Context, *store.Reader, time.Time) error{r.rollouts, r.robots, r.keys, r.metadata, r.commands, r.incidents} {
		if err := part(ctx, s, now); err != nil {
			return err
		}
	}
	return nil
}

// updates are the rates and times of a window.
func (r *reading) updates(ctx context.Context, s *store.Reader, w window, since time.Time) error {
	counts, err := s.CountUpdates(ctx, since)
	if err != nil {
		return err
	}
	var all figures.Tally
	of := make(map[string]*figures.Tally)
	for _, sku := range release.SKUs() {
		of[sku] = &figures.Tally{}
	}
	triggers := make(map[string]int)
	for _, c := range counts {
		all.Add(c.Outcome, c.Code, c.Updates, c.Downloads, c.Seconds)
		if t := of[c.SKU]; t != nil {
			t.Add(c.Outcome, c.Code, c.Updates, c.Downloads, c.Seconds)
		}
		if c.Outcome == figures.RolledBack {
			triggers[figures.Code(c.Code)] += c.Updates
		}
	}
	for _, sku := range release.SKUs() {
		t := of[sku]
		for result, n := range map[string]int{"confirmed": t.Confirmed, "failed": t.Failed, "rolled_back": t.RolledBack, "running": t.Running, "other": t.Other} {
			r.gauge("ota_fleet_updates", "Updates that began in the window, by how they ended.", []string{"window", "sku", "result"}, []string{w.name, sku, result}, float64(n))
		}
	}
	for _, code := range append(figures.Codes(), "other") {
		r.gauge("ota_fleet_rollbacks", "Updates that began in the window and were rolled back, by why.", []string{"window", "trigger"}, []string{w.name, code}, float64(triggers[code]))
	}
	if v, ok := all.Success(); ok {
		r.gauge("ota_fleet_update_success_ratio", "Share of the updates that began in the window and ended which was confirmed; absent where none ended.", []string{"window"}, []string{w.name}, v)
	}
	if v, ok := all.Rollback(); ok {
		r.gauge("ota_fleet_update_rollback_ratio", "Share of the updates that began in the window and ended which was rolled back; absent where none ended.", []string{"window"}, []string{w.name}, v)
	}
	if d, ok := all.Download(); ok {
		r.gauge("ota_fleet_download_mean_seconds", "Mean time of the downloads of the updates that began in the window; absent where there were none.", []string{"window"}, []string{w.name}, d.Seconds())
	}
	return nil
}

// rollouts are what goes on, and how those ended that ended lately.
func (r *reading) rollouts(ctx context.Context, s *store.Reader, now time.Time) error {
	all, err := s.Rollouts(ctx)
	if err != nil {
		return err
	}
	var took []time.Duration
	ended := map[rollout.Phase]int{rollout.Halted: 0, rollout.Stable: 0}
	month := now.Add(-windows()[1].long)
	for _, o := range all {
		switch phase := rollout.Phase(o.Phase); {
		case o.Active:
			err = r.active(ctx, s, o)
		case o.Ended.After(month):
			if _, known := ended[phase]; known {
				ended[phase]++
			}
			if phase == rollout.Stable {
				took, err = add(ctx, s, took, o)
			}
		}
		if err != nil {
			return err
		}
	}
	for phase, n := range ended {
		r.gauge("ota_fleet_rollouts_ended", "Rollouts that ended in the window.", []string{"window", "phase"}, []string{"30d", string(phase)}, float64(n))
	}
	if mean, ok := figures.Mean(took); ok {
		r.gauge("ota_fleet_full_deployment_mean_seconds", "Mean time from a rollout's start until its last robot confirmed, of those that became stable in the window; absent where none did.",
			[]string{"window"}, []string{"30d"}, mean.Seconds())
	}
	return nil
}

func add(ctx context.Context, s *store.Reader, took []time.Duration, o store.Rollout) ([]time.Duration, error) {
	last, err := s.LastConfirmed(ctx, o.ID)
	if err == nil && !last.IsZero() {
		took = append(took, last.Sub(o.Created))
	}
	return took, err
}

// active is a rollout that goes on: there is one of a SKU at a time.
func (r *reading) active(ctx context.Context, s *store.Reader, o store.Rollout) error {
	counts, err := s.CountStages(ctx, o.ID)
	if err != nil {
		return err
	}
	outcomes := map[rollout.Outcome]int{}
	for _, c := range counts {
		outcomes[rollout.Outcome(c.Outcome)] += c.Robots
	}
	r.gauge("ota_fleet_rollout_info", "A rollout that goes on, with its phase and stage; always 1.", []string{"release", "phase", "stage"}, []string{o.Release, o.Phase, o.Stage}, 1)
	for outcome, name := range map[rollout.Outcome]string{rollout.Pending: "pending", rollout.Trying: "trying", rollout.Confirmed: "confirmed", rollout.Failed: "failed", rollout.RolledBack: "rolled_back"} {
		r.gauge("ota_fleet_rollout_robots", "Robots of a rollout that goes on, by how far they have come.", []string{"release", "outcome"}, []string{o.Release, name}, float64(outcomes[outcome]))
	}
	if state, err := rollout.ParseState(o.State); err == nil {
		r.gauge("ota_fleet_rollout_stage_opened_timestamp_seconds", "When the stage of a rollout that goes on was opened.", []string{"release"}, []string{o.Release}, float64(state.Opened.UnixMilli())/1000)
	}
	return nil
}

// robots are how many there are, heard, and of which version.
func (r *reading) robots(ctx context.Context, s *store.Reader, now time.Time) error {
	p, err := s.Presence(ctx, now.Add(-figures.SilentAfter))
	if err != nil {
		return err
	}
	r.gauge("ota_fleet_robots_registered", "Robots of the fleet.", nil, nil, float64(p.Robots))
	r.gauge("ota_fleet_robots_online", "Robots that are connected to the broker, by their own word.", nil, nil, float64(p.Online))
	r.gauge("ota_fleet_robots_silent", "Robots that were heard once, and not in the last 15 minutes.", nil, nil, float64(p.Silent))
	r.gauge("ota_fleet_robots_unheard", "Robots that were never heard.", nil, nil, float64(p.Never))
	counts, err := s.CountVersions(ctx)
	if err != nil {
		return err
	}
	for _, sku := range release.SKUs() {
		for version, n := range commonVersions(counts, sku) {
			r.gauge("ota_fleet_robots", "Robots by the firmware that they say they run.", []string{"sku", "version"}, []string{sku, version}, float64(n))
		}
	}
	return nil
}

// commonVersions counts the robots of a SKU by version; the least common ones
// are "other", those that have said none "unknown".
func commonVersions(counts []store.VersionCount, sku string) map[string]int {
	of := slices.DeleteFunc(slices.Clone(counts), func(c store.VersionCount) bool { return c.SKU != sku })
	slices.SortStableFunc(of, func(a, b store.VersionCount) int { return cmp.Compare(b.Robots, a.Robots) })
	out := make(map[string]int)
	for i, c := range of {
		switch {
		case c.Version == compat.Version{}:
			out["unknown"] += c.Robots
		case i >= versionsMost:
			out["other"] += c.Robots
		default:
			out[c.Version.String()] += c.Robots
		}
	}
	return out
}

// keys are which keys the firmware of how many robots embeds: a change of keys
// is done when all have the new one.
func (r *reading) keys(ctx context.Context, s *store.Reader, _ time.Time) error {
	known, err := s.Keys(ctx)
	if err != nil {
		return err
	}
	counts, err := s.CountKeys(ctx)
	if err != nil {
		return err
	}
	newest, err := s.KeyringVersion(ctx)
	if err != nil {
		return err
	}
	states := map[string]string{}
	robots := map[string]int{"other": 0, "unknown": 0}
	for _, k := range known {
		if states[k.ID], robots[k.ID] = "trusted", 0; !k.Revoked.IsZero() {
			states[k.ID] = "revoked"
		}
	}
	behind := 0
	for _, c := range counts {
		key := c.Key
		if _, ok := robots[key]; !ok {
			key = "other"
		}
		if c.Key == "" {
			key = "unknown"
		}
		robots[key] += c.Robots
		if c.Keyring < newest {
			behind += c.Robots
		}
	}
	for key, n := range robots {
		r.gauge("ota_fleet_robots_by_key", "Robots by the signing key that their firmware says it embeds.", []string{"key", "state"}, []string{key, cmp.Or(states[key], "unknown")}, float64(n))
	}
	r.gauge("ota_fleet_robots_keyring_behind", "Robots that have not reported the newest keyring document.", nil, nil, float64(behind))
	return nil
}

// commands are those that robots have not complied with.
func (r *reading) commands(ctx context.Context, s *store.Reader, _ time.Time) error {
	counts, err := s.CountCommands(ctx)
	if err != nil {
		return err
	}
	of := make(map[store.Verb]store.CommandCount)
	for _, c := range counts {
		of[c.Verb] = c
	}
	for _, verb := range []store.Verb{store.VerbOTA, store.VerbRollback, store.VerbCancel} {
		c := of[verb]
		for state, n := range map[string]int{"unsent": c.Unsent, "unanswered": c.Waiting, "answered": c.Answered} {
			r.gauge("ota_fleet_commands_open", "Commands that robots have not complied with: not sent, not answered, or answered only.", []string{"verb", "state"}, []string{string(verb), state}, float64(n))
		}
	}
	return nil
}

// incidents are those that are open.
func (r *reading) incidents(ctx context.Context, s *store.Reader, _ time.Time) error {
	open, err := s.Incidents(ctx, true)
	if err != nil {
		return err
	}
	kinds := map[string]int{"halt": 0, "rollback": 0, "key_compromise": 0, "other": 0}
	for _, i := range open {
		kind := i.Kind
		if _, known := kinds[kind]; !known {
			kind = "other"
		}
		kinds[kind]++
	}
	for kind, n := range kinds {
		r.gauge("ota_fleet_incidents_open", "Incidents that are open.", []string{"kind"}, []string{kind}, float64(n))
	}
	return nil
}
