package controller

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// member is a robot of the fleet, with its part in a rollout where it has one.
type member struct {
	store.Robot
	part  store.Assignment
	drawn bool
}

// stratum groups robots that are alike: by what runs on them, and the words of
// the operators' own, such as their site.
func stratum(r store.Robot) string {
	tags := slices.Sorted(slices.Values(r.Tags))
	return fmt.Sprintf("%v/%v/%s", r.State.Version, r.CompanionVersion(), strings.Join(tags, ","))
}

// beyond says that the robot runs something newer: no rollout is for it.
func beyond(r store.Robot, v compat.Version) bool { return r.State.Version.Compare(v) > 0 }

// attested says that the robot's firmware says itself that it is the release,
// and that it stays.
func attested(r store.Robot, of release.Release) bool {
	return r.State.Version == of.Version && r.State.AppSHA256 == of.AppSHA256 && r.State.OTAState == "valid"
}

// unfit says why the robot's companion cannot talk to the release; "": it can.
// It is what the robot is offered by.
func unfit(r store.Robot, of release.Release) string {
	of.Status = release.Stable // whether it is offered now is another question
	who := release.Robot{ID: r.ID, SKU: r.SKU, Running: r.State.Version, Companion: r.CompanionVersion()}
	if who.Running.Compare(of.Version) >= 0 {
		return ""
	}
	if _, ok := release.Choose([]release.Release{of}, who); ok {
		return ""
	}
	if who.Companion.IsZero() {
		return "its companion's version is not known, and the protocol changes"
	}
	if err := compat.DefaultTable().Check(of.Version, of.Protocol, who.Companion); err != nil {
		return err.Error()
	}
	return "it does not fit"
}

// candidates of a draw: who may have a place, and the place of who has one.
func candidates(members []member, v compat.Version) []rollout.Candidate {
	var all []rollout.Candidate
	for _, m := range members {
		switch {
		case m.drawn:
			all = append(all, rollout.Candidate{ID: m.ID, Stratum: m.part.Stratum, Stage: rollout.Stage(m.part.Stage)})
		case !beyond(m.Robot, v):
			all = append(all, rollout.Candidate{ID: m.ID, Stratum: stratum(m.Robot)})
		}
	}
	return all
}

// observed is what a decision is made on, without windows. Robots that have no
// place yet, and such that went on to something newer by another way, are not in it.
func observed(members []member, of release.Release) rollout.Observations {
	o := rollout.Observations{}
	if !of.Live() {
		o.Withdrawn = fmt.Sprintf("%s is %s (%s)", of.Name, of.Status, of.Reason)
	}
	for _, m := range members {
		p := progress(m.part)
		if !m.drawn || p.Outcome == rollout.Pending && beyond(m.Robot, of.Version) {
			continue
		}
		o.Robots = append(o.Robots, rollout.Robot{
			ID: m.ID, Stage: rollout.Stage(m.part.Stage), Stratum: m.part.Stratum, Progress: p,
			Unfit: unfit(m.Robot, of), Heard: later(m.State.Received, m.State.Checked),
		})
	}
	return o
}

func progress(a store.Assignment) rollout.Progress {
	return rollout.Progress{
		Outcome: rollout.Outcome(a.Outcome), Code: a.Code, Trigger: a.Trigger,
		Offered: a.Offered, Trying: a.Trying, Confirmed: a.Confirmed, Failed: a.Failed, RolledBack: a.RolledBack,
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
