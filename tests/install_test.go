package tests

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const unitFile = "../systemd/robot-ota.service"

// run gives what a command says and whether it succeeded.
func run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	command := exec.CommandContext(t.Context(), name, args...)
	command.Stdout, command.Stderr = &out, &out
	err := command.Run()
	return out.String(), err
}

func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("no %s on this machine", program)
	}
}

func text(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestServiceIsHardened: systemd's own figure for the unit, bare 9.6, must not exceed 1.5.
func TestServiceIsHardened(t *testing.T) {
	needs(t, "systemd-analyze")
	out, err := run(t, "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=15", unitFile)
	if err != nil || !strings.Contains(out, "Overall exposure level") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestServiceIsWellFormed has systemd read the unit, with a program that is there.
func TestServiceIsWellFormed(t *testing.T) {
	needs(t, "systemd-analyze")
	unit := text(t, unitFile)
	unit = strings.ReplaceAll(unit, "ExecStart=/usr/bin/ota-agent run", "ExecStart=/bin/true")
	unit = regexp.MustCompile(`(?m)^Documentation=.*\n`).ReplaceAllString(unit, "")
	file := filepath.Join(t.TempDir(), "robot-ota.service")
	if err := os.WriteFile(file, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := run(t, "systemd-analyze", "verify", file); err != nil || strings.Contains(out, "robot-ota") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestServiceHasWhatTheAgentNeeds(t *testing.T) {
	unit := text(t, unitFile)
	for _, line := range []string{"Type=notify", "WatchdogSec=2min", "User=robot-ota", "SupplementaryGroups=dialout",
		"StateDirectory=robot-ota", "StateDirectoryMode=0700", "RuntimeDirectory=robot-ota",
		"DeviceAllow=char-ttyUSB rw", "DeviceAllow=char-ttyACM rw", "DeviceAllow=char-gpiochip rw", "Restart=always"} {
		if !strings.Contains(unit, "\n"+line+"\n") {
			t.Errorf("no %s", line)
		}
	}
}

// TestUdevRules: each adapter is named, and ModemManager kept away from the very same ones; the doctor looks for those
// vendors.
func TestUdevRules(t *testing.T) {
	rules := text(t, "../udev/60-robot-ota.rules")
	pattern := regexp.MustCompile(`(?m)^SUBSYSTEMS?=="usb".*idVendor}=="([0-9a-f]{4})".*idProduct}=="([0-9a-f|]+)", (ENV|GOTO)(.*)$`)
	ids := map[string]map[string]string{"ENV": {}, "GOTO": {}}
	for _, m := range pattern.FindAllStringSubmatch(rules, -1) {
		ids[m[3]][m[1]] = m[2]
		if want := map[string]string{"ENV": `{ID_MM_DEVICE_IGNORE}="1"`, "GOTO": `="robot_ota_esp32"`}[m[3]]; m[4] != want {
			t.Errorf("%s: %s, want %s", m[0], m[4], want)
		}
	}
	if !maps.Equal(ids["ENV"], ids["GOTO"]) {
		t.Errorf("ModemManager is kept away from %v, and named are %v", ids["ENV"], ids["GOTO"])
	}
	looked := text(t, "../agent/internal/serialport/look.go")
	for vendor, product := range map[string]string{"10c4": "ea60", "1a86": "7523", "0403": "6001", "303a": "1001"} { // CP2102, CH340, FT232, USB-Serial-JTAG
		if !slices.Contains(strings.Split(ids["GOTO"][vendor], "|"), product) {
			t.Errorf("%s:%s is not named", vendor, product)
		}
		if !strings.Contains(looked, "0x"+strings.ToUpper(vendor)) {
			t.Errorf("the doctor does not look for %s", vendor)
		}
	}
	label := rules[strings.Index(rules, `LABEL="robot_ota_esp32"`):]
	for _, want := range []string{`SYMLINK+="ota-esp32"`, `GROUP="dialout"`, `MODE="0660"`, `ENV{ID_MM_PORT_IGNORE}="1"`} {
		if !strings.Contains(label, want) {
			t.Errorf("no %s", want)
		}
	}
}

// TestPolkitRule reads the rule as polkitd does, where a JavaScript engine is there.
func TestPolkitRule(t *testing.T) {
	needs(t, "node")
	out, err := run(t, "node", "-e", `
		let rule
		const polkit = {addRule: f => { rule = f }, Result: {YES: "yes"}}
		`+text(t, "../packaging/polkit/50-robot-ota.rules")+`
		const ask = (user, unit, verb, id = "org.freedesktop.systemd1.manage-units") =>
			rule({id, lookup: k => ({unit, verb})[k]}, {user}) ?? "no"
		const own = "micro_ros_agent.service"
		console.log(["start", "stop", "reset-failed", "restart", "kill", undefined].map(v => ask("robot-ota", own, v)).join(),
			ask("robot-ota", "ssh.service", "stop"), ask("robot-ota", undefined, "stop"), ask("mallory", own, "stop"),
			ask("robot-ota", own, "stop", "org.freedesktop.systemd1.manage-unit-files"))`)
	if err != nil || strings.TrimSpace(out) != "yes,yes,yes,no,no,no no no no no" {
		t.Errorf("%v: %s", err, out)
	}
}

// TestLaunchFile runs the launch file over stand-ins for the launch packages, which PyPI does not have.
func TestLaunchFile(t *testing.T) {
	out, err := run(t, "python3", "testdata/launch_standin.py", "../launch/ota_agent.launch.py")
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
