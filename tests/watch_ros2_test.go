//go:build ros2

package tests

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// record is what the test reads of the agent's history.
type record struct {
	Outcome  string
	Image    struct{ Version string }
	Failure  *struct{ Code, Text string }
	Evidence []string
}

// lastRecord is the newest of `ota-agent history --json`.
func (p *plant) lastRecord() record {
	p.t.Helper()
	out := p.run("ota-agent", "history", "--socket", p.path("agent.sock"), "--json", "-n", "1")
	var r record
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		p.t.Fatalf("%v in %s", err, out)
	}
	return r
}

// freeUDP is an address at which nobody listens.
func freeUDP(t *testing.T) string {
	t.Helper()
	c, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

// A firmware that turns bad after it was confirmed is rolled back, the history
// tells by which trigger and what was seen, and the version is not tried again.
func TestFirmwareThatTurnsBad(t *testing.T) {
	t.Parallel()
	addr, psk := freeUDP(t), t.TempDir()+"/psk"
	if err := os.WriteFile(psk, []byte("robot_a14f4201:000102030405060708090a0b0c0d0e0f\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPlant(t, options{
		sim:    []string{"--app-start", "100ms", "--dtls", addr},
		config: fmt.Sprintf("dtls: {address: %q, key_file: %q, every: 1s}", addr, psk),
	})
	p.heard()
	tests := []struct {
		version, behaviour string
		turn               func() // by hand, once it is confirmed
		code, evidence     string
	}{
		{"0.2.1", "estop_after:8", nil, "unexplained_estop", "odometry"},
		{"0.2.2", "crash_after:6", nil, "reboots", "rebooted at"},
		{"0.2.3", "good", func() { p.run("ota-sim", "dtls", "--control", p.path("sim.sock"), "--failures", "1") },
			"dtls_failures", "handshakes failed (before the update"},
		{"0.2.4", "silent:8", nil, "silent", "diagnostics"},
	}
	for _, tt := range tests {
		url := p.publish(tt.version, tt.behaviour)
		p.trigger(url)
		p.until(tt.version+" being confirmed", 60*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "observing" })
		if tt.turn != nil {
			tt.turn()
		}
		p.until(tt.version+" being put back", 120*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "rolled_back" && !s.Held })
		p.runs("0.2.0")
		r := p.lastRecord()
		if r.Outcome != "rolled_back" || r.Image.Version != tt.version || r.Failure == nil || r.Failure.Code != tt.code {
			t.Fatalf("%s %s: the history says %+v", tt.version, tt.behaviour, r)
		}
		if all := strings.Join(r.Evidence, "\n"); !strings.Contains(all, tt.evidence) || !strings.Contains(all, "Hz in the observation") {
			t.Errorf("%s: want %q in the evidence\n%s", tt.version, tt.evidence, all)
		}
		t.Logf("%s: %s", tt.version, r.Failure.Text)
		p.run("ota-sim", "dtls", "--control", p.path("sim.sock"), "--failures", "0")
		p.trigger(url)
		p.until("a refusal", 20*time.Second, func() bool {
			s, err := p.status()
			return err == nil && s.State == "failed" && s.Failure != nil && s.Failure.Code == "failed_before"
		})
	}
}

// A firmware that drains the battery three times as fast as before is rolled
// back. The baseline is what an earlier life of the agent has learned: 120 % an
// hour, at which the simulated battery drains as well, for the sake of the test's
// time.
func TestFirmwareThatDrainsTheBattery(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	baseline := `{"seconds": 14400, "odometry": 720000, "diagnostics": 14400, "battery": 14400, "used": 12, "discharging": 36000}`
	if err := os.WriteFile(filepath.Join(dir, "state", "baseline.json"), []byte(baseline), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPlant(t, options{
		dir: dir, sim: []string{"--app-start", "100ms", "--battery", "0.95", "--drain", "1.2"}, config: "drain: {seen: 1m}",
	})
	p.heard()
	p.trigger(p.publish("0.2.1", "drain_after:3"))
	p.until("0.2.1 being confirmed", 60*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "observing" })
	p.until("0.2.1 being put back", 180*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "rolled_back" && !s.Held })
	p.runs("0.2.0")
	r := p.lastRecord()
	if r.Outcome != "rolled_back" || r.Failure == nil || r.Failure.Code != "battery_drain" || !strings.Contains(strings.Join(r.Evidence, "\n"), "120.1 % for the same work before the update") {
		t.Fatalf("the history says %+v", r)
	}
	t.Log(r.Failure.Text)
}
