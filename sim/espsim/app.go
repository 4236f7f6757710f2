package espsim

import (
	"context"
	"time"
)

const (
	// maxFailures is how many boots in a row may fail before a firmware that is
	// not confirmed yet refuses to confirm itself. A confirmed one has nothing
	// to refuse: cut its power as often as you like.
	maxFailures = 3
	// appBaud is the rate of micro-ROS on the shared line.
	appBaud = 921600
)

// program is the running application.
type program struct {
	*booted
	c   *Chip
	nvs nvsRecord
}

// runApp is the application, until it resets itself, or power or EN end it.
func (c *Chip) runApp(ctx context.Context, u *uart, b *booted, reason string) (string, error) {
	if b.app.behaviour.name == "crash_early" {
		return resetPanic, sleep(ctx, c.cfg.AppStart)
	}
	p := &program{booted: b, c: c}
	p.nvs, _ = c.loadNVS(b.slots.nvs)
	p.nvs.boots++
	p.nvs.failures++
	if err := c.saveNVS(ctx, b.slots.nvs, p.nvs); err != nil {
		return resetPanic, fatal(ctx)
	}
	if err := sleep(ctx, c.cfg.AppStart); err != nil {
		return "", err
	}
	if p.nvs.failures > maxFailures && p.state() != stateName(stateValid) && p.refuse(ctx) {
		return resetSoft, fatal(ctx)
	}
	if p.app.behaviour.name == "crash_at_boot" {
		return resetPanic, fatal(ctx)
	}
	u.setBaud(appBaud)
	c.log.Info("application runs", "slot", slotName(p.index), "version", p.app.version, "behaviour", p.app.behaviour, "reset", reason)
	p.announce(reason)
	return p.selfTest(ctx)
}

// announce is the first word: running, its self-test under way.
func (p *program) announce(reason string) {
	b := p.app.behaviour
	st := AppStatus{
		Mode: ModeApp, Running: true, Publishing: b.name != "silent" || b.arg != "",
		Version: p.app.version, Project: p.app.project, Protocol: b.protocol, SHA256: p.app.digest,
		Slot: slotName(p.index), OTAState: p.state(), BootCount: uint64(p.nvs.boots), ResetReason: reason,
		SafetyState: "self_test", Motors: "idle", SelfTest: "running", SigningKey: b.key, Behaviour: b.String(), Drain: 1,
	}
	if b.name == "wrong_version" {
		st.Version = b.arg
	}
	p.c.update(func(s *AppStatus) { *s = st })
}

// selfTest is the first seconds, then the rest of the application's life.
func (p *program) selfTest(ctx context.Context) (string, error) {
	name := p.app.behaviour.name
	if name == "hang" {
		<-ctx.Done()
		return "", context.Cause(ctx)
	}
	if err := sleep(ctx, p.c.cfg.SelfTest); err != nil {
		return "", err
	}
	if name == "fail_self_test" {
		p.c.update(func(s *AppStatus) { s.SelfTest, s.SafetyState = "failed", "fault" })
		// It says so once, then takes itself out.
		if err := sleep(ctx, p.c.cfg.Restart); err != nil {
			return "", err
		}
		if p.refuse(ctx) {
			return resetSoft, fatal(ctx)
		}
		<-ctx.Done()
		return "", context.Cause(ctx)
	}
	p.nvs.failures = 0
	if err := p.c.saveNVS(ctx, p.slots.nvs, p.nvs); err != nil {
		return resetPanic, fatal(ctx)
	}
	if name != "no_confirm" && p.state() != stateName(stateValid) {
		if err := p.mark(ctx, stateValid); err != nil {
			return resetPanic, fatal(ctx)
		}
	}
	p.c.update(func(s *AppStatus) {
		s.SelfTest, s.SafetyState, s.OTAState = "passed", "normal", p.state()
	})
	return p.later(ctx)
}

// later is what an application does that has passed its self-test.
func (p *program) later(ctx context.Context) (string, error) {
	b := p.app.behaviour
	if b.after > 0 || b.name == "crash_after" {
		t := time.NewTimer(b.after)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
		switch b.name {
		case "crash_after":
			return resetPanic, nil
		case "silent":
			p.c.update(func(s *AppStatus) { s.Publishing = false })
		case "goes_bad_after":
			p.c.update(func(s *AppStatus) { s.SafetyState = "fault" })
		case "estop_after":
			p.c.update(func(s *AppStatus) { s.EStop, s.SafetyState = true, "estop" })
		case "drain_after":
			p.c.update(func(s *AppStatus) { s.Drain = 3 })
		}
	}
	<-ctx.Done()
	return "", context.Cause(ctx)
}

// state is esp_ota_get_state_partition of the running slot.
func (p *program) state() string {
	if p.slots.otadata.size < 2*sectorSize {
		return stateName(stateUndefined)
	}
	return slotState(p.c.readOTA(p.slots.otadata), p.index, p.slots.count)
}

// slotState is the state in the first entry that holds a slot; "undefined" for
// the factory slot and for one that no entry holds.
func slotState(e [2]otaEntry, index, count int) string {
	for _, x := range e {
		if index >= 0 && count > 0 && x.crc == seqCRC(x.seq) && int((x.seq-1)%uint32(count)) == index {
			return stateName(x.state)
		}
	}
	return stateName(stateUndefined)
}

// mark is esp_ota_mark_app_valid_cancel_rollback, or what
// esp_ota_mark_app_invalid_rollback_and_reboot does before it reboots. Both
// change the entry that is active, whatever slot runs; a factory application,
// which has no entry, leaves them alone.
func (p *program) mark(ctx context.Context, state uint32) error {
	if p.index < 0 || p.slots.otadata.size < 2*sectorSize {
		return nil
	}
	e := p.c.readOTA(p.slots.otadata)
	i := active(e)
	if i < 0 || e[i].state == state {
		return nil
	}
	e[i].state = state
	return p.c.writeOTA(ctx, p.slots.otadata, i, e[i])
}

// refuse marks the running image invalid, where there is another to go back
// to; the caller reboots then.
func (p *program) refuse(ctx context.Context) bool {
	if !p.wayBack() {
		return false
	}
	if err := p.mark(ctx, stateInvalid); err != nil {
		return true // the power went, or the flash fails: a reset either way
	}
	p.nvs.failures = 0
	_ = p.c.saveNVS(ctx, p.slots.nvs, p.nvs)
	return true
}

// wayBack is esp_ota_check_rollback_is_possible: the slot of the other entry
// holds an image that checks, or, where that entry is ruled out, the factory
// slot does.
func (p *program) wayBack() bool {
	if p.index < 0 || p.slots.otadata.size < 2*sectorSize {
		return false
	}
	e := p.c.readOTA(p.slots.otadata)
	i := active(e)
	if i < 0 || p.slots.count == 0 {
		return false
	}
	back := p.slots.factory
	if other := e[1-i]; other.valid() {
		back = p.slots.at(int((other.seq - 1) % uint32(p.slots.count)))
	}
	_, err := p.c.try(back)
	return err == nil
}
