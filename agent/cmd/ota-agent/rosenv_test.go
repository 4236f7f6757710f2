package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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
	s := rosSurroundings{
		file:   write("ros.env", "# a comment\nROS_DOMAIN_ID=42\n\n  QUOTED = \"two words\"\nSINGLE='x=y'\nno assignment\n;another\n"),
		runner: write("with-ros", "#!/bin/sh\nexport AMENT_PREFIX_PATH=/opt/ros/x:$ROS_DOMAIN_ID\nexec \"$@\"\n"),
	}
	if got, err := s.variables(); err != nil || !slices.Equal(got, []string{"ROS_DOMAIN_ID=42", "QUOTED=two words", "SINGLE=x=y"}) {
		t.Errorf("%q, %v", got, err)
	}
	env, err := s.environment(t.Context())
	if err != nil || !slices.Contains(env, "AMENT_PREFIX_PATH=/opt/ros/x:42") || !slices.Contains(env, "SINGLE=x=y") || slices.Contains(env, "") {
		t.Errorf("%q, %v", env, err)
	}
	s.runner = write("without", "#!/bin/sh\necho 'with-ros: /opt/ros/x cannot be read' >&2\nexit 78\n")
	if _, err := s.environment(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("no ROS: %v", err)
	}
	t.Setenv("AMENT_PREFIX_PATH", "")
	if err := s.enter(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "exit status 78") {
		t.Errorf("no ROS: %v", err)
	}
	t.Setenv(rosLoaded, "1")
	if err := s.enter(t.Context(), nil); err != nil {
		t.Errorf("a second time: %v", err)
	}
	t.Setenv(rosLoaded, "")
	if err := (rosSurroundings{runner: dir + "/none"}).enter(t.Context(), nil); err != nil {
		t.Errorf("no package: %v", err)
	}
	if got, err := (rosSurroundings{file: dir + "/none"}).variables(); err != nil || got != nil {
		t.Errorf("no file: %q, %v", got, err)
	}
}
