package hawkbit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// absent is about what the server offers no more: ends that it has taken are
// done with, what was not begun is forgotten, and a job is given up while that
// is free.
func (l *Link) absent(ctx context.Context, r root) error {
	l.mu.Lock()
	l.ledger.Actions = slices.DeleteFunc(l.ledger.Actions, func(a action) bool {
		return a.End == nil && a.ID != r.deployment.id && a.ID != l.job.action
	})
	l.ledger.change(func(a *action) {
		if a.ID != r.deployment.id && a.End != nil && a.End.Taken && !a.End.Gone {
			end := *a.End
			end.Gone = true
			a.End = &end
		}
	})
	l.keep()
	l.mu.Unlock()
	at := l.busyWith()
	if at == "" || at == r.deployment.id {
		return nil
	}
	err := l.giveUp(ctx, at, "the server does not offer it any more")
	if tooLate(err) {
		return nil // it goes on, and the server hears how it ends
	}
	return err
}

// deploy is about the action that the server offers.
func (l *Link) deploy(ctx context.Context, t target) error {
	stands, a := l.stands(t.id)
	if stands == over { // it did not hear, or has forgotten
		l.edit(ctx, t.id, func(a *action) {
			end := *a.End
			end.Taken = false
			a.End = &end
		})
		return l.conclude(ctx)
	}
	if stands == atWork && (l.busyWith() != t.id || a.Hold == "" && t.url == l.loop.read) {
		return nil // the chip is at it, or nothing has changed
	}
	d, found, err := l.deployment(ctx, t)
	if err != nil || !found {
		return err
	}
	l.loop.read = t.url
	if stands == atWork {
		return l.adjust(ctx, a, d)
	}
	if d.Deployment.Download == skip {
		l.once("the server wants its deployment left alone for now", t.id)
		return nil
	}
	o, err := l.judge(l.robot.Facts().Firmware.Version).offer(d)
	var bad *AnswerError
	if errors.As(err, &bad) {
		l.log.Error("the hawkBit server's deployment cannot be followed", "action", t.id, "code", bad.code, "why", bad.Reason)
		l.mu.Lock()
		l.ledger.put(action{ID: t.id, End: &ending{Details: clipped([]string{"the robot was not updated", bad.code + ": " + bad.Reason})}})
		l.keep()
		l.mu.Unlock()
		return l.conclude(ctx)
	}
	if err != nil {
		return err
	}
	return l.begin(ctx, t.id, d.held(), o)
}

// adjust follows a change of the deployment that is being worked at.
func (l *Link) adjust(ctx context.Context, a action, d deployment) error {
	if h := d.held(); h != a.Hold {
		l.log.Info("the hawkBit server's deployment has changed", "action", a.ID, "held back", h)
		l.edit(ctx, a.ID, func(a *action) { a.Hold = h })
	}
	l.mu.Lock()
	was := l.job.forced
	l.mu.Unlock()
	if is := d.Deployment.Update == forced; !is || was {
		return nil
	}
	// What was offered softly is offered by force now: begun anew, with the
	// image that is in the store.
	err := l.giveUp(ctx, a.ID, "the server insists on it now, and it is begun anew")
	l.loop.due = time.Now().Add(again)
	if tooLate(err) {
		return nil
	}
	return err
}

// begin triggers the engine.
func (l *Link) begin(ctx context.Context, id, hold string, o update.Offer) error {
	if !l.robot.Facts().Firmware.Heard() {
		return l.postpone(ctx, id, "the firmware has not said yet which version it is")
	}
	l.mu.Lock()
	l.seen = seen{id: id, hold: hold, offer: o, at: time.Now(), handed: true}
	l.mu.Unlock()
	job, err := l.engine.Trigger(ctx, update.Request{Origin: update.FromHawkbit, Command: release(id)})
	if err == nil {
		l.log.Info("update begun", "action", id, "job", job, "version", o.Version, "forced", o.Forced, "held back", hold)
		return nil
	}
	l.mu.Lock()
	l.seen.handed = false
	l.mu.Unlock()
	var busy *update.BusyError
	if errors.As(err, &busy) {
		return l.postpone(ctx, id, err.Error())
	}
	return fmt.Errorf("begin the update: %w", err)
}

// postpone tells why an action is not begun yet, and has it tried again as
// soon as it can be.
func (l *Link) postpone(ctx context.Context, id, why string) error {
	l.loop.wanted = true
	_, a := l.stands(id)
	key := id + " " + why
	if key == l.loop.why || time.Since(l.loop.told) < deferPause || a.Told >= maxTold {
		return nil
	}
	err := l.feedback(ctx, relDeployment, id, newFeedback(id, scheduled, none, "waiting: "+why))
	if err != nil && !settled(err) {
		return err
	}
	l.log.Info("the hawkBit server's deployment has to wait", "action", id, "why", why)
	l.loop.why, l.loop.told = key, time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	a, _ = l.ledger.find(id)
	a.Told++
	l.ledger.put(a)
	l.keep()
	return nil
}

