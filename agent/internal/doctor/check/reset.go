package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/doctor"
	"github.com/robot-platform/robot-ota/agent/internal/serialport"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// Pins looks at GPIO lines without taking them; serialport.Pins does.
type Pins func(serialport.GPIO) ([]serialport.Pin, error)

// Reset looks at what the configured way to reset the chip needs.
func Reset(cfg config.Serial, agent Identity, pins Pins) doctor.Check {
	return doctor.Check{Name: "reset", About: "what resetting the chip needs", Run: func(context.Context) []doctor.Finding {
		switch m := cfg.Reset.Method; m {
		case config.ResetNone:
			return []doctor.Finding{doctor.Good("method none: somebody has to press the buttons at each update")}
		case config.ResetCommand:
			return []doctor.Finding{
				program("serial.reset.command.bootloader", cfg.Reset.Command.Bootloader, agent),
				program("serial.reset.command.run", cfg.Reset.Command.Run, agent),
			}
		case config.ResetGPIO:
			return gpio(cfg.Reset.GPIO, agent, pins)
		case config.ResetAuto, config.ResetClassic, config.ResetTight, config.ResetUSBJTAG:
			return []doctor.Finding{modem(cfg, m)}
		}
		return []doctor.Finding{doctor.Skip("method %q is not known", cfg.Reset.Method)}
	}}
}

// modem: DTR and RTS of the adapter.
func modem(cfg config.Serial, m config.ResetMethod) doctor.Finding {
	if strings.HasPrefix(cfg.Port, "rfc2217://") {
		return doctor.Good("method %s: the serial server sets DTR and RTS; --reset tries it", m)
	}
	n, err := serialport.Look(cfg.Port)
	if err != nil {
		return doctor.Skip("method %s needs the port, which is not there", m)
	}
	const instead = "set serial.reset.method to gpio or command, or wire DTR and RTS and use a USB adapter"
	switch {
	case n.Kind == serialport.Pseudo:
		return doctor.Bad(instead, "%s is a pseudo-terminal and has no DTR and RTS, which method %s needs", n.Path, m)
	case n.Kind == serialport.Header:
		return doctor.Doubt(instead, "%s is a UART of this computer: on a header it has no DTR and RTS, which method %s needs", n.Path, m)
	case m == config.ResetUSBJTAG && n.USB != (serialport.USB{}) && !n.USB.JTAG():
		return doctor.Bad("set serial.reset.method to auto", "method usb-jtag is for the chip's own USB port, and %s is %04X:%04X %s", n.Path, n.USB.VID, n.USB.PID, n.USB.Product)
	}
	return doctor.Good("method %s: the adapter has DTR and RTS; whether they are wired to EN and BOOT only --reset shows", m)
}

// gpio: the chip and its two lines.
func gpio(g config.ResetLines, agent Identity, pins Pins) []doctor.Finding {
	var closed *closedError
	if err := agent.reach(device(g.Chip), read|write); errors.As(err, &closed) {
		_, gid := owners(closed.info)
		return []doctor.Finding{doctor.Bad(fmt.Sprintf("`systemctl edit robot-ota`: [Service] SupplementaryGroups=%s; then %s", groupName(gid), restart), "%v", closed)}
	}
	all, err := pins(serialport.GPIO{Chip: g.Chip, EN: g.EN, Boot: g.Boot})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []doctor.Finding{doctor.Bad("set serial.reset.gpio.chip to one of those: gpiodetect", "there is no %s; these are there: %s", g.Chip, orNone(serialport.Chips()))}
	case unseen(err):
		return []doctor.Finding{doctor.Skip("%s may not be looked at by this user: %s", g.Chip, asRoot)}
	case err != nil:
		return []doctor.Finding{doctor.Bad("correct serial.reset.gpio: gpioinfo "+g.Chip, "%v", err)}
	}
	var findings []doctor.Finding
	for i, p := range all {
		what := []string{"EN", "BOOT"}[i]
		if p.Used {
			findings = append(findings, doctor.Bad("let go of it there, or correct serial.reset.gpio: gpioinfo "+g.Chip, "line %d of %s (%s), for %s, is taken by %s", p.Offset, g.Chip, p.Name, what, p.Consumer))
			continue
		}
		findings = append(findings, doctor.Good("line %d of %s (%s), for %s, is free", p.Offset, g.Chip, p.Name, what))
	}
	return findings
}

func device(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return "/dev/" + name
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return list(names)
}

// program looks at a program of the operator's: it is there, the agent may run
// it, and nobody else can change what it does.
func program(key string, argv []string, agent Identity) doctor.Finding {
	path := argv[0]
	var closed *closedError
	switch err := agent.reach(path, enter); {
	case errors.Is(err, fs.ErrNotExist):
		return doctor.Bad("correct "+key+", or install it", "there is no %s", path)
	case errors.As(err, &closed) && closed.path == filepath.Clean(path):
		return doctor.Bad("chmod a+rx "+path, "%s (%s) is no program that %s may run", path, describe(closed.info), agent.Name)
	case errors.As(err, &closed):
		return doctor.Bad(closed.openTo(), "%v, and so is %s in it", closed, path)
	case err != nil:
		return doctor.Skip("%s: %v", path, err)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return doctor.Skip("%s: %v", path, err)
	case !info.Mode().IsRegular():
		return doctor.Bad("correct "+key, "%s is no program", path)
	case info.Mode().Perm()&0o002 != 0:
		return doctor.Doubt("chmod o-w "+path, "everybody may change what %s does (%s), and the agent runs it", path, describe(info))
	}
	return doctor.Good("%s can be run", strings.Join(argv, " "))
}

// visitTime bounds a visit of the loader, the boot included.
const visitTime = 4 * time.Minute

// Loader brings the chip into its loader and back, through the running agent:
// it alone knows whether the robot stands still and nothing else goes on. nil:
// none runs.
func Loader(visit func(context.Context) (update.Visit, error)) doctor.Check {
	return doctor.Check{Name: "loader", About: "the chip into its loader and back", Within: visitTime, Alone: true, Run: func(ctx context.Context) []doctor.Finding {
		if visit == nil {
			return []doctor.Finding{doctor.Bad("systemctl start robot-ota, then try again", "no agent runs, and it alone knows whether the robot stands still: the chip was not reset")}
		}
		v, err := visit(ctx)
		var refused *control.Problem
		switch {
		case errors.As(err, &refused) && (refused.Code == control.Busy || refused.Code == control.Refused && strings.HasPrefix(refused.Detail, "not now")):
			return []doctor.Finding{doctor.Doubt("wait until that is over, and try again", "the agent did not do it: %v", err)}
		case errors.Is(err, control.ErrDenied):
			return []doctor.Finding{doctor.Bad("run `sudo ota-agent doctor --reset`", "%v: the chip was not reset", err)}
		case err != nil:
			return []doctor.Finding{doctor.Bad("look at cable, power, wiring of EN and BOOT, and serial.reset; `journalctl -u robot-ota` has each attempt", "%v", err)}
		}
		boots := "it boots " + v.Boots.Slot
		if !v.Boots.Version.IsZero() {
			boots += " (" + v.Boots.Version.String() + ")"
		}
		if v.Back == 0 {
			return []doctor.Finding{doctor.Bad("look at the firmware's log and at the micro-ROS agent: journalctl -u micro_ros_agent", "the loader answered after %.1f s, %s; but the firmware was not heard again", v.Connect, boots)}
		}
		return []doctor.Finding{doctor.Good("the loader answered after %.1f s, %s, and the firmware spoke again %.1f s later", v.Connect, boots, v.Back)}
	}}
}
