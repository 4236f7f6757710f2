package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// Plan says what a request would do and what stands in its way, and touches
// nothing: it asks the update server, but downloads no image.
func (e *Engine) Plan(ctx context.Context, r update.Request) (update.Plan, error) {
	r = r.Normalized()
	if err := r.Validate(); err != nil {
		return update.Plan{}, err
	}
	w := e.ports.Robot.Facts().Firmware
	p := update.Plan{Running: installed(w), Slot: other(w.Slot)}
	offer := update.Offer{URL: r.URL, SHA256: r.SHA256, Version: r.Version}
	if r.URL == "" {
		o, found, err := e.offered(ctx, r)
		if err != nil {
			return update.Plan{}, err
		}
		if !found {
			p.Message = fmt.Sprintf("nothing to do: the update server has nothing newer than %s", w.Version)
			return p, nil
		}
		offer = o
	} else if err := e.vouched(ctx, offer); err != nil {
		return update.Plan{}, err
	}
	p.Target = offer.Version
	p.Estimate = e.estimate(offer.Size)
	p.Reasons = e.shut(update.Job{Request: r, Offer: offer}, time.Now())
	p.WouldUpdate, p.Message = e.planned(r, offer, p)
	return p, nil
}

func (e *Engine) planned(r update.Request, o update.Offer, p update.Plan) (bool, string) {
	e.board.mu.Lock()
	m := e.board.mem
	e.board.mu.Unlock()
	m.Job.Request.Force = r.Force
	what := o.Version.String()
	if o.Version.IsZero() {
		what = "the image at " + o.URL
	}
	switch err := e.notAgain(m, o.Version); {
	case m.Job.State.Busy() || m.Held:
		return false, (&update.BusyError{JobID: m.Job.ID, State: m.Job.State, Held: m.Held}).Error()
	case err != nil:
		return false, err.Error()
	case !o.Version.IsZero() && o.Version.Compare(p.Running.Version) <= 0 && !r.Force:
		return false, fmt.Sprintf("%s is not newer than %s, which runs; force it to install it all the same", o.Version, p.Running.Version)
	case len(p.Reasons) > 0:
		return false, fmt.Sprintf("%s would be fetched and would then wait: %s", what, p.Reasons[0].Text)
	}
	return true, fmt.Sprintf("%s would be installed to %s now", what, p.Slot)
}

// other is the slot that an update is expected to go to. The chip itself
// decides when it is connected.
func other(running string) string {
	switch running {
	case "ota_0":
		return "ota_1"
	case "factory", "ota_1":
		return "ota_0"
	}
	return ""
}

// Figures for estimates: what an image deflates to, how many bits a byte takes
// on the line, and what hand-over, connecting, attesting and booting take.
const (
	deflated    = 0.6
	bitsPerByte = 10
	overhead    = 8 * time.Second
	usualImage  = 1 << 20
)

// estimate of the time from the download's end to the confirmation.
func (e *Engine) estimate(size int64) time.Duration {
	if size <= 0 {
		size = usualImage
	}
	wire := float64(size) * deflated * bitsPerByte / float64(max(e.cfg.Baud, 1))
	return (overhead + e.policy().Settle + e.cfg.Trial.Window + time.Duration(wire*float64(time.Second))).Round(time.Second)
}
