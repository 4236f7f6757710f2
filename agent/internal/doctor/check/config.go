package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/doctor"
)

// restart is what to do for the service to take up what was changed.
const restart = "systemctl restart robot-ota"

// Config tells the faults of the configuration file at path, as loading it
// told them, whether the running agent has read it as it is, and whether the
// agent, and nobody else, can read what the file names. started is when the
// agent was; zero: none runs.
func Config(path string, cfg config.Config, err error, started time.Time, agent Identity) doctor.Check {
	return doctor.Check{Name: "config", About: "the configuration file, and the files that it names", Run: func(context.Context) []doctor.Finding {
		if err != nil {
			return configFaults(path, err)
		}
		findings := []doctor.Finding{doctor.Good("%s has no faults: robot %s, %s", path, cfg.Robot.ID, cfg.Robot.SKU)}
		if info, serr := os.Stat(path); serr == nil && !started.IsZero() && info.ModTime().After(started) {
			findings = append(findings, doctor.Doubt(restart, "%s was changed after the agent had started, which has not read it since", path))
		}
		for _, f := range append([]named{{key: "--config", path: path}}, namedBy(cfg)...) {
			if x, wrong := f.look(agent); wrong {
				findings = append(findings, x)
			}
		}
		return findings
	}}
}

// named is a file that the configuration names.
type named struct {
	key, path string
	secret    bool // for the agent alone
}

// namedBy are the files that the agent reads, besides the keys that it trusts.
func namedBy(cfg config.Config) []named {
	s, m, d := cfg.Server, cfg.MQTT, cfg.DTLS
	all := []named{
		{"server.ca_file", s.CAFile, false}, {"server.token_file", s.TokenFile, true},
		{"server.cert_file", s.CertFile, false}, {"server.key_file", s.KeyFile, true},
	}
	if m.URL != "" {
		all = append(all, named{"mqtt.ca_file", m.CAFile, false}, named{"mqtt.cert_file", m.CertFile, false},
			named{"mqtt.key_file", m.KeyFile, true}, named{"mqtt.password_file", m.PasswordFile, true})
	}
	if d.Address != "" {
		all = append(all, named{"dtls.key_file", d.KeyFile, true})
	}
	return slices.DeleteFunc(all, func(f named) bool { return f.path == "" })
}

// look says what is wrong with a file; false: nothing, or it may not be seen.
func (f named) look(agent Identity) (doctor.Finding, bool) {
	var closed *closedError
	err := agent.reach(f.path, read)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return doctor.Bad("put it there, or correct "+f.key, "there is no %s (%s)", f.path, f.key), true
	case errors.As(err, &closed) && f.secret && closed.path == filepath.Clean(f.path):
		return doctor.Bad(fmt.Sprintf("chown %s %s && chmod 0600 %s", agent.Name, f.path, f.path), "%v (%s)", closed, f.key), true
	case errors.As(err, &closed):
		return doctor.Bad(closed.openTo(), "%v, and with it %s (%s)", closed, f.path, f.key), true
	}
	info, err := os.Stat(f.path)
	if err == nil && f.secret && info.Mode().Perm()&0o077 != 0 {
		return doctor.Doubt("chmod 0600 "+f.path, "others may use %s (%s, %s)", f.path, f.key, describe(info)), true
	}
	return doctor.Finding{}, false
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
