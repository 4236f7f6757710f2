package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

const example = "../../etc/agent.yaml"

// least is the shortest valid file.
const least = "robot: {id: robot-001, sku: standard, companion_version: 0.2.0}\n"

func wantDefaults(t *testing.T, got Config) {
	t.Helper()
	want := Default()
	want.Robot = Robot{ID: "robot-001", SKU: "standard", CompanionVersion: compat.Version{Minor: 2}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestLeastFileIsDefaults(t *testing.T) {
	c, err := Parse("agent.yaml", []byte(least))
	if err != nil {
		t.Fatal(err)
	}
	wantDefaults(t, c)
}

func TestExampleShowsEveryKeyWithItsDefault(t *testing.T) {
	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	d := decoder{file: example, at: make(map[string]place)}
	var c Config // not Default: what the example leaves out stays zero
	d.document(data, &c)
	if len(d.problems) > 0 {
		t.Fatal(d.problems)
	}
	for _, p := range paths(reflect.TypeFor[Config](), "") {
		if _, ok := d.at[p]; !ok {
			t.Errorf("the example does not show %s", p)
		}
	}
	empty := func(argv []string) []string { // a list that is shown empty is a default that is nil
		if len(argv) == 0 {
			return nil
		}
		return argv
	}
	c.Server.AllowHosts, c.Server.Files = empty(c.Server.AllowHosts), empty(c.Server.Files)
	c.Serial.Reset.Command.Bootloader = empty(c.Serial.Reset.Command.Bootloader)
	c.Serial.Reset.Command.Run = empty(c.Serial.Reset.Command.Run)
	c.MicroROS.Stop, c.MicroROS.Start = empty(c.MicroROS.Stop), empty(c.MicroROS.Start)
	if !c.Metadata.Required {
		t.Error("a new robot would not ask for release metadata")
	}
	c.Metadata.Required = false // where nothing is said, as with the robots of before
	wantDefaults(t, c)
	if _, err := Load(example); err != nil {
		t.Error(err)
	}
}

func TestPrintedConfigurationReadsBackTheSame(t *testing.T) {
	c, err := Load(example)
	if err != nil {
		t.Fatal(err)
	}
	out, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("printed", out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !reflect.DeepEqual(c, again) {
		t.Errorf("got  %+v\nwant %+v\n%s", again, c, out)
	}
	for _, want := range []string{"check_every: 6h\n", "max_size: 16777352B\n", "companion_version: 0.2.0\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

func TestValuesArrive(t *testing.T) {
	c, err := Parse("agent.yaml", []byte(`
robot: {id: r-7, sku: industrial, companion_version: v1.0.3, mains_powered: true}
server:
  check_every: 0
  allow_hosts: ["cdn.example.org", "*.example.net:8443", "[::1]:443"]
serial:
  port: rfc2217://127.0.0.1:2217?ign_set_control
  reset:
    method: command
    command: {bootloader: [/bin/true, loader], run: [/bin/true], timeout: 1500ms}
microros:
  stop: [/usr/bin/docker, stop, uros]
  start: [/usr/bin/docker, start, uros]
gates: {min_battery: 0, max_linear: 1}
ros: # nothing here: all defaults
mqtt: {url: "mqtt://localhost:1883", keepalive: 1m}
log: {level: debug, format: json}
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Robot.CompanionVersion != (compat.Version{Major: 1, Patch: 3}) || !c.Robot.MainsPowered || c.Server.CheckEvery != 0 {
		t.Errorf("robot %+v, server %+v", c.Robot, c.Server)
	}
	if got := c.Serial.Reset.Command; got.Timeout.Std() != 1500*time.Millisecond || !reflect.DeepEqual(got.Bootloader, []string{"/bin/true", "loader"}) {
		t.Errorf("command %+v", got)
	}
	if c.MicroROS.Unit != "" {
		t.Errorf("the default unit %q stands beside the commands", c.MicroROS.Unit)
	}
	if c.Gates.MinBattery != 0 || c.Gates.MaxLinear != 1 || c.ROS.Topics.Odom != "odom" {
		t.Errorf("gates %+v, ros %+v", c.Gates, c.ROS)
	}
	if c.MQTT.URL != "mqtt://localhost:1883" || c.MQTT.KeepAlive.Std() != time.Minute {
		t.Errorf("mqtt %+v", c.MQTT)
	}
	if got := c.FirmwareStatus(); got != "r-7/firmware" {
		t.Errorf("firmware status %q", got)
	}
}

func TestDefaultKeysAreTheFleets(t *testing.T) {
	got, want := Default().FirmwareKeys(), robot.DefaultKeys()
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestLoadSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "none.yaml")
	if _, err := Load(missing); !errors.Is(err, ErrNoFile) || !strings.Contains(err.Error(), missing) || !strings.Contains(err.Error(), "--config") {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a folder: %v", err)
	}
	large := filepath.Join(dir, "large.yaml")
	if err := os.WriteFile(large, []byte(least+strings.Repeat("#\n", maxFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(large); err == nil || !strings.Contains(err.Error(), "larger than 256KiB") {
		t.Errorf("a large file: %v", err)
	}
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]Duration{
		"6h": 6 * Duration(time.Hour), "1h30m": Duration(90 * time.Minute), "1m30s": Duration(90 * time.Second),
		"30s": Duration(30 * time.Second), "500ms": Duration(500 * time.Millisecond), "10m": Duration(10 * time.Minute),
		"0s": 0, "20h": Duration(20 * time.Hour), "1h0m5s": Duration(time.Hour + 5*time.Second),
	} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d != want || d.String() != text {
			t.Errorf("%s: got %s, %v", text, d, err)
		}
	}
	for text, want := range map[string]Size{"0B": 0, "512B": 512, "64KiB": 64 << 10, "16MiB": 16 << 20, "2GiB": 2 << 30, "1025B": 1025} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want || s.String() != text {
			t.Errorf("%s: got %s, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "B", "16", "16MB", "-1KiB", "1.5MiB", "9999999999GiB", "x KiB"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("size %q: taken as %s", text, s)
		}
	}
}

func FuzzParse(f *testing.F) {
	if data, err := os.ReadFile(example); err == nil {
		f.Add(data)
	}
	for _, s := range []string{"", least, "a: &x [*x]\n", "? {a: b}\n: c\n", "robot:\n\tid: x\n", "---\n---\n", "robot: {id: [", "<<: {a: b}\n", "\xff\xfe", "robot: !!str x\n", "serial: |\n  x\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("agent.yaml", data)
		if err != nil {
			var ps Problems
			if !errors.As(err, &ps) || len(ps) == 0 {
				t.Fatalf("not Problems: %v", err)
			}
			return
		}
		out, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("printed", out); err != nil {
			t.Fatalf("what was accepted does not read back: %v\n%s", err, out)
		}
	})
}
