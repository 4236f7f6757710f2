package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/doctor"
)

// restart is what to do for the service to take up what was changed.
const restart = "systemctl restart robot-ota"

// Config tells the faults of the configuration file at path, as loading it
// told them, whether the running agent has read it as it is, and whether its
// secrets are kept. started is when that agent was; zero: none runs.
func Config(path string, cfg config.Config, err error, started time.Time) doctor.Check {
	return doctor.Check{Name: "config", About: "the configuration file", Run: func(context.Context) []doctor.Finding {
		if err != nil {
			return configFaults(path, err)
		}
		findings := []doctor.Finding{doctor.Good("%s has no faults: robot %s, %s", path, cfg.Robot.ID, cfg.Robot.SKU)}
		if info, serr := os.Stat(path); serr == nil && !started.IsZero() && info.ModTime().After(started) {
			findings = append(findings, doctor.Doubt(restart, "%s was changed after the agent had started, which has not read it since", path))
		}
		for _, secret := range []struct{ key, path string }{
			{"server.token_file", cfg.Server.TokenFile}, {"server.key_file", cfg.Server.KeyFile}, {"mqtt.key_file", cfg.MQTT.KeyFile},
			{"mqtt.password_file", cfg.MQTT.PasswordFile}, {"dtls.key_file", cfg.DTLS.KeyFile},
		} {
			if info, serr := os.Stat(secret.path); secret.path != "" && serr == nil && info.Mode().Perm()&0o077 != 0 {
				findings = append(findings, doctor.Doubt("chmod 0600 "+secret.path, "others may use %s (%s, %s)", secret.path, secret.key, describe(info)))
			}
		}
		return findings
	}}
}

// maxFaults of a configuration that are told: the first ones usually explain
// the rest.
const maxFaults = 10

func configFaults(path string, err error) []doctor.Finding {
	var all config.Problems
	switch {
	case errors.Is(err, config.ErrNoFile):
		return []doctor.Finding{doctor.Bad(fmt.Sprintf("cp %s %s, then say in it which robot this is", config.Example, path), "there is no %s", path)}
	case errors.Is(err, fs.ErrPermission):
		return []doctor.Finding{doctor.Bad(asRoot+", or name another file by --config", "%s may not be read by this user", path)}
	case errors.As(err, &all):
		var findings []doctor.Finding
		for _, p := range all[:min(len(all), maxFaults)] {
			findings = append(findings, doctor.Bad("edit "+path+"; `man ota-agent.yaml` has all keys", "%v", p))
		}
		return findings
	}
	return []doctor.Finding{doctor.Bad("edit "+path, "%v", err)}
}
