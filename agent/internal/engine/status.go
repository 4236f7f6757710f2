package engine

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// board is the published side of the engine: the last memory, the progress of
// the effect that goes on, and who wants to know of changes.
type board struct {
	mu       sync.Mutex
	mem      update.Memory
	progress progress
	note     string // of an effect that goes on: what it waits for, or is up against
	reasons  []preflight.Reason
	news     map[chan struct{}]struct{}
}

// progress of a state that goes on.
type progress struct {
	fraction    float64
	done, total int64
	since       time.Time // of the first report
	base        int64     // done at the first report
	rate        float64
}

func (b *board) init(m update.Memory) {
	b.mem = m
	b.news = make(map[chan struct{}]struct{})
}

func (b *board) set(m update.Memory) {
	b.change(func() {
		if m.Job.State != b.mem.Job.State || m.Job.ID != b.mem.Job.ID {
			b.progress, b.note, b.reasons = progress{}, "", nil
		}
		if !m.Held && !m.Loader && (b.mem.Held || b.mem.Loader) {
			b.note = "" // what stood in the way of putting the chip back is over
		}
		b.mem = m
	})
}

// hold publishes what holds the update back.
func (b *board) hold(reasons []preflight.Reason) {
	b.change(func() { b.reasons = preflight.Carry(b.reasons, reasons) })
}

func (b *board) say(note string) { b.change(func() { b.note = note }) }

// bytes reports the progress of a transfer.
func (b *board) bytes(done, total int64, now time.Time) {
	b.change(func() {
		p := &b.progress
		if p.since.IsZero() || done < p.base {
			p.since, p.base = now, done
		}
		if done > p.done {
			b.note = "" // it goes on
		}
		p.done, p.total = done, total
		if total > 0 {
			p.fraction = min(1, float64(done)/float64(total))
		}
		if s := now.Sub(p.since).Seconds(); s > 0 {
			p.rate = float64(done-p.base) / s
		}
	})
}

// part reports the progress of a time that runs.
func (b *board) part(fraction float64, note string) {
	b.change(func() {
		b.progress.fraction = max(0, min(1, fraction))
		b.note = note
	})
}

func (b *board) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	for c := range b.news {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Hitch publishes what keeps the present step from going on for a while.
func (e *Engine) Hitch(err error, again time.Duration) {
	e.pulse.beat(again)
	e.board.say(fmt.Sprintf("%v; again in %s", err, again.Round(time.Second)))
}

// News returns a channel that receives when Status has changed since it was
// last read, and the function that ends the subscription.
func (e *Engine) News() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	b := &e.board
	b.mu.Lock()
	b.news[c] = struct{}{}
	b.mu.Unlock()
	return c, func() {
		b.mu.Lock()
		delete(b.news, c)
		b.mu.Unlock()
	}
}

// Status is the state of things now.
func (e *Engine) Status() update.Status { return e.withChecks(e.status()) }

func (e *Engine) status() update.Status {
	running := installed(e.ports.Robot.Facts().Firmware)
	b := &e.board
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.mem.Job
	s := update.Status{
		State: j.State, Since: j.Since, JobID: j.ID, Kind: j.Kind, Origin: j.Request.Origin, Command: j.Request.Command,
		Running: running, Target: target(j), Slot: j.To,
		Progress: b.progress.fraction, BytesDone: b.progress.done, BytesTotal: b.progress.total, Rate: b.progress.rate,
		Reasons: slices.Clone(b.reasons), Failure: j.Failure, Held: b.mem.Held || b.mem.Loader,
	}
	// A patch is smaller than its image, so its size tells it.
	s.Patch = j.State == update.Downloading && s.BytesTotal > 0 && s.BytesTotal == j.Offer.Patch.Size
	s.Message = message(j, s, b.note)
	return s
}

func target(j update.Job) (v version) {
	switch {
	case !j.Image.Version.IsZero():
		return j.Image.Version
	case !j.Offer.Version.IsZero():
		return j.Offer.Version
	}
	return j.Request.Version
}

func installed(w robot.Firmware) update.Installed {
	return update.Installed{Slot: w.Slot, Version: w.Version, AppSHA256: w.AppSHA256}
}

// message says in one line how things stand.
func message(j update.Job, s update.Status, note string) string {
	text := sentence(j, s)
	if s.Held && j.State.Terminal() {
		text += "; the chip and its serial line are being put back"
	}
	if note != "" && !strings.Contains(text, note) {
		text += ": " + note
	}
	return text
}

func sentence(j update.Job, s update.Status) string {
	why := ""
	if j.Failure != nil {
		why = j.Failure.Text
	}
	switch j.State {
	case update.Idle:
		if why != "" {
			return "nothing to do; the last check failed: " + why
		}
		return "nothing to do"
	case update.Checking:
		return "looking for what to install"
	case update.Downloading:
		if s.Patch {
			return "downloading a patch, " + j.Offer.Patch.URL
		}
		return "downloading " + j.Offer.URL
	case update.Verifying:
		return "verifying the image"
	case update.Waiting:
		if len(s.Reasons) > 0 {
			return "waiting: " + s.Reasons[0].Text
		}
		return "asking whether the robot may be updated"
	case update.Handover:
		return "taking the serial line over"
	case update.Connecting:
		return fmt.Sprintf("connecting to the chip's loader (attempt %d)", j.Attempts)
	case update.Writing:
		return fmt.Sprintf("writing %s to %s", j.Image.Version, j.To)
	case update.Attesting:
		return fmt.Sprintf("comparing %s with the image, then switching to it", j.To)
	case update.Booting:
		return fmt.Sprintf("booting %s from %s", j.Image.Version, j.To)
	case update.Validating:
		return fmt.Sprintf("%s is on trial", j.Image.Version)
	case update.Confirmed, update.Observing:
		return fmt.Sprintf("%s is confirmed in %s", j.Image.Version, j.To)
	case update.Failed:
		return "failed: " + why
	case update.RollingBack:
		if len(s.Reasons) > 0 {
			return fmt.Sprintf("%s is to be put back (%s), and waits for the robot to stand: %s", j.From.Slot, why, s.Reasons[0].Text)
		}
		return fmt.Sprintf("putting %s back (%s)", j.From.Slot, why)
	case update.RolledBack:
		return fmt.Sprintf("rolled back to %s: %s", j.From.Slot, why)
	}
	return string(j.State)
}
