package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Where the package leaves the service's ROS 2 environment.
const (
	rosEnvFile = "/etc/robot-ota/ros.env"
	withROSRun = "/usr/lib/robot-ota/with-ros"
	// rosLoaded marks a process that was started in it.
	rosLoaded = "OTA_AGENT_ROS_ENV"
	rosWithin = 10 * time.Second
)

// rosSurroundings is the ROS 2 environment of the service: the variables of
// its file, and a program that runs another in it.
type rosSurroundings struct {
	file, runner string
}

// enter starts this program anew in the environment of the service, where it
// was not started in a ROS 2 one: libraries are looked for as the process
// begins. It returns nil where there is no need or no package, and what went
// wrong else.
func (s rosSurroundings) enter(ctx context.Context, args []string) error {
	if os.Getenv(rosLoaded) != "" || os.Getenv("AMENT_PREFIX_PATH") != "" {
		return nil
	}
	if _, err := os.Stat(s.runner); err != nil {
		return nil //nolint:nilerr // there is no package: a workspace has its own ways
	}
	env, err := s.environment(ctx)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, args, append(env, rosLoaded+"=1")) // does not return
}

// environment is that of the service's processes.
func (s rosSurroundings) environment(ctx context.Context) ([]string, error) {
	own, err := s.variables()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, rosWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.runner, "/usr/bin/env", "-0")
	cmd.Env = append(os.Environ(), own...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", s.runner, err, strings.TrimSpace(stderr.String()))
	}
	return slices.DeleteFunc(strings.Split(string(out), "\x00"), func(v string) bool { return v == "" }), nil
}

// variables reads the file as systemd does (systemd.exec(5), EnvironmentFile),
// as far as such files go: NAME=value a line, in quotes or not.
func (s rosSurroundings) variables() ([]string, error) {
	f, err := os.Open(s.file)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	var out []string
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
		out = append(out, strings.TrimSpace(name)+"="+value)
	}
	return out, nil
}
