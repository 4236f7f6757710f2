//go:build ros2

package tests

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	simbroker "github.com/robot-platform/robot-ota/sim/broker"
)

// diagnosis is `ota-agent doctor --json`.
type diagnosis struct {
	Level    string
	Findings []struct{ Check, Level, Text, Do string }
	exit     int
}

// of is what a check found that is not OK, as text.
func (d diagnosis) of(check string) string {
	var b strings.Builder
	for _, f := range d.Findings {
		if f.Check == check && (f.Level == "warn" || f.Level == "fail") {
			fmt.Fprintf(&b, "%s: %s\n  do: %s\n", f.Level, f.Text, f.Do)
		}
	}
	return b.String()
}

// doctor examines the plant.
func (p *plant) doctor(args ...string) diagnosis {
	p.t.Helper()
	argv := append([]string{"doctor", "--json", "--config", p.path("agent.yaml"), "--listen", "3s"}, args...)
	cmd := p.command("ota-agent", argv...)
	out, err := cmd.Output()
	var d diagnosis
	var exit *exec.ExitError
	if jerr := json.Unmarshal(out, &d); jerr != nil || err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("%v, %v: %s", err, jerr, out)
	}
	d.exit = cmd.ProcessState.ExitCode()
	for _, f := range d.Findings {
		if (f.Level == "warn" || f.Level == "fail") != (f.Do != "") {
			p.t.Errorf("%s, %s: %s, and what to do: %q", f.Check, f.Level, f.Text, f.Do)
		}
	}
	return d
}

// fleetBroker is a broker on this machine, with a certificate of its folder.
func fleetBroker(t *testing.T, dir, addr string) *broker.Server {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.pem"), filepath.Join(dir, "server-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s := broker.New(&broker.Options{Logger: slog.New(slog.DiscardHandler)})
	l := simbroker.NewDoor(listeners.Config{ID: "tls", Address: addr, TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}})
	if err := errors.Join(s.AddHook(new(openHouse), nil), s.AddListener(l), s.Serve()); err != nil {
		t.Fatal(err)
	}
	return s
}

// openHouse lets everybody in.
type openHouse struct{ broker.HookBase }

func (*openHouse) Provides(b byte) bool {
	return b == broker.OnConnectAuthenticate || b == broker.OnACLCheck
}
func (*openHouse) OnConnectAuthenticate(*broker.Client, packets.Packet) bool { return true }
func (*openHouse) OnACLCheck(*broker.Client, string, bool) bool              { return true }

