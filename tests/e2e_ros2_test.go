//go:build ros2

package tests

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"
)

func digest(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// memory is the state that the agent has made durable, and of which job.
func (p *plant) memory() (state, job string) {
	b, err := os.ReadFile(p.path("state/memory.json"))
	var m struct{ Job struct{ State, ID string } }
	if err != nil || json.Unmarshal(b, &m) != nil {
		return "", ""
	}
	return m.Job.State, m.Job.ID
}

// killIn kills the agent with SIGKILL as soon as it has written that a job
// other than before is in a state, or has ended without being seen there, and
// tells in which state it died. Some states last a few milliseconds.
func (p *plant) killIn(state, before string, limit time.Duration) string {
	p.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(200 * time.Microsecond) {
		now, job := p.memory()
		if job != before && (now == state || now == "observing" || now == "failed" || now == "rolled_back") {
			break
		}
		if time.Now().After(end) {
			p.t.Fatalf("never got to %s; it is in %s", state, now)
		}
	}
	p.agent.kill()
	died, _ := p.memory()
	return died
}

// The agent is killed in each state, a real dead process, and started again:
// the job ends, the robot runs the old firmware or the new one and says so, and
// the slot that it runs is the one that boots.
func TestKilledInEachState(t *testing.T) {
	t.Parallel()
	p := newPlant(t, options{sim: []string{"--app-start", "1s"}})
	p.heard()
	old, patch := "0.2.0", 0
	for _, k := range []struct {
		state, behaviour string
		stretch          bool // hold the server still, so that the state lasts
	}{
		{"checking", "good", true}, {"downloading", "good", true}, {"verifying", "good", false}, {"waiting", "good", false},
		{"handover", "good", false}, {"connecting", "good", false}, {"writing", "good", false}, {"attesting", "good", false},
		{"booting", "good", false}, {"validating", "good", false}, {"confirmed", "good", false}, {"observing", "good", false},
		{"rolling_back", "no_confirm", false}, {"rolled_back", "fail_self_test", false},
	} {
		for try := 1; ; try++ { // some states last a few milliseconds
			patch++
			version := fmt.Sprintf("0.2.%d", patch)
			died := p.dieIn(k.state, version, k.behaviour, k.stretch)
			now := p.comesBack(old, version)
			t.Logf("%s: killed in %s, then %s", k.state, died, now)
			if k.behaviour != "good" && now != old {
				t.Fatalf("a bad firmware was confirmed: %s", now)
			}
			old = now
			if died == k.state {
				break
			}
			if try == 15 {
				t.Fatalf("the agent never died in %s", k.state)
			}
		}
	}
}

// dieIn starts an update and kills the agent in a state.
func (p *plant) dieIn(state, version, behaviour string, stretch bool) string {
	p.t.Helper()
	url := p.publish(version, behaviour)
	if state == "checking" {
		url = ""
	}
	if stretch {
		_ = p.server.cmd.Process.Signal(syscall.SIGSTOP)
		defer func() { _ = p.server.cmd.Process.Signal(syscall.SIGCONT) }()
	}
	if state == "waiting" {
		p.battery("0.2")
		defer p.battery("0.9")
		p.gated(url, "battery_low")
	}
	_, before := p.memory()
	p.trigger(url)
	return p.killIn(state, before, 40*time.Second)
}

// comesBack starts the agent again and returns the version that runs in the
// end, which must be one of the two.
func (p *plant) comesBack(old, next string) string {
	p.t.Helper()
	p.startAgent()
	s := p.ends(60 * time.Second)
	want, slotState := old, ""
	if s.State == "observing" {
		want, slotState = next, "valid"
	}
	p.runs(want)
	c := p.chip()
	for _, slot := range c.Slots {
		if slot.Slot != c.NextBoot {
			continue
		}
		if slot.Version != want || !slot.Valid || (slotState != "" && slot.OTAState != slotState) {
			p.t.Fatalf("after %s, %s boots next and holds %+v, want %s", s.State, c.NextBoot, slot, want)
		}
	}
	return want
}
