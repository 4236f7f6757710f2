package check

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/doctor"
	"github.com/robot-platform/robot-ota/agent/internal/handover"
)

// Units is who knows how services are doing; handover.Bus does.
type Units interface {
	Service(ctx context.Context, unit string) (handover.Service, error)
}

// MicroROS looks at the owner of the serial line: that it runs, and that the
// agent may stop and start it. rules are the folders of polkit's rules.
func MicroROS(cfg config.MicroROS, agent Identity, units Units, rules []string) doctor.Check {
	return doctor.Check{Name: "microros", About: "the micro-ROS agent, which is stopped for a flash", Run: func(ctx context.Context) []doctor.Finding {
		switch {
		case cfg.Unit != "":
			return append(unit(ctx, cfg.Unit, units), permission(cfg.Unit, agent, rules)...)
		case len(cfg.Stop) > 0:
			return []doctor.Finding{program("microros.stop", cfg.Stop, agent), program("microros.start", cfg.Start, agent)}
		}
		return []doctor.Finding{doctor.Good("nobody but the agent uses the serial line (microros.unit is empty)")}
	}}
}

func unit(ctx context.Context, name string, units Units) []doctor.Finding {
	s, err := units.Service(ctx, name)
	switch {
	case err != nil:
		return []doctor.Finding{doctor.Bad("see that the system bus runs (systemctl status dbus), or set microros.stop and .start to commands, or microros.unit to \"\" where nobody else uses the line",
			"whether %s runs cannot be asked, and so it could not be stopped for a flash: %v", name, err)}
	case s.Load == "not-found":
		return []doctor.Finding{doctor.Bad("set microros.unit to the one that has the line (systemctl list-units --type=service), or to \"\" where none has", "there is no unit %s", name)}
	case s.Load != "loaded":
		return []doctor.Finding{doctor.Bad("systemctl status "+name, "%s is %s", name, s.Load)}
	}
	switch s.Active {
	case "active", "reloading", "refreshing", "activating":
		return []doctor.Finding{doctor.Good("%s is %s", name, s.Active)}
	case "failed":
		return []doctor.Finding{doctor.Doubt("journalctl -u "+name+", then systemctl restart "+name, "%s has failed (%s): the robot's topics do not arrive", name, s.Result)}
	}
	return []doctor.Finding{doctor.Doubt("systemctl start "+name, "%s is %s: the robot's topics do not arrive", name, s.Active)}
}

// permission looks whether a rule of polkit names the unit and the agent's
// user. What polkit would say can only be asked by root, and about a process;
// a rule that speaks of both is as good a sign.
func permission(unit string, agent Identity, rules []string) []doctor.Finding {
	if agent.UID == 0 {
		return nil // root needs no rule
	}
	hidden := false
	for _, dir := range rules {
		files, err := os.ReadDir(dir)
		hidden = hidden || unseen(err)
		for _, f := range files {
			text, err := os.ReadFile(filepath.Join(dir, f.Name()))
			hidden = hidden || unseen(err)
			if strings.HasSuffix(f.Name(), ".rules") && strings.Contains(string(text), `"`+unit+`"`) && strings.Contains(string(text), `"`+agent.Name+`"`) {
				return []doctor.Finding{doctor.Good("%s lets %s stop and start it", filepath.Join(dir, f.Name()), agent.Name)}
			}
		}
	}
	if hidden {
		return []doctor.Finding{doctor.Skip("polkit's rules may not be looked at by this user: %s", asRoot)}
	}
	return []doctor.Finding{doctor.Bad(
		fmt.Sprintf("copy /usr/share/polkit-1/rules.d/50-robot-ota.rules to /etc/polkit-1/rules.d/ and put %s and %s in it (polkit before 0.106 does not read such rules)", unit, agent.Name),
		"no rule of polkit lets %s stop and start %s", agent.Name, unit)}
}

// PolkitRules are the folders in which polkit looks for rules, the first first.
func PolkitRules() []string {
	return []string{"/etc/polkit-1/rules.d", "/run/polkit-1/rules.d", "/usr/local/share/polkit-1/rules.d", "/usr/share/polkit-1/rules.d"}
}