func freeTCP(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A robot in good health is found to be; then one thing after the other is
// broken, with the agent running and not, and each is named with what to do.
func TestDoctor(t *testing.T) {
	t.Parallel()
	own := t.TempDir()
	psk, mqtt, dtls := filepath.Join(own, "psk"), freeTCP(t), freeUDP(t)
	if err := os.WriteFile(psk, []byte("robot_a14f4201:000102030405060708090a0b0c0d0e0f\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run(t, filepath.Join(binaries(t), "ota-fleet"), "dev-cert", "--dir", own, "--host", "localhost"); err != nil {
		t.Fatal(err, out)
	}
	hub := fleetBroker(t, own, mqtt)
	p := newPlant(t, options{
		sim: []string{"--app-start", "200ms", "--dtls", dtls},
		config: fmt.Sprintf("mqtt: {url: \"mqtts://localhost:%s\", ca_file: %s}\ndtls: {address: %q, key_file: %q, every: 1s}",
			mqtt[strings.LastIndexByte(mqtt, ':')+1:], filepath.Join(own, "ca.pem"), dtls, psk),
	})
	p.heard()
	p.trigger(p.publish("0.2.1", "good"))
	p.until("an update", 60*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "observing" })

	healthy := func(when string, but ...string) {
		t.Helper()
		d := p.doctor()
		for _, f := range d.Findings {
			// Whether this machine's clock follows a time server is not the test's matter.
			if f.Check != "clock" && !slices.Contains(but, f.Check) && (f.Level == "warn" || f.Level == "fail") {
				t.Errorf("%s: %s, %s: %s", when, f.Check, f.Level, f.Text)
			}
		}
	}
	healthy("in good health")
	if d := p.doctor("--only", "config,keys,ros,broker,dtls"); d.exit != 0 || d.Level != "ok" {
		t.Errorf("in good health: exit code %d, %s", d.exit, d.Level)
	}

	running := true
	broken := []struct {
		name       string
		check      string
		exit       int
		harm, mend func()
		want       []string
	}{
		{"keys that others may change", "keys", 8, p.mode("", 0o777), p.mode("", 0o700), []string{"others may write " + p.dir, "do: chmod go-w " + p.dir}},
		{"a secret that others may read", "config", 7, func() { p.chmod(psk, 0o644) }, func() { p.chmod(psk, 0o600) }, []string{"others may use " + psk, "do: chmod 0600 " + psk}},
		{"a state directory for all", "state", 8, p.mode("state", 0o755), p.mode("state", 0o700), []string{"state has mode 0755", "do: chmod 0700 " + p.path("state")}},
		{"a server that is down", "server", 8, func() { p.server.stop() }, func() { p.restartServer() }, []string{"connection refused", "do: start it: nothing listens on " + p.addr}},
		{"a broker that is down", "broker", 8, func() { hub.Close() }, func() { hub = fleetBroker(t, own, mqtt) }, []string{"connection refused", "do: start it: nothing listens on localhost:"}},
		{"a cable that is away", "port", 8, func() { p.run("ota-sim", "cable", "--control", p.path("sim.sock"), "--unplug") },
			func() { p.run("ota-sim", "cable", "--control", p.path("sim.sock"), "--plug") }, []string{"no such serial port: " + p.path("tty"), "do: plug the cable in"}},
		{"a history that was changed", "history", 8, p.forge, p.unforge, []string{"line 1 is not the one that the agent wrote there", "as evidence"}},
		{"an ESP32 without power", "ros", 8, func() {
			p.run("ota-sim", "power", "--control", p.path("sim.sock"), "--cut")
			gone(running)
		},
			func() { p.run("ota-sim", "power", "--control", p.path("sim.sock"), "--on") }, []string{"/battery_state", "do: see"}},
	}
	for _, running = range []bool{true, false} {
		if !running {
			p.agent.stop()
		}
		for _, b := range broken {
			t.Run(fmt.Sprintf("%s, running %v", b.name, running), func(t *testing.T) {
				b.harm()
				defer b.mend()
				d := p.doctor("--only", b.check)
				if got := d.of(b.check); d.exit != b.exit || !contains(got, b.want) {
					t.Errorf("exit code %d, found\n%s\nwant %d and %q", d.exit, got, b.exit, b.want)
				}
			})
		}
	}
	d := p.doctor()
	if got := d.of("agent"); !contains(got, []string{"no agent runs", "firmware 0.2.1 is not observed any more", "do: systemctl start robot-ota"}) {
		t.Errorf("without the agent: %s", got)
	}
	healthy("without the agent", "agent")
	for _, args := range [][]string{{"history", "--verify"}, {"history", "--long"}} {
		if out := p.run("ota-agent", append(args, "--config", p.path("agent.yaml"))...); !strings.Contains(out, "this is read from "+p.path("state")) || !strings.Contains(out, "0.2.1") && args[1] == "--long" {
			t.Errorf("%v without the agent: %s", args, out)
		}
	}
}

// gone lets what a running agent has heard last become too old to count.
func gone(running bool) {
	if running {
		time.Sleep(6 * time.Second)
	}
}

func contains(text string, all []string) bool {
	for _, want := range all {
		if !strings.Contains(text, want) {
			return false
		}
	}
	return true
}

func (p *plant) chmod(path string, mode os.FileMode) {
	p.t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plant) mode(name string, mode os.FileMode) func() {
	return func() { p.chmod(p.path(name), mode) }
}

// forge changes a word of the history, and unforge changes it back.
func (p *plant) forge()   { p.replace("state/history.jsonl", "confirmed", "c0nfirmed") }
func (p *plant) unforge() { p.replace("state/history.jsonl", "c0nfirmed", "confirmed") }

func (p *plant) replace(name, what, by string) {
	p.t.Helper()
	b, err := os.ReadFile(p.path(name))
	if err == nil && !strings.Contains(string(b), what) {
		err = fmt.Errorf("no %s in %s", what, b)
	}
	if err == nil {
		err = os.WriteFile(p.path(name), []byte(strings.ReplaceAll(string(b), what, by)), 0o600)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// restartServer starts the server again, where it was.
func (p *plant) restartServer() {
	p.t.Helper()
	_, port, _ := net.SplitHostPort(p.addr)
	p.server = p.start("fleet", "ota-fleet", "serve", "--data", p.path("fleet"), "--listen", "127.0.0.1:"+port,
		"--tls-cert", p.path("tls/server.pem"), "--tls-key", p.path("tls/server-key.pem"))
	p.until("the server", 10*time.Second, func() bool { return strings.Contains(p.server.output(), "https://") })
	p.t.Cleanup(p.server.stop)
}

// --reset really brings the chip into its loader and back, and only when that
// is safe.
func TestDoctorResets(t *testing.T) {
	t.Parallel()
	p := newPlant(t, options{})
	p.heard()
	before := p.chip()
	plan := func() string {
		return p.run("ota-agent", "plan", "--socket", p.path("agent.sock"), "--json", "https://localhost/x")
	}
	p.until("the self-test's end", 10*time.Second, func() bool { return !strings.Contains(plan(), "firmware_unsafe") })
	visit := func() (diagnosis, string) {
		d := p.doctor("--reset", "--yes", "--only", "loader")
		return d, d.of("loader")
	}
	if d, got := visit(); d.exit != 0 {
		t.Errorf("exit code %d: %s", d.exit, got)
	} else if text := d.Findings[0].Text; !strings.Contains(text, "it boots factory (0.2.0), and the firmware spoke again") {
		t.Error(text)
	}
	p.run("ota-sim", "velocity", "--control", p.path("sim.sock"), "--linear", "0.5")
	p.until("motion", 10*time.Second, func() bool {
		return strings.Contains(plan(), `"moving"`) && !strings.Contains(plan(), "firmware_unsafe")
	})
	if d, got := visit(); d.exit != 7 || !contains(got, []string{"not now: ", "the robot moves at 0.50 m/s", "lifted by"}) {
		t.Errorf("while it moves: exit code %d: %s", d.exit, got)
	}
	p.run("ota-sim", "velocity", "--control", p.path("sim.sock"))
	p.until("rest", 10*time.Second, func() bool { return !strings.Contains(plan(), "moving") && !strings.Contains(plan(), "motors_busy") })
	p.run("ota-sim", "battery", "--control", p.path("sim.sock"), "--fraction", "0.2")
	url := p.publish("0.2.1", "good")
	p.trigger(url)
	p.until("the update waiting", 10*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "waiting" })
	if d, got := visit(); d.exit != 7 || !contains(got, []string{"is going on (waiting)"}) {
		t.Errorf("during an update: exit code %d: %s", d.exit, got)
	}
	p.run("ota-agent", "cancel", "--socket", p.path("agent.sock"))
	if after := p.chip(); !reflect.DeepEqual(before, after) {
		t.Errorf("the chip held %+v, and holds %+v", before, after)
	}
	cmd := p.command("ota-agent", "doctor", "--reset", "--config", p.path("agent.yaml"))
	if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "say --yes as well") {
		t.Errorf("without being asked: exit code %d: %s", cmd.ProcessState.ExitCode(), out)
	}
	p.agent.stop()
	if d, got := visit(); d.exit != 8 || !contains(got, []string{"no agent runs, and it alone knows"}) {
		t.Errorf("without the agent: exit code %d: %s", d.exit, got)
	}
}
