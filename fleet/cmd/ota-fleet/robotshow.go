package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// shown is all that is known of a robot.
type shown struct {
	store.Robot
	Rollouts []store.Assignment `json:"rollouts"`
	Updates  []store.Update     `json:"updates"` // the latest first, as the following
	Commands []store.Command    `json:"commands"`
	Events   []store.Event      `json:"events"`
	Hours    []hour             `json:"hours"` // of health, of the latest two days
}

// hour is what was counted of the robot in an hour.
type hour struct {
	Begin    time.Time `json:"begin"`
	Firmware string    `json:"firmware,omitempty"`
	Gap      float64   `json:"gap_seconds"`
	store.Counters
}

// shownHours is for how long back health is shown.
const shownHours = 48 * time.Hour

func robotShowCommand() *cobra.Command {
	var at place
	var most int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show --data DIR ID",
		Short: "Show a robot: its state, updates, commands and events",
		Args:  oneArgument("one robot's id"),
		RunE: with(at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			var r shown
			err := s.View(cmd.Context(), func(from *store.Reader) (err error) {
				r, err = lookAt(cmd.Context(), from, args[0], most, time.Now())
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), r)
			}
			return r.print(cmd.OutOrStdout())
		}),
	}
	at.flags(cmd)
	cmd.Flags().IntVar(&most, "events", 20, "how many of the latest events and updates")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func lookAt(ctx context.Context, from *store.Reader, id string, most int, now time.Time) (shown, error) {
	var r shown
	var err error
	if r.Robot, err = from.Robot(ctx, id); err != nil {
		return r, err
	}
	if r.Rollouts, err = from.AssignmentsOf(ctx, id); err != nil {
		return r, err
	}
	if err := from.EachUpdate(ctx, id, time.Time{}, func(u store.Update) error { r.Updates = append(r.Updates, u); return nil }); err != nil {
		return r, err
	}
	if r.Commands, err = from.Commands(ctx, store.CommandQuery{Robot: id}); err != nil {
		return r, err
	}
	if r.Events, err = from.Events(ctx, id, time.Time{}, most); err != nil {
		return r, err
	}
	err = from.EachHour(ctx, store.HealthQuery{Robot: id, From: now.Add(-shownHours)}, func(h store.Hour) error {
		r.Hours = append(r.Hours, hour{h.Begin, versionOr(h), h.Gap, h.Counters})
		return nil
	})
	r.Rollouts, r.Events = append([]store.Assignment{}, r.Rollouts...), append([]store.Event{}, r.Events...)
	r.Updates, r.Commands, r.Hours = latest(r.Updates, most), latest(r.Commands, most), latest(r.Hours, len(r.Hours))
	return r, err
}

func versionOr(h store.Hour) string {
	if h.Firmware.IsZero() {
		return ""
	}
	return h.Firmware.String()
}

// latest turns a list round and cuts it; none is an empty one.
func latest[T any](list []T, most int) []T {
	out := []T{}
	for i := len(list) - 1; i >= 0 && len(out) < most; i-- {
		out = append(out, list[i])
	}
	return out
}

func (r shown) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	s := r.State
	fmt.Fprintf(w, "robot\t%s (%s), %s\n", r.ID, r.SKU, stateOf(s))
	fmt.Fprintf(w, "firmware\t%s\tslot %s, %s\n", orDash(s.Version), or(s.Slot), or(s.OTAState))
	fmt.Fprintf(w, "companion\t%s\tagent %s\n", orDash(r.CompanionVersion()), or(s.Agent))
	fmt.Fprintf(w, "job\t%s\t%s %s\n", or(s.JobID), or(s.JobState), s.JobTarget)
	fmt.Fprintf(w, "heard\t%s\tasked %s\n", when(s.Received), when(s.Checked))
	for _, a := range r.Rollouts {
		fmt.Fprintf(w, "rollout\t%s\t%s, %s %s\n", a.Rollout, a.Stage, or(a.Outcome), a.Code)
	}
	for _, u := range r.Updates {
		fmt.Fprintf(w, "update\t%s\t%s → %s, %s %s\n", when(u.Started), orDash(u.From), orDash(u.Version), or(u.Outcome), u.Code)
	}
	for _, c := range r.Commands {
		fmt.Fprintf(w, "command\t%s\t%s %s: sent %d times, %s %s, complied %s\n", when(c.Created), c.Verb, c.ID, c.Sends, or(c.Verdict), c.Code, when(c.Complied))
	}
	for _, e := range r.Events {
		fmt.Fprintf(w, "event\t%s\t%s %s %s\n", when(e.At), or(e.To), e.Code, e.Text)
	}
	for _, h := range r.Hours {
		fmt.Fprintf(w, "health\t%s\t%s: %.0f min ok, %.0f warn, %.0f error, %.0f silent\n", when(h.Begin), or(h.Firmware), h.OK, h.Warn, h.Error, h.Silent)
	}
	return w.Flush()
}

func or(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
