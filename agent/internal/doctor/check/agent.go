package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/doctor"
	"github.com/robot-platform/robot-ota/agent/internal/handover"
	"github.com/robot-platform/robot-ota/agent/internal/journal"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// unitName is the service that the package installs.
const unitName = "robot-ota.service"

// Agent looks at the agent itself: that it runs, is of this program's version,
// gets on, did not die before, and holds nothing that it should have given
// back. asked is how asking it went: nil with a health, or why there is none.
// dir is the state directory, "" where it is not known.
func Agent(h *control.Health, asked error, version string, units Units, dir string) doctor.Check {
	return doctor.Check{Name: "agent", About: "the agent itself and its service", Run: func(ctx context.Context) []doctor.Finding {
		if h == nil {
			return append(notRunning(ctx, asked, units), leftBehind(dir)...)
		}
		findings := []doctor.Finding{running(h, version)}
		findings = append(findings, holding(h)...)
		if h.FoundHeld {
			findings = append(findings, doctor.Doubt("look at why it ended: journalctl -u robot-ota -b, and -b -1", "the agent before this one ended while it had the chip or its line; this one took care of both"))
		}
		if h.Damaged != "" {
			findings = append(findings, doctor.Doubt("look at the disk: dmesg, smartctl", "its memory was damaged when it started, and put aside as %s", h.Damaged))
		}
		return append(findings, service(ctx, h, units)...)
	}}
}

func running(h *control.Health, version string) doctor.Finding {
	since := h.Started.Local().Format(time.DateTime)
	switch {
	case h.Stuck != "":
		return doctor.Bad("journalctl -u robot-ota; systemd restarts it unless it gets on", "the agent is stuck: %s", h.Stuck)
	case h.Version != version:
		return doctor.Doubt(restart, "the agent that runs is version %s, this program %s: it was not restarted after the upgrade", h.Version, version)
	}
	return doctor.Good("version %s runs since %s (pid %d)", h.Version, since, h.PID)
}

// holding: that the chip is in the agent's hands is right while an update goes
// on, and a debt afterwards.
func holding(h *control.Health) []doctor.Finding {
	s := h.Status
	switch {
	case s.State.Busy():
		return []doctor.Finding{doctor.Good("an update goes on: %s", s.Message)}
	case s.Held:
		return []doctor.Finding{doctor.Bad("plug the cable in and give the chip power: the agent goes on trying; ota-agent status --watch shows how", "the chip or its line is still in the agent's hands: %s", s.Message)}
	}
	return nil
}

func service(ctx context.Context, h *control.Health, units Units) []doctor.Finding {
	s, err := units.Service(ctx, unitName)
	if err != nil || s.Load == "not-found" {
		return nil // it was started by somebody else: a workspace, a test
	}
	var findings []doctor.Finding
	if s.Restarts > 0 {
		findings = append(findings, doctor.Doubt("journalctl -u robot-ota | grep -B20 'Scheduled restart'", "systemd has restarted it %d times; its last run ended as %q", s.Restarts, s.Result))
	}
	if s.Watchdog > 0 && h.Watchdog == 0 && s.Active == "active" {
		findings = append(findings, doctor.Doubt(restart+"; if that does not help, systemctl cat robot-ota", "systemd's watchdog is on for the service, and this agent is not part of it: a second one runs?"))
	}
	if s.Enabled == "disabled" {
		findings = append(findings, doctor.Doubt("systemctl enable robot-ota", "the service is not started at boot"))
	}
	if len(findings) == 0 && s.Watchdog > 0 {
		findings = append(findings, doctor.Good("systemd watches it, and has not had to restart it"))
	}
	return findings
}

// notRunning tells why there is nobody to ask.
func notRunning(ctx context.Context, asked error, units Units) []doctor.Finding {
	var refused *control.Problem
	switch {
	case errors.Is(asked, control.ErrDenied):
		return []doctor.Finding{doctor.Doubt(asRoot+", or join its group: usermod -aG robot-ota $USER, then log in again", "%v: what only the running agent knows is left out", asked)}
	case errors.As(asked, &refused) && refused.Code == control.NotFound:
		return []doctor.Finding{doctor.Doubt(restart, "the agent that runs is older than this program and cannot be asked for its health")}
	case asked != nil && !errors.Is(asked, control.ErrUnreachable):
		return []doctor.Finding{doctor.Bad("journalctl -u robot-ota", "the agent does not answer as it should: %v", asked)}
	}
	s, err := units.Service(ctx, unitName)
	switch {
	case err != nil || s.Load == "not-found":
		return []doctor.Finding{doctor.Bad("systemctl start robot-ota, or without the package `ota-agent run`", "no agent runs")}
	case s.Active == "failed":
		return []doctor.Finding{doctor.Bad(failedAdvice(s), "the service has failed (%s)", s.Result)}
	case s.Active == "activating":
		return []doctor.Finding{doctor.Doubt("wait, and look: systemctl status robot-ota", "the service is starting, or waits for its restart (%s, %d so far)", s.Result, s.Restarts)}
	}
	return []doctor.Finding{doctor.Bad("systemctl start robot-ota", "no agent runs: the service is %s", s.Active)}
}

func failedAdvice(s handover.Service) string {
	if s.Result == "start-limit-hit" {
		return "journalctl -u robot-ota -n 50 tells what it died of; then systemctl reset-failed robot-ota && systemctl start robot-ota"
	}
	return "journalctl -u robot-ota -n 50 tells why; then systemctl start robot-ota"
}

// leftBehind looks at what an agent that ended has left undone.
func leftBehind(dir string) []doctor.Finding {
	if dir == "" {
		return nil
	}
	m, err := journal.Look(dir).Memory()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return nil // the check of the state directory tells
	}
	var left []string
	if m.Loader {
		left = append(left, "the chip may sit in its serial loader")
	}
	if m.Held {
		left = append(left, "the micro-ROS agent may be stopped")
	}
	if m.Job.State.Busy() {
		left = append(left, fmt.Sprintf("update %s is %s", m.Job.ID, m.Job.State))
	}
	if m.Job.State == update.Observing {
		left = append(left, fmt.Sprintf("firmware %s is not observed any more", m.Job.Image.Version))
	}
	if len(left) == 0 {
		return nil
	}
	return []doctor.Finding{doctor.Bad("start the agent, which takes it up again: systemctl start robot-ota", "the agent that ended has left this behind: %s", strings.Join(left, "; "))}
}
