//go:build ros2

package tests

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/sim/broker"
	"github.com/robot-platform/robot-ota/sim/broker/brokertest"
)

// fleet is the other end of MQTT: a broker, an operator who gives commands and
// one who hears all that robots say. All are processes.
type fleet struct {
	p                *plant
	program, addr    string
	broker, listener *process
}

// brokers runs f for the embedded broker and, where it is installed, for
// Mosquitto.
func brokers(t *testing.T, f func(t *testing.T, program string)) {
	for _, program := range []string{"embedded", "mosquitto"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			if _, err := broker.FindMosquitto(); program == "mosquitto" && err != nil {
				t.Skip(err)
			}
			f(t, program)
		})
	}
}

// newFleet makes the passwords of some robots, and a fleet whose broker does
// not run yet.
func newFleet(t *testing.T, program string, robots ...string) *fleet {
	t.Helper()
	dir := t.TempDir()
	_, port, _ := net.SplitHostPort(brokertest.FreePort(t))
	f := &fleet{program: program, addr: "localhost:" + port, p: &plant{t: t, dir: dir, site: dir, bin: binaries(t), env: os.Environ()}}
	all := "operator:secret\n"
	for _, r := range append([]string{"operator"}, robots...) {
		if r != "operator" {
			all += r + ":secret\n"
		}
		f.write(r+".password", "secret\n")
	}
	f.write("passwords", all)
	f.p.run("ota-fleet", "dev-cert", "--dir", f.p.path("mqtt-tls"), "--host", "localhost")
	f.start()
	f.listener = f.p.start("listener", append([]string{"ota-sim", "subscribe", "fleet/#"}, f.login()...)...)
	t.Cleanup(f.listener.stop)
	f.subscribed(1)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what was said:\n%s", tail(f.listener.output(), 8000))
		}
	})
	return f
}

func (f *fleet) write(name, text string) {
	f.p.t.Helper()
	if err := os.WriteFile(f.p.path(name), []byte(text), 0o600); err != nil {
		f.p.t.Fatal(err)
	}
}

func (f *fleet) login() []string {
	return []string{"--broker", "mqtts://" + f.addr, "--ca", f.p.path("mqtt-tls/ca.pem"), "--password-file", f.p.path("operator.password")}
}

// config is the section mqtt of a robot.
func (f *fleet) config(robot string) string {
	return fmt.Sprintf("mqtt: {url: %q, ca_file: %s, password_file: %s, keepalive: 5s}", "mqtts://"+f.addr,
		f.p.path("mqtt-tls/ca.pem"), f.p.path(robot+".password"))
}

// start starts the broker.
func (f *fleet) start() {
	f.p.t.Helper()
	_, port, _ := net.SplitHostPort(f.addr)
	f.broker = f.p.start("broker", "ota-sim", "broker", "--program", f.program, "--state", f.p.path("broker"), "--listen", "127.0.0.1:"+port,
		"--passwords", f.p.path("passwords"), "--tls-cert", f.p.path("mqtt-tls/server.pem"), "--tls-key", f.p.path("mqtt-tls/server-key.pem"))
	f.p.t.Cleanup(f.broker.stop)
	wait(f.p.t, "the broker", 20*time.Second, func() bool {
		c, err := net.Dial("tcp", f.addr)
		return err == nil && c.Close() == nil
	})
}

// subscribed waits until the listener has subscribed so many times.
func (f *fleet) subscribed(times int) {
	f.p.t.Helper()
	wait(f.p.t, "the listener", 20*time.Second, func() bool { return strings.Count(f.listener.output(), "subscribed") == times })
}

// say publishes a command.
func (f *fleet) say(robot, verb, format string, args ...any) {
	f.p.t.Helper()
	f.p.run("ota-sim", append([]string{"publish", "fleet/" + robot + "/commands/" + verb, fmt.Sprintf(format, args...)}, f.login()...)...)
}

// told is what the test reads of ota/event and ota/status.
type told struct {
	Seq           uint64
	Kind, Code    string
	Verdict, Text string
	From, To      string
	JobID         string `json:"job_id"`
	Command       string `json:"command_id"`
	State         string
	Online        bool
	Reasons       reasons
	Running       struct{ Version string }
	retained      bool
}

// heard is what a robot has said on a topic.
func (f *fleet) heard(robot, topic string) (all []told) {
	f.p.t.Helper()
	for line := range strings.Lines(f.listener.output()) {
		var m struct {
			Topic    string
			Retained bool
			Payload  json.RawMessage
		}
		if !strings.HasSuffix(line, "}\n") || json.Unmarshal([]byte(line), &m) != nil || m.Topic != "fleet/"+robot+"/ota/"+topic {
			continue
		}
		var s told
		if err := json.Unmarshal(m.Payload, &s); err != nil {
			f.p.t.Fatalf("%v in %s", err, line)
		}
		s.retained = m.Retained
		all = append(all, s)
	}
	return all
}

// last is the newest of them.
func (f *fleet) last(robot, topic string) told {
	if all := f.heard(robot, topic); len(all) > 0 {
		return all[len(all)-1]
	}
	return told{}
}