// cancel answers a request to stop an action.
func (l *Link) cancel(ctx context.Context, t target) error {
	doc, err := l.client.get(ctx, t.url, "", maxCancel)
	if s := status(err); s == http.StatusNotFound || s == http.StatusGone {
		return nil
	}
	if err != nil {
		return err
	}
	id, err := parseCancel(doc.body)
	if err != nil {
		return err
	}
	refusal, err := l.stop(ctx, id)
	if err != nil {
		return err
	}
	fb := newFeedback(t.id, closed, success, "the update is given up; the firmware that runs was not touched")
	if refusal != "" {
		fb = newFeedback(t.id, rejected, none, refusal)
	}
	err = l.feedback(ctx, relCancel, t.id, fb)
	if err != nil && !settled(err) {
		return err
	}
	l.log.Info("cancellation answered", "action", id, "refused", refusal, "err", err)
	if refusal == "" {
		l.mu.Lock()
		l.ledger.forget(id)
		l.keep()
		l.mu.Unlock()
	}
	l.soon(relCancel, t.id)
	return nil
}

// stop has the engine give an action up; refusal says why it cannot be.
func (l *Link) stop(ctx context.Context, id string) (refusal string, err error) {
	switch stands, a := l.stands(id); {
	case stands == over && a.End.Success:
		return "it is installed and confirmed: to go back, roll it back", nil
	case stands != atWork:
		return "", nil
	case l.busyWith() != id:
		return fmt.Sprintf("the chip is being written or on trial (%s): it ends by itself", l.engine.Status().State), nil
	}
	err = l.giveUp(ctx, id, "cancelled at the server")
	if tooLate(err) {
		return "the chip is being written or on trial: it ends by itself", nil
	}
	return "", err
}

// tooLate: the engine has gone past the point at which it can give up.
func tooLate(err error) bool {
	var busy *update.BusyError
	return errors.Is(err, update.ErrTooLate) || errors.As(err, &busy)
}

// confirm answers a request for consent.
func (l *Link) confirm(ctx context.Context, t target) error {
	if !l.cfg.Confirm {
		l.once("a deployment waits for consent at the hawkBit server: give it there, or set server.hawkbit.consent: auto", t.id)
		return nil
	}
	err := l.client.send(ctx, http.MethodPost, l.client.at(relConfirmation, t.id, "feedback"), consent{
		Confirmation: "confirmed", Details: []string{"by the robot's configuration (server.hawkbit.consent: auto)"},
	})
	if err != nil && !settled(err) {
		return err
	}
	l.log.Info("consent given", "action", t.id, "err", err)
	l.soon(relConfirmation, t.id)
	return nil
}

// consent is the answer to a request for it.
type consent struct {
	Confirmation string   `json:"confirmation"`
	Details      []string `json:"details,omitempty"`
}

// soon has the next poll come at once after an answer that changes what there
// is to do; once for each.
func (l *Link) soon(rel, id string) {
	if key := rel + " " + id; l.loop.answered != key {
		l.loop.answered = key
		l.loop.due = time.Now().Add(again)
	}
}

// once logs what is left alone, and not at each poll.
func (l *Link) once(text, id string) {
	if key := text + id; l.loop.noted != key {
		l.loop.noted = key
		l.log.Info(text, "action", id)
	}
}

// attributes tells the server what this robot is and runs, where it asks for
// that or does not know it. While an update goes on, what runs is not settled.
func (l *Link) attributes(ctx context.Context, asked bool) error {
	now := l.describe()
	l.mu.Lock()
	due := asked || !l.ledger.told(now) && !l.job.state.Busy()
	l.mu.Unlock()
	if !due {
		return nil
	}
	err := l.client.send(ctx, http.MethodPut, l.client.at(relConfig), configData{Mode: "merge", Data: now})
	if err != nil && !settled(err) {
		return err
	}
	if err != nil {
		l.log.Warn("the hawkBit server does not take the robot's attributes", "err", err)
	}
	l.mu.Lock()
	l.ledger.Attributes = now
	l.keep()
	l.mu.Unlock()
	return nil
}

// describe gives the robot's attributes. hw_boardname and sw_version are what
// SWUpdate calls two of them: goosebit goes by those names.
func (l *Link) describe() map[string]string {
	w := l.robot.Facts().Firmware
	l.mu.Lock()
	o := l.ledger.Last
	l.mu.Unlock()
	out := map[string]string{
		"robot_id": l.cfg.RobotID, "sku": l.cfg.SKU, "hw_boardname": l.cfg.SKU,
		"companion_version": l.cfg.Companion, "agent_version": l.cfg.Agent,
	}
	if w.Heard() {
		out["firmware_version"], out["sw_version"], out["slot"] = w.Version.String(), w.Version.String(), w.Slot
	}
	if o.Outcome != "" {
		out["last_outcome"], out["last_version"], out["last_action"] = string(o.Outcome), o.Version, o.Action
		out["last_reason"], out["last_at"] = o.Reason, o.At.UTC().Format(time.RFC3339)
	}
	for k, v := range out {
		out[k] = attribute(v)
	}
	return out
}
