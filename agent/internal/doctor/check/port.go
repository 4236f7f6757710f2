package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/doctor"
	"github.com/robot-platform/robot-ota/agent/internal/serialport"
)

// udevLink is the name that udev/60-robot-ota.rules gives the adapter.
const udevLink = "/dev/ota-esp32"

// Port looks at the serial port without opening it: that it is there and a tty,
// that the agent may use it, and who has it now. self is the running agent, 0:
// none runs.
func Port(cfg config.Config, agent Identity, self int) doctor.Check {
	return doctor.Check{Name: "port", About: "the serial port of the ESP32", Run: func(ctx context.Context) []doctor.Finding {
		port := cfg.Serial.Port
		if strings.HasPrefix(port, "rfc2217://") {
			return []doctor.Finding{remotePort(ctx, port)}
		}
		n, err := serialport.Look(port)
		if err != nil {
			return []doctor.Finding{noPort(port, err)}
		}
		findings := []doctor.Finding{portNode(port, n, agent)}
		if f, several := ambiguous(port); several {
			findings = append(findings, f)
		}
		return append(findings, holders(ctx, cfg, self)...)
	}}
}

// remotePort is not connected to: many servers open the port for a client that
// comes, which may reset the chip, and turn the next one away.
func remotePort(ctx context.Context, port string) doctor.Finding {
	u, err := url.Parse(port)
	if err != nil {
		return doctor.Bad("write serial.port as rfc2217://host:port", "%v", err)
	}
	addrs, err := net.DefaultResolver.LookupHost(ctx, u.Hostname())
	if err != nil {
		return doctor.Bad(fmt.Sprintf("correct the host in serial.port, or its entry in the name service: getent hosts %s", u.Hostname()), "%s: %v", port, err)
	}
	return doctor.Good("%s is a serial server at %s; not connected to, as that may reset the chip: --reset tries it", port, list(addrs))
}

func noPort(port string, err error) doctor.Finding {
	if errors.Is(err, serialport.ErrNotTTY) {
		return doctor.Bad("set serial.port to the device of the ESP32, such as "+udevLink, "%v", err)
	}
	do := "plug the cable in, or set serial.port to the device of the ESP32: ls -l " + udevLink + " /dev/ttyUSB* /dev/ttyACM*"
	if target, lerr := os.Readlink(port); lerr == nil {
		do = fmt.Sprintf("plug the cable in: %s leads to %s, which is gone", port, target)
	} else if c := serialport.Candidates(); port == udevLink && len(c) > 0 {
		do = fmt.Sprintf("let udev name it: `udevadm control --reload && udevadm trigger --subsystem-match=tty`, then `udevadm test $(udevadm info -q path %s)` tells why not", c[0].Path)
	}
	return doctor.Bad(do, "%v", err)
}

func portNode(port string, n serialport.Node, agent Identity) doctor.Finding {
	what := n.Path
	if n.USB != (serialport.USB{}) {
		what = serialport.Device{Path: n.Path, USB: n.USB}.String()
	}
	if n.Path != port {
		what = port + ", which is " + what + ","
	}
	var closed *closedError
	if err := agent.reach(n.Path, read|write); errors.As(err, &closed) {
		group := groupName(int(n.GID))
		if group == "root" || n.Mode>>3&6 != 6 {
			return doctor.Bad("install udev/60-robot-ota.rules, which gives it to the group dialout, and `udevadm trigger --subsystem-match=tty`", "%v", closed)
		}
		return doctor.Bad(fmt.Sprintf("usermod -aG %s %s, then %s", group, agent.Name, restart), "%v", closed)
	}
	return doctor.Good("%s is there, and open to %s", what, agent.Name)
}

// ambiguous: with several adapters udev names any one of them.
func ambiguous(port string) (doctor.Finding, bool) {
	all := serialport.Candidates()
	if port != udevLink || len(all) < 2 {
		return doctor.Finding{}, false
	}
	var names []string
	for _, d := range all {
		names = append(names, d.String())
	}
	return doctor.Doubt("pick one by its serial number: the head of /usr/lib/udev/rules.d/60-robot-ota.rules shows how",
		"%d adapters could be the ESP32's, and which of them is called %s is chance: %s", len(all), udevLink, list(names)), true
}

// maxHolders of a port that are told; a lock file and an open file may be two.
const maxHolders = 3

// holders says who has the port, and whether that is who is expected to.
func holders(ctx context.Context, cfg config.Config, self int) []doctor.Finding {
	all, err := serialport.Holders(ctx, cfg.Serial.Port, "")
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return []doctor.Finding{doctor.Skip("who has it: %v", err)}
	case len(all) == 0:
		return []doctor.Finding{doctor.Good("nobody has it now")}
	}
	var findings []doctor.Finding
	for _, h := range all[:min(len(all), maxHolders)] {
		findings = append(findings, holder(h, cfg.MicroROS, self))
	}
	return findings
}

func holder(h serialport.Holder, m config.MicroROS, self int) doctor.Finding {
	switch {
	case h.PID == self:
		return doctor.Good("the agent itself has it now")
	case h.Unit != "" && h.Unit == m.Unit:
		return doctor.Good("%s has it, and is stopped for a flash", h.Unit)
	case m.Unit == "" && len(m.Stop) > 0:
		return doctor.Good("%s has it; microros.stop is to end that for a flash", h)
	case strings.Contains(h.Command, "ModemManager"):
		return doctor.Bad("install udev/60-robot-ota.rules, which keeps it away, or `systemctl disable --now ModemManager`", "ModemManager has it: %s", h)
	case h.Unit != "":
		return doctor.Bad(fmt.Sprintf("set microros.unit to %s, so that it is stopped for a flash, or `systemctl disable --now %s`", h.Unit, h.Unit), "%s has it, and nobody would stop it for a flash", h)
	}
	return doctor.Bad(fmt.Sprintf("end it (kill %d), or set microros.stop and microros.start to commands for it", h.PID), "%s has it, and nobody would stop it for a flash", h)
}
