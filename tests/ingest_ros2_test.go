//go:build ros2

package tests

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// known is what ota-fleet robot show tells of a robot.
type known struct {
	State struct {
		Version  string `json:"version"`
		OTAState string `json:"ota_state"`
		JobState string `json:"job_state"`
		Online   bool   `json:"online"`
		Farewell string `json:"farewell"`
	} `json:"state"`
	Updates []struct {
		From, Version, Outcome, Code string
		Download                     float64 `json:"download_seconds"`
	} `json:"updates"`
	Commands []struct {
		ID, Verb, Verdict string
		Sends             int
		Complied          time.Time
	} `json:"commands"`
	Events []struct {
		ID, To string
	} `json:"events"`
	Hours []struct{ Firmware string } `json:"hours"`
}

func (p *plant) known() (k known) {
	p.t.Helper()
	out := p.run("ota-fleet", "robot", "show", "--data", p.shared("fleet"), "--events", "100", "--json", p.id)
	if err := json.Unmarshal([]byte(out), &k); err != nil {
		p.t.Fatalf("%v\n%s", err, out)
	}
	return k
}

// learns waits until the fleet knows something of the robot.
func (p *plant) learns(what string, limit time.Duration, ok func(known) bool) (k known) {
	p.t.Helper()
	p.until("the fleet's knowing "+what, limit, func() bool { k = p.known(); return ok(k) })
	return k
}

// whole checks that an update of the robot has arrived with all its steps.
func (p *plant) whole(k known) {
	p.t.Helper()
	var went []string
	for _, e := range slices.Backward(k.Events) {
		if e.To != "" {
			went = append(went, e.To)
		}
	}
	if !slices.Equal(went, wholeUpdate) {
		p.t.Errorf("it went %v", went)
	}
	if k.State.OTAState != "valid" || len(k.Hours) == 0 {
		p.t.Errorf("%+v", k)
	}
}

// updated says that the one update to 0.2.1 ended so.
func (k known) updated(outcome string) bool {
	return len(k.Updates) == 1 && k.Updates[0].From == "0.2.0" && k.Updates[0].Version == "0.2.1" && k.Updates[0].Outcome == outcome
}

// A real robot, a real broker and the real server: the update of the one is
// known to the other, a command of the fleet reaches it, and is answered and
// complied with.
func TestFleetOverMQTT(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, program string) {
		f := newFleet(t, program, "r1")
		p := newPlant(t, options{config: f.config("r1"), serve: []string{"--mqtt-url", "mqtts://" + f.addr, "--mqtt-ca", f.p.path("mqtt-tls/ca.pem"),
			"--mqtt-user", "operator", "--mqtt-password-file", f.p.path("operator.password")}})
		url := p.publish("0.2.1", "good")
		p.heard()
		p.learns("the robot", 30*time.Second, func(k known) bool { return k.State.Online && k.State.Version == "0.2.0" })
		p.trigger(url)
		p.whole(p.learns("the update", 60*time.Second, func(k known) bool {
			return k.updated("confirmed") && k.State.Version == "0.2.1" && k.State.JobState == "observing"
		}))
		p.run("ota-fleet", "rollback", "--data", p.shared("fleet"), "--release", "standard-0.2.1", "--reason", "it bites", "--yes")
		k := p.learns("the roll-back", 60*time.Second, func(k known) bool {
			return k.updated("rolled_back") && k.State.Version == "0.2.0" && len(k.Commands) > 0 && !k.Commands[0].Complied.IsZero()
		})
		if c := k.Commands[0]; len(k.Commands) != 1 || c.Verb != "rollback" || c.Verdict != "followed" || c.Sends != 1 {
			t.Errorf("%+v", k.Commands)
		}
		p.runs("0.2.0")
		p.agent.stop()
		p.learns("the farewell", 20*time.Second, func(k known) bool { return !k.State.Online && k.State.Farewell == "stopped" })
	})
}

// The same is known of a robot without a broker.
func TestFleetByReports(t *testing.T) {
	t.Parallel()
	p := newPlant(t, options{server: ", report: true"})
	url := p.publish("0.2.1", "good")
	p.heard()
	p.learns("the robot", 30*time.Second, func(k known) bool { return k.State.Online && k.State.Version == "0.2.0" })
	p.trigger(url)
	p.whole(p.learns("the update", 60*time.Second, func(k known) bool {
		return k.updated("confirmed") && k.State.Version == "0.2.1" && k.State.JobState == "observing"
	}))

	// The next release comes as a patch, from the image that the robot keeps.
	next := p.image("0.2.2", "good", "--like", "0.2.1")
	p.offer(next, "--sku", "standard")
	p.trigger("")
	p.runs("0.2.2")
	p.until("the record", time.Minute, func() bool {
		var r struct {
			Patched    bool  `json:"patched"`
			Downloaded int64 `json:"downloaded_bytes"`
		}
		lines := strings.Split(strings.TrimSpace(p.run("ota-agent", "history", "--socket", p.path("agent.sock"), "--json")), "\n")
		return len(lines) == 2 && (json.Unmarshal([]byte(lines[0]), &r) == nil && r.Patched && r.Downloaded < 10_000 ||
			json.Unmarshal([]byte(lines[1]), &r) == nil && r.Patched && r.Downloaded < 10_000)
	})
	if log, err := os.ReadFile(p.agent.log); err != nil || !strings.Contains(string(log), "image rebuilt from a patch") {
		t.Errorf("the agent says nothing of a patch: %v", err)
	}
}
