package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/doctor"
)

func TestTheServicesROSEnvironment(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	s := rosService{
		program: write("ota-agent", "#!/bin/sh\necho \"{\\\"findings\\\":[{\\\"check\\\":\\\"ros\\\",\\\"level\\\":\\\"warn\\\",\\\"text\\\":\\\"$AMENT_PREFIX_PATH $*\\\"}]}\"\nexit 7\n"),
		runner:  write("with-ros", "#!/bin/sh\nexport AMENT_PREFIX_PATH=/opt/ros/x:$ROS_DOMAIN_ID\nexec \"$@\"\n"),
	}
	if !s.there() || (rosService{program: s.program, runner: dir + "/none"}).there() {
		t.Error("what is installed is not seen, or what is not")
	}
	for _, s.variables = range []string{filepath.Join(dir, "none"), write("ros.env", "# a comment\nROS_DOMAIN_ID=42\n\n  QUOTED = \"two words\"\nSINGLE='x=y'\nno assignment\n;another\n")} {
		env, err := s.environment()
		own := env[len(os.Environ()):]
		if err != nil || len(own) > 0 && !slices.Equal(own, []string{"ROS_DOMAIN_ID=42", "QUOTED=two words", "SINGLE=x=y"}) {
			t.Errorf("%q, %v", own, err)
		}
	}
	want := []doctor.Finding{{Check: "ros", Level: doctor.Warn, Text: "/opt/ros/x:42 doctor --json --only ros --listen 1s"}}
	if got := s.examine(t.Context(), "ros", "--listen", "1s"); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	for _, broken := range []string{"echo 'with-ros: /opt/ros/x cannot be read' >&2\nexit 78", "echo 'with-ros: cannot be read' >&2\necho '{}'"} {
		s.runner = write("without", "#!/bin/sh\n"+broken+"\n")
		got := s.examine(t.Context(), "ros")
		if len(got) != 1 || got[0].Level != doctor.Fail || !strings.Contains(got[0].Text, "cannot be read") || !strings.Contains(got[0].Do, "ROS_SETUP") {
			t.Errorf("no ROS: %+v", got)
		}
	}
}
