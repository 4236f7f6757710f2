package preflight

import (
	"cmp"
	"slices"
	"time"
)

// Vigil watches the gates over time. A gate that flaps at its threshold must
// neither let an update through on one lucky reading nor be news each time: one
// that was shut counts as shut until it has been seen open for a whole settling
// time. All are open when none was shut for that long and every reading on which
// that rests has come anew meanwhile, however seldom it comes.
//
// A Vigil is a value; the zero one has seen nothing yet.
type Vigil struct {
	calm  time.Time // since when no gate is shut; zero: one is
	gates []watched
}

// watched is a gate that is shut, or was a moment ago.
type watched struct {
	reason Reason
	open   time.Time // since when; zero: it is shut
}

// Resume is a vigil that goes on with gates that are known to have been shut, as
// after a restart.
func Resume(shut []Reason) (v Vigil) {
	for _, r := range shut {
		v.gates = append(v.gates, watched{reason: r})
	}
	return v
}

// Look takes the reasons of now, as Check gave them, and the moment of the oldest
// reading that they rest on. What comes back are the gates that count as shut,
// since when they do, and whether all are open and were for the whole settling
// time.
func (v Vigil) Look(reasons []Reason, oldest time.Time, settle time.Duration, now time.Time) (next Vigil, shut []Reason, open bool) {
	if len(reasons) == 0 {
		next.calm = earliest(v.calm, now)
	}
	for _, r := range reasons {
		next.gates = append(next.gates, watched{reason: r})
	}
	for _, w := range v.gates {
		i := slices.IndexFunc(next.gates, func(x watched) bool { return x.reason.same(w.reason) })
		if i >= 0 {
			if r := &next.gates[i].reason; w.reason.Since.Before(r.Since) {
				r.Since = w.reason.Since
			}
			continue
		}
		w.open = earliest(w.open, now)
		w.reason.Lift = "the gate staying open for " + settle.String()
		if now.Sub(w.open) < settle {
			next.gates = append(next.gates, w)
		}
	}
	order := Codes()
	slices.SortStableFunc(next.gates, func(a, b watched) int {
		return cmp.Compare(slices.Index(order, a.reason.Code), slices.Index(order, b.reason.Code))
	})
	for _, w := range next.gates {
		shut = append(shut, w.reason)
	}
	if len(shut) > 0 {
		return next, shut, false
	}
	return next, nil, settle == 0 || now.Sub(next.calm) >= settle && oldest.After(next.calm)
}

// earliest is since, where it was set, but never later than now: a clock that
// jumps back begins the count anew.
func earliest(since, now time.Time) time.Time {
	if since.IsZero() || since.After(now) {
		return now
	}
	return since
}
