package watch

import (
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

// ObservePolicy sets the rollback triggers that are watched after a firmware
// was confirmed.
type ObservePolicy struct {
	// MaxReboots within RebootWindow that are still borne.
	MaxReboots   int
	RebootWindow time.Duration
	// Silence of all diagnostics that fires.
	Silence time.Duration
	Meter   MeterPolicy
}

// DefaultObservePolicy is the mission's.
func DefaultObservePolicy() ObservePolicy {
	return ObservePolicy{MaxReboots: 3, RebootWindow: 5 * time.Minute, Silence: 60 * time.Second, Meter: DefaultMeterPolicy()}
}

// Alarm is a rollback trigger that fired.
type Alarm struct {
	Code, Text string
	Evidence   []string
}

// Observation follows a confirmed firmware.
type Observation struct {
	policy  ObservePolicy
	want    Identity
	start   time.Time
	boots   uint64
	heard   bool
	reboots []time.Time // the latest MaxReboots+1
	stops   stops
	meter   meter
}

// NewObservation watches want from start on, of which f is known. An emergency
// stop that is on already at start is not blamed on the firmware. Its reboots are
// counted from the boots that it has told of; a firmware that was reset since by
// somebody else is not to be among the facts.
func NewObservation(p ObservePolicy, want Identity, f robot.Facts, start time.Time) Observation {
	o := Observation{
		policy: p, want: want, start: start,
		stops: stops{borne: !f.EStop.At.IsZero() && pressed(f.EStop)}, meter: meter{in: "observation"}.look(f, start),
	}
	if w := f.Firmware; w.Heard() && want.is(w) {
		o.heard, o.boots = true, w.BootCount
	}
	return o
}

// Against is the observation with the baseline of the time before the update.
func (o Observation) Against(base Tally) Observation {
	o.meter.base = base
	return o
}

// Evidence says what was counted so far, beside what was before the update.
func (o Observation) Evidence() []string { return o.meter.evidence(o.policy.Meter) }

// Look is the observation after a look at the facts of now; a non-nil Alarm
// means that the firmware is to be rolled back.
func (o Observation) Look(f robot.Facts, now time.Time) (Observation, *Alarm) {
	o.meter = o.meter.look(f, now)
	for _, check := range []func(*Observation, robot.Facts, time.Time) *Alarm{
		(*Observation).estop, (*Observation).firmware, (*Observation).silence, (*Observation).rebooted, (*Observation).counted,
	} {
		if a := check(&o, f, now); a != nil {
			a.Evidence = append(a.Evidence, o.Evidence()...)
			return o, a
		}
	}
	return o, nil
}

func (o *Observation) counted(robot.Facts, time.Time) *Alarm { return o.meter.alarm(o.policy.Meter) }

func (o *Observation) estop(f robot.Facts, _ time.Time) *Alarm {
	if !o.stops.unexplained(f.EStop, o.start) {
		return nil
	}
	return &Alarm{Code: CodeEStop, Text: fmt.Sprintf("emergency stop without an operator's action (reason %q)", f.EStop.Reason)}
}

func (o *Observation) firmware(f robot.Facts, _ time.Time) *Alarm {
	if w := f.Firmware; w.At.After(o.start) && !o.want.is(w) {
		return &Alarm{Code: CodeStranger, Text: fmt.Sprintf("firmware %s runs where %s was confirmed (reset reason %q)",
			w.Version, o.want.Version, w.ResetReason)}
	}
	return nil
}

func (o *Observation) silence(f robot.Facts, now time.Time) *Alarm {
	last := f.DiagnosticsAt()
	if last.Before(o.start) {
		last = o.start
	}
	if quiet := now.Sub(last); quiet > o.policy.Silence {
		return &Alarm{Code: CodeSilent, Text: fmt.Sprintf("diagnostics have been silent for %s", quiet.Round(time.Second))}
	}
	return nil
}

// count takes the firmware's boot counter in.
func (o *Observation) count(w robot.Firmware) {
	if !w.At.After(o.start) {
		return
	}
	if o.heard && w.BootCount > o.boots {
		for range min(w.BootCount-o.boots, uint64(o.policy.MaxReboots)+1) {
			o.reboots = append(o.reboots[:len(o.reboots):len(o.reboots)], w.At)
		}
		o.reboots = o.reboots[max(0, len(o.reboots)-o.policy.MaxReboots-1):]
	}
	o.heard, o.boots = true, w.BootCount
}

func (o *Observation) rebooted(f robot.Facts, now time.Time) *Alarm {
	o.count(f.Firmware)
	if len(o.reboots) <= o.policy.MaxReboots || now.Sub(o.reboots[0]) > o.policy.RebootWindow {
		return nil
	}
	a := &Alarm{Code: CodeReboots, Text: fmt.Sprintf("more than %d reboots in %s", o.policy.MaxReboots, o.policy.RebootWindow)}
	for _, t := range o.reboots {
		a.Evidence = append(a.Evidence, "rebooted at "+t.UTC().Format(time.RFC3339))
	}
	return a
}
