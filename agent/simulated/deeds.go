package simulated

import (
	"context"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/firmware/flashmap"
)

// How long things take that are not done.
const (
	rate      = 500_000 // bytes a second of a download
	handover  = 2 * time.Second
	writing   = 12 * time.Second
	attesting = 2 * time.Second
)

// deed is the effect that goes on.
type deed struct {
	effect update.Effect // "": none
	begun  time.Time
	reset  bool // the chip was, for this deed
}

// work gets on with the deed that goes on. Its outcome is told to the state
// machine, which may begin the next.
func (r *Robot) work(ctx context.Context, s Server) error {
	d := r.deed
	for _, e := range r.outcome(ctx, s) {
		if r.deed == d { // Released and Up come of one deed
			r.deed.effect = ""
		}
		r.tell(e)
	}
	_, err := r.body.chip.firmware()
	return err
}

// outcome is what has come of the deed by now; nothing: it goes on.
func (r *Robot) outcome(ctx context.Context, s Server) []update.Event {
	took := r.now.Sub(r.deed.begun)
	after := func(d time.Duration, e update.Event) []update.Event {
		if took < d {
			return nil
		}
		return []update.Event{e}
	}
	chip := r.body.chip
	job := r.memory.Job
	switch r.deed.effect {
	case update.DoCheck:
		return []update.Event{r.check(ctx, s)}
	case update.DoDownload:
		return r.download(took)
	case update.DoVerify:
		return []update.Event{r.verify()}
	case update.DoAskGates:
		return r.gates()
	case update.DoTakeLine:
		return after(handover, update.LineTaken{})
	case update.DoConnect:
		f, err := chip.firmware()
		if err != nil {
			return nil // work says so
		}
		return []update.Event{update.Connected{To: chip.inactive().String(), From: update.Installed{
			Slot: chip.runs.String(), Version: f.Image.Version, AppSHA256: f.Image.AppSHA256}}}
	case update.DoWrite:
		if took < writing {
			return nil
		}
		chip.slots[chip.inactive()] = r.cfg.Firmware[job.Image.FileSHA256]
		return []update.Event{update.Written{}}
	case update.DoAttest:
		return after(attesting, update.Attested{})
	case update.DoSwitch:
		if err := chip.switchTo(chip.inactive()); err != nil {
			return []update.Event{update.EffectFailed{Code: "switch", Text: err.Error()}}
		}
		return []update.Event{update.Switched{}}
	case update.DoAwait:
		return r.await(job)
	case update.DoWatch:
		var v watch.Verdict
		r.trial, v = r.trial.Look(r.facts, r.now)
		return judged(v)
	case update.DoConfirm:
		if chip.state() != flashmap.Valid {
			return []update.Event{update.EffectFailed{Code: watch.CodeNotConfirmed, Text: "the slot is " + chip.state().String()}}
		}
		r.observed = watch.NewObservation(r.cfg.Observe, identity(job), r.facts, r.now).Against(r.learner.Baseline())
		return []update.Event{update.Kept{}}
	case update.DoObserve:
		return r.observe(job)
	case update.DoStand:
		if seen, _, live := preflight.Motion(r.facts, r.cfg.Gates, r.now); live && len(seen) > 0 {
			return nil
		}
		return []update.Event{update.Standing{}}
	case update.DoRestore:
		return r.restore(job)
	case update.DoRelease:
		return after(handover, update.Released{})
	case update.DoBorrow, update.DoVisit, update.DoRecord:
	}
	return nil
}

func (r *Robot) check(ctx context.Context, s Server) update.Event {
	if q := r.memory.Job.Request; q.URL != "" {
		return update.Resolved{Offer: update.Offer{URL: q.URL, SHA256: q.SHA256, Version: q.Version}}
	}
	o, ok, err := Offer{}, false, errServer
	if r.reachable() {
		o, ok, err = s.Check(ctx, r.cfg.ID, r.Runs())
	}
	switch {
	case err != nil:
		return update.EffectFailed{Code: "unreachable", Text: err.Error(), Retry: true}
	case !ok:
		return update.NothingNewer{}
	}
	if _, bad := r.memory.BadVersion(o.Version); bad {
		return update.NothingNewer{} // it was put back here before
	}
	return update.Resolved{Offer: update.Offer{URL: "https://updates.invalid/v1/artifacts/" + o.SHA256,
		SHA256: o.SHA256, Size: o.Size, Version: o.Version, Release: o.Release}}
}

