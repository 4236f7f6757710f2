package check

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/doctor"
	"github.com/robot-platform/robot-ota/agent/internal/dtlslink"
)

// DTLS shakes hands with the firmware's DTLS server once, and tells how the
// agent's own handshakes (seen; nil: none) went.
func DTLS(cfg config.DTLS, seen *control.DTLS) doctor.Check {
	return doctor.Check{Name: "dtls", About: "the firmware's DTLS server", Run: func(ctx context.Context) []doctor.Finding {
		if cfg.Address == "" {
			return []doctor.Finding{doctor.Skip("no DTLS server is configured (dtls.address)")}
		}
		var findings []doctor.Finding
		if f, tried := handshake(ctx, cfg); tried || seen == nil {
			findings = append(findings, f)
		}
		if seen != nil && seen.Tries > 0 {
			findings = append(findings, handshakes(seen))
		}
		return findings
	}}
}

// handshake tries one; false: this user may not read the key.
func handshake(ctx context.Context, cfg config.DTLS) (doctor.Finding, bool) {
	identity, key, err := dtlslink.LoadKey(cfg.KeyFile)
	switch {
	case unseen(err):
		return doctor.Skip("%s may not be read by this user: %s", cfg.KeyFile, asRoot), false
	case err != nil:
		return doctor.Bad("write the key as 32 hex digits, or identity:digits, into that file, mode 0600, owned by the agent's user", "%v", err), true
	}
	if cfg.Identity != "" {
		identity = cfg.Identity
	}
	probe, err := dtlslink.New(dtlslink.Config{Address: cfg.Address, Identity: identity, Key: key}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return doctor.Bad("correct section dtls of the configuration", "%v", err), true
	}
	took, err := probe.Once(ctx)
	switch {
	case errors.Is(err, dtlslink.ErrNotTried):
		return doctor.Bad("see that dtls.address is the firmware's, and that this computer has a route to it", "%v", err), true
	case errors.Is(err, context.DeadlineExceeded):
		return doctor.Bad(fmt.Sprintf("see that the firmware runs and is on the network (ping its address), that it listens on UDP %s, and that no firewall is between", cfg.Address),
			"no handshake with %s within %s", cfg.Address, dtlslink.DefaultTimeout), true
	case err != nil:
		return doctor.Bad("see that identity and key are those that the firmware has: dtls.identity (robot_ and the last four bytes of its MAC) and "+cfg.KeyFile, "%v", err), true
	}
	return doctor.Good("%s shook hands with %s in %s", cfg.Address, identity, took.Round(time.Millisecond)), true
}

// tooMany handshakes that fail roll a new firmware back.
const tooMany = 0.05

func handshakes(d *control.DTLS) doctor.Finding {
	if d.Failures == 0 {
		return doctor.Good("all of the agent's %d handshakes went well", d.Tries)
	}
	rate := float64(d.Failures) / float64(d.Tries)
	if rate <= tooMany {
		return doctor.Good("of the agent's %d handshakes %d failed", d.Tries, d.Failures)
	}
	return doctor.Doubt("look at the network between this computer and the ESP32 (Wi-Fi signal), and at the firmware's log",
		"of the agent's %d handshakes %d failed, %.0f %%; an update after which that is so is rolled back%s", d.Tries, d.Failures, 100*rate, why(d.Err))
}

func why(err string) string {
	if err == "" {
		return ""
	}
	return ". The latest: " + err
}