// states are those that a command's job went through, as the events say. They
// must have come in order and without a gap; the last one of a connection may
// come twice.
func (f *fleet) states(robot, command string) (states []string) {
	f.p.t.Helper()
	var seq uint64
	for _, e := range f.heard(robot, "event") {
		if e.Seq == seq {
			continue
		}
		if seq != 0 && e.Seq != seq+1 {
			f.p.t.Fatalf("event %d follows %d", e.Seq, seq)
		}
		if seq = e.Seq; e.Kind == "transition" && e.Command == command {
			states = append(states, e.To)
		}
	}
	return states
}

// wait waits for what another process does.
func wait(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s took longer than %s", what, limit)
		}
	}
}

var wholeUpdate = []string{"checking", "downloading", "verifying", "waiting", "handover", "connecting", "writing", "attesting",
	"booting", "validating", "confirmed", "observing"}

// battery sets the robot's charge.
func (p *plant) battery(fraction string) {
	p.t.Helper()
	p.run("ota-sim", "battery", "--control", p.path("sim.sock"), "--fraction", fraction)
}

// gated waits until a gate stands in the way of an image.
func (p *plant) gated(url, code string) {
	p.t.Helper()
	p.until(code, 10*time.Second, func() bool {
		return strings.Contains(p.run("ota-agent", "plan", "--socket", p.path("agent.sock"), "--json", url), code)
	})
}

// The fleet commands an update over MQTT. It waits for the battery and goes on
// by itself; said twice it happens once; and a broker that dies in the middle
// of the next one learns afterwards all that happened, in order.
func TestCommandedOverMQTT(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, program string) {
		f := newFleet(t, program, "r1")
		p := newPlant(t, options{config: f.config("r1"), sim: []string{"--battery", "0.4"}})
		url := p.publish("0.2.1", "good")
		p.heard()
		p.gated(url, "battery_low")
		wait(t, "the robot being online", 10*time.Second, func() bool { return f.last("r1", "online").Online })

		first := command(url, "0.2.1", "c-1")
		f.say("r1", "ota", "%s", first)
		wait(t, "the deferral", 20*time.Second, func() bool {
			s := f.last("r1", "status")
			return s.State == "waiting" && s.Reasons.has("battery_low")
		})
		f.say("r1", "ota", "%s", first)
		wait(t, "the verdict on the second copy", 10*time.Second, func() bool {
			e := f.last("r1", "event")
			return e.Kind == "command" && e.Verdict == "ignored" && e.Code == "duplicate" && e.JobID == f.last("r1", "status").JobID
		})
		f.say("r1", "ota", `{"id": "c-file", "version": "0.3.0", "sha256": %q, "url": "file:///etc/passwd"}`, strings.Repeat("0", 64))
		wait(t, "the refusal of a file", 10*time.Second, func() bool {
			e := f.last("r1", "event")
			return e.Command == "c-file" && e.Verdict == "refused" && e.Code == "bad_request"
		})
		if s := f.last("r1", "status"); s.State != "waiting" {
			t.Fatalf("the update did not wait for its battery: %+v", s)
		}
		p.battery("0.6")
		wait(t, "the update", 40*time.Second, func() bool { return f.last("r1", "status").State == "observing" })
		p.runs("0.2.1")
		if got := f.states("r1", "c-1"); !slices.Equal(got, wholeUpdate) {
			t.Errorf("the first update went %v", got)
		}

		f.dies(t, p, command(p.publish("0.2.2", "good"), "0.2.2", "c-2"))
		wait(t, "the rest of the events", 20*time.Second, func() bool { return len(f.states("r1", "c-2")) == len(wholeUpdate) })
		if got := f.states("r1", "c-2"); !slices.Equal(got, wholeUpdate) {
			t.Errorf("the second update went %v", got)
		}
		wait(t, "the last status", 10*time.Second, func() bool {
			s := f.last("r1", "status")
			return s.State == "observing" && s.Running.Version == "0.2.2"
		})
		f.say("r1", "ota", "%s", first) // long ago, to another broker, and still remembered
		wait(t, "the verdict on the third copy", 10*time.Second, func() bool {
			e := f.last("r1", "event")
			return e.Command == "c-1" && e.Code == "duplicate"
		})
		p.agent.stop()
		wait(t, "the farewell", 10*time.Second, func() bool { return !f.last("r1", "online").Online })
	})
}

// command is one to update.
func command(url, version, id string) string {
	return fmt.Sprintf(`{"id": %q, "version": %q, "url": %q, "sha256": %q}`, id, version, url, filepath.Base(url))
}

// dies gives a command, kills the broker in the middle of the download, and
// starts it again when the update has ended.
func (f *fleet) dies(t *testing.T, p *plant, command string) {
	t.Helper()
	_ = p.server.cmd.Process.Signal(syscall.SIGSTOP)
	f.say("r1", "ota", "%s", command)
	wait(t, "the download", 20*time.Second, func() bool {
		return f.last("r1", "status").State == "downloading" && slices.Contains(f.states("r1", "c-2"), "downloading")
	})
	f.broker.kill()
	_ = p.server.cmd.Process.Signal(syscall.SIGCONT)
	p.until("the update without a broker", 60*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "observing" })
	p.runs("0.2.2")
	// The agent is held until the listener is back, which would miss some of it else.
	_ = p.agent.cmd.Process.Signal(syscall.SIGSTOP)
	f.start()
	f.subscribed(2)
	_ = p.agent.cmd.Process.Signal(syscall.SIGCONT)
}