func (r *Robot) download(took time.Duration) []update.Event {
	o := r.memory.Job.Offer
	f, known := r.cfg.Firmware[o.SHA256]
	switch size := max(o.Size, int64(f.Image.Size)); {
	case !known:
		return []update.Event{update.EffectFailed{Code: "not_found", Text: "there is no such file"}}
	case !r.reachable() || took.Seconds() < float64(size)/rate:
		return nil
	default:
		return []update.Event{update.Fetched{SHA256: o.SHA256, Size: size}}
	}
}

func (r *Robot) verify() update.Event {
	f, known := r.cfg.Firmware[r.memory.Job.Offer.SHA256]
	if !known {
		return update.EffectFailed{Code: "bad_image", Text: "there is no such image"}
	}
	return update.Proven{Image: f.Image}
}

// gates asks them, and tells of them when they have changed.
func (r *Robot) gates() []update.Event {
	v := r.memory.Job.Image.Version
	shut := preflight.Check(r.facts, nil, preflight.Candidate{Version: v}, r.cfg.Gates, r.now)
	if len(shut) == 0 {
		return []update.Event{update.Clear{}}
	}
	if slices.EqualFunc(shut, r.memory.Job.Reasons, func(a, b preflight.Reason) bool { return a.Code == b.Code }) {
		return nil
	}
	begun := r.deed
	r.tell(update.Blocked{Reasons: preflight.Carry(r.memory.Job.Reasons, shut)})
	r.deed = begun // it goes on
	return nil
}

func identity(j update.Job) watch.Identity {
	return watch.Identity{Slot: j.To, Version: j.Image.Version, AppSHA256: j.Image.AppSHA256}
}

// await resets the chip and waits for the new firmware's first word.
func (r *Robot) await(j update.Job) []update.Event {
	if !r.deed.reset {
		r.deed.reset = true
		r.trial = watch.NewTrial(r.cfg.Trial, identity(j), watch.Identity(j.From), r.now).Against(r.learner.Baseline())
		if err := r.body.reset(r.now); err != nil {
			return []update.Event{update.EffectFailed{Code: "boot", Text: err.Error()}}
		}
		begun := r.deed
		r.tell(update.Released{})
		r.deed = begun // it goes on
		return nil
	}
	var v watch.Verdict
	r.trial, v = r.trial.Look(r.facts, r.now)
	if v.Phase == watch.Running {
		return []update.Event{update.Up{}}
	}
	return judged(v)
}

func judged(v watch.Verdict) []update.Event {
	switch v.Phase {
	case watch.Passed:
		return []update.Event{update.TrialPassed{Evidence: v.Evidence}}
	case watch.Failed:
		return []update.Event{update.TrialFailed{Code: v.Code, Text: v.Text, Back: v.Back, Evidence: v.Evidence}}
	case watch.Waiting, watch.Running:
	}
	return nil
}

func (r *Robot) observe(j update.Job) []update.Event {
	var alarm *watch.Alarm
	r.observed, alarm = r.observed.Look(r.facts, r.now)
	switch {
	case alarm != nil:
		return []update.Event{update.Fired{Code: alarm.Code, Text: alarm.Text, Evidence: alarm.Evidence}}
	case r.now.After(j.ConfirmedAt.Add(r.cfg.ObserveFor)):
		return []update.Event{update.ObservationOver{}}
	}
	return nil
}

// restore puts the old slot back and boots it.
func (r *Robot) restore(j update.Job) []update.Event {
	if r.now.Sub(r.deed.begun) < handover {
		return nil
	}
	if err := r.body.chip.restore(j.To, j.From.Slot); err != nil {
		return []update.Event{update.EffectFailed{Code: "restore", Text: err.Error()}}
	}
	if err := r.body.reset(r.now); err != nil {
		return nil // work says so
	}
	return []update.Event{update.Restored{Heard: true, Evidence: []string{"slot " + j.From.Slot + " boots again"}}}
}
