package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const unit = "systemd/ota-fleet.service"

// systemd's own figure for the unit, bare 9.6, is at most 1.5.
func TestServiceIsHardened(t *testing.T) {
	analyze := program(t, "systemd-analyze", "systemd")
	if said := run(t, analyze, "security", "--no-pager", "--offline=true", "--threshold=15", unit); !strings.Contains(said, "Overall exposure level") {
		t.Errorf("it said\n%s", said)
	}
}

// systemd reads the unit without complaint, with a program that is there.
func TestServiceIsWellFormed(t *testing.T) {
	analyze := program(t, "systemd-analyze", "systemd")
	b, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(b), "ExecStart=/usr/bin/ota-fleet", "ExecStart=/bin/true")
	text = regexp.MustCompile(`(?m)^Documentation=.*\n`).ReplaceAllString(text, "")
	file := filepath.Join(t.TempDir(), "ota-fleet.service")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := run(t, analyze, "verify", file); strings.Contains(said, "ota-fleet") {
		t.Errorf("it said\n%s", said)
	}
}

// The unit's command line is one that the program takes, with the options of
// the example's environment.
func TestServiceStarts(t *testing.T) {
	b, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	env, err := os.ReadFile("systemd/ota-fleet.env")
	if err != nil {
		t.Fatal(err)
	}
	exec := regexp.MustCompile(`(?m)^ExecStart=/usr/bin/ota-fleet (.*)$`).FindStringSubmatch(string(b))
	sets := regexp.MustCompile(`(?m)^#?OTA_FLEET_OPTIONS=(.*)$`).FindAllStringSubmatch(string(env), -1)
	if exec == nil || len(sets) < 2 {
		t.Fatalf("%s, %v", exec, sets)
	}
	f := newFleet(t)
	if err := os.WriteFile(f.file("mqtt-password"), []byte(word+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, options := range sets {
		address := freePort(t)
		line := strings.ReplaceAll(exec[1], "$OTA_FLEET_OPTIONS", options[1])
		line = strings.NewReplacer("/var/lib/ota-fleet", f.file("data"),
			"/etc/ota-fleet/tls", f.file("tls"), "/etc/ota-fleet/online-key.pem", f.file("tls/server-key.pem"), "/etc/ota-fleet/targets-key.pem", f.file("tls/server-key.pem"), "/etc/ota-fleet/mqtt-password", f.file("mqtt-password"), "127.0.0.1:8885", freePort(t)).Replace(line)
		line = regexp.MustCompile(`--listen \S+`).ReplaceAllString(line, "--listen "+address)
		process(t, []string{address}, f.program, strings.Fields(line)...)
	}
}
