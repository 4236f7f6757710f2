package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/doctor"
)

// rosService is what the Debian package installs for the service: the agent
// built with ROS 2, a program that runs others in the environment of ROS 2, and
// a file with variables of that. The command line is a build without ROS 2,
// which starts at once and works where ROS 2 is missing or elsewhere.
type rosService struct{ program, runner, variables string }

func installed() rosService {
	return rosService{"/usr/lib/robot-ota/ota-agent", "/usr/lib/robot-ota/with-ros", "/etc/robot-ota/ros.env"}
}

// there says whether it is installed.
func (s rosService) there() bool {
	for _, path := range []string{s.program, s.runner} {
		if _, err := os.Stat(path); err != nil {
			return false
		}
	}
	return true
}

// become puts the service's agent into the place of this process.
func (s rosService) become(args []string) error {
	env, err := s.environment()
	if err != nil {
		return err
	}
	return syscall.Exec(s.runner, append([]string{s.runner, s.program}, args...), env) // does not return
}

// environment is this process's with the variables of the file, which systemd
// reads for the service (systemd.exec(5), EnvironmentFile): NAME=value a line,
// in quotes or not.
func (s rosService) environment() ([]string, error) {
	env := os.Environ()
	f, err := os.Open(s.variables)
	if errors.Is(err, fs.ErrNotExist) {
		return env, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		name, value, ok := strings.Cut(line, "=")
		if !ok || line[0] == '#' || line[0] == ';' {
			continue
		}
		value = strings.TrimSpace(value)
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		env = append(env, strings.TrimSpace(name)+"="+value)
	}
	return env, nil
}

// Bounds of a doctor's answer.
const (
	maxReport  = 1 << 20
	childGrace = time.Second
)

// examine has the service's agent make one of the doctor's checks, in the
// environment of ROS 2.
func (s rosService) examine(ctx context.Context, check string, args ...string) []doctor.Finding {
	const do = "install the ROS 2 that the package was built for, or name yours by ROS_SETUP in /etc/robot-ota/ros.env"
	env, err := s.environment()
	if err != nil {
		return []doctor.Finding{doctor.Skip("the service's ROS 2 environment is not known: %v", err)}
	}
	cmd := exec.CommandContext(ctx, s.runner, append([]string{s.program, "doctor", "--json", "--only", check}, args...)...)
	cmd.Env, cmd.WaitDelay = env, childGrace
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var out, said head
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	var r doctor.Report
	if jerr := json.Unmarshal(out, &r); jerr != nil || len(r.Findings) == 0 {
		return []doctor.Finding{doctor.Bad(do, "the agent cannot be run in the service's ROS 2 environment: %v: %s", err, strings.TrimSpace(string(said)))}
	}
	return r.Findings
}

// head keeps the first bytes written to it.
type head []byte

func (h *head) Write(p []byte) (int, error) {
	*h = append(*h, p[:min(len(p), maxReport-len(*h))]...)
	return len(p), nil
}
