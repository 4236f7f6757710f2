package engine

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
)

type version = compat.Version

// emit hands an event to the state machine.
type emit func(update.Event)

// perform does one effect, and reports what came of it unless it was ended.
func (e *Engine) perform(ctx context.Context, m update.Memory, eff update.Effect, out emit) {
	do := map[update.Effect]func(context.Context, update.Memory, emit) error{
		update.DoCheck:    e.check,
		update.DoDownload: e.download,
		update.DoVerify:   e.verify,
		update.DoAskGates: e.askGates,
		update.DoTakeLine: e.takeLine,
		update.DoConnect:  e.connect,
		update.DoWrite:    e.write,
		update.DoAttest:   e.attest,
		update.DoSwitch:   e.switchSlot,
		update.DoRelease:  e.release,
		update.DoAwait:    e.await,
		update.DoWatch:    e.watch,
		update.DoConfirm:  e.confirm,
		update.DoObserve:  e.observe,
		update.DoStand:    e.stand,
		update.DoRestore:  e.restore,
		update.DoBorrow:   e.borrow,
		update.DoVisit:    e.visit,
	}[eff]
	err := do(ctx, m, out)
	if err == nil || ctx.Err() != nil {
		return
	}
	e.log.Warn("update step failed", "job", m.Job.ID, "state", m.Job.State, "effect", eff, "err", err)
	out(update.EffectFailed{Code: code(err, m.Job.State), Text: text(err), Retry: mayRetry(err)})
}

// text of a failure, for people. Where it may be more than a mistake, it names
// the attack that failed.
func text(err error) string {
	var a interface{ Attack() string }
	if errors.As(err, &a) && a.Attack() != "" {
		return err.Error() + " (possible attack: " + a.Attack() + ")"
	}
	return err.Error()
}

// A failure is an error that the engine itself finds.
type failure struct{ code, text string }

func (f *failure) Error() string { return f.text }
func (f *failure) Code() string  { return f.code }

func failf(code, format string, args ...any) error {
	return &failure{code, fmt.Sprintf(format, args...)}
}

// code of an error, for machines: its own where it has one.
func code(err error, s update.State) string {
	var refused *image.Refused
	if errors.As(err, &refused) {
		return string(refused.Code)
	}
	var coded interface{ Code() string }
	if errors.As(err, &coded) && coded.Code() != "" {
		return coded.Code()
	}
	return string(s) + "_failed"
}

// mayRetry: what the engine or an adapter calls final is not tried again.
func mayRetry(err error) bool {
	var f *failure
	if errors.As(err, &f) {
		return false
	}
	var final interface{ Final() bool }
	return !errors.As(err, &final) || !final.Final()
}

func (e *Engine) check(ctx context.Context, m update.Memory, out emit) error {
	r := m.Job.Request
	if r.URL != "" {
		o := update.Offer{URL: r.URL, SHA256: r.SHA256, Version: r.Version}
		if err := e.notAgain(m, r.Version); err != nil {
			return err
		}
		if err := e.vouched(ctx, o); err != nil {
			return err
		}
		out(update.Resolved{Offer: o})
		return nil
	}
	if err := e.hearFirst(ctx); err != nil {
		return err
	}
	o, found, err := e.offered(ctx, r)
	switch {
	case err != nil:
		return err
	case !found:
		out(update.NothingNewer{})
		return nil
	}
	if err := e.notAgain(m, o.Version); err != nil {
		if r.Origin == update.FromSchedule {
			e.log.Info("the update server's offer failed here before", "version", o.Version)
			out(update.NothingNewer{})
			return nil
		}
		return err
	}
	out(update.Resolved{Offer: o})
	return nil
}

// offered asks the update server, and holds its answer against the request.
func (e *Engine) offered(ctx context.Context, r update.Request) (update.Offer, bool, error) {
	o, found, err := e.question(ctx)
	if ctx.Err() == nil {
		e.checked(o, r.Origin, err)
	}
	if err != nil || !found {
		return update.Offer{}, false, err
	}
	if !r.Version.IsZero() && o.Version != r.Version {
		return update.Offer{}, false, failf("version_not_offered", "the update server offers %s, not %s", o.Version, r.Version)
	}
	if r.SHA256 != "" && o.SHA256 != r.SHA256 {
		return update.Offer{}, false, failf("image_not_offered", "the update server offers an image with another SHA-256 than the one asked for")
	}
	return o, true, nil
}

// notAgain refuses a version that was put back on this robot.
func (e *Engine) notAgain(m update.Memory, v compat.Version) error {
	if b, bad := m.BadVersion(v); bad && !m.Job.Request.Force {
		return failf("failed_before", "version %s was put back on this robot at %s (%s); force it to try again",
			v, b.At.UTC().Format(time.RFC3339), b.Text)
	}
	return nil
}

func (e *Engine) download(ctx context.Context, m update.Memory, out emit) error {
	got, err := e.ports.Images.Fetch(ctx, m.Job.Offer, e.transfer)
	if err != nil {
		return err
	}
	out(got)
	return nil
}

func (e *Engine) transfer(done, total int64) {
	e.pulse.beat(0)
	e.board.bytes(done, total, time.Now())
}

func (e *Engine) verify(ctx context.Context, m update.Memory, out emit) error {
	v, err := e.prove(ctx, m)
	if err != nil {
		return err
	}
	if err := e.notAgain(m, v.Version()); err != nil {
		return err
	}
	running := e.ports.Robot.Facts().Firmware
	if running.Heard() && running.Version == v.Version() && !m.Job.Request.Force {
		if running.AppSHA256 == digest(v) {
			return failf("already_running", "the robot already runs this very image, %s", v.Version())
		}
		return failf("same_version", "the robot already runs another image of the same version %s; force it to install this one", v.Version())
	}
	out(update.Proven{Image: update.Image{
		Version: v.Version(), FileSHA256: m.Job.Offer.SHA256, AppSHA256: digest(v), Size: v.Size(), Key: v.KeyID(),
	}})
	return nil
}

// digest is the image's own SHA-256, as the running firmware will report it.
func digest(v image.Verified) string {
	d := v.App().Digest
	return hex.EncodeToString(d[:])
}

// prove verifies the job's stored file, demands that the fleet's owner stands
// for it where that is asked for, and keeps the result for the write.
func (e *Engine) prove(ctx context.Context, m update.Memory) (image.Verified, error) {
	expect := m.Job.Request.Version
	if expect.IsZero() {
		expect = m.Job.Offer.Version
	}
	v, err := e.ports.Images.Verify(ctx, m.Job.Offer.SHA256, image.Policy{
		Chip: e.cfg.Chip, SKU: e.cfg.SKU, Running: e.ports.Robot.Facts().Firmware.Version,
		AllowDowngrade: m.Job.Request.Force, Version: expect,
	})
	if err != nil {
		return image.Verified{}, err
	}
	f := m.Job.Offer.File()
	f.Version, f.Size = v.Version(), image.HeaderSize+int64(v.Size()) // what it is now that it is here
	if err := e.stands(ctx, f, m.Job.State == update.Verifying || m.Job.State == update.Handover); err != nil {
		return image.Verified{}, err
	}
	e.verified = v
	return v, nil
}
