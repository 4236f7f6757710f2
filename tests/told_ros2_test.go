//go:build ros2

package tests

import (
	"strings"
	"testing"
	"time"
)

// follow triggers an update, follows it to its end, and returns what was
// printed and the exit code.
func (p *plant) follow(url string) (string, int) {
	p.t.Helper()
	cmd := p.command("ota-agent", "trigger", "--socket", p.path("agent.sock"), url)
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// What an operator reads when an update cannot be made, and that the robot
// runs on.
func TestWhatTheOperatorIsTold(t *testing.T) {
	t.Parallel()
	p := newPlant(t, options{config: "download: {give_up: 2s}"})
	p.heard()
	tests := []struct {
		name, url string
		before    func()
		want      []string
	}{
		{"an image for another chip", p.offer(p.image("0.2.1", "good", "--chip", "esp32"), "--sku", "standard", "--chip", "esp32"), nil, []string{"image refused (chip): it is built for esp32, this robot has esp32s3"}},
		{"an image for another robot", p.offer(p.image("0.2.2", "good", "--sku", "basic"), "--sku", "basic"), nil, []string{`image refused (sku): it is built for SKU "basic", this robot is "standard"`}},
		{"an older image", p.publish("0.1.9", "good"), nil, []string{"image refused (downgrade)", "0.1.9", "0.2.0"}},
		{"no such image", "https://" + p.addr + "/v1/artifacts/" + strings.Repeat("0", 64), nil, []string{"404 Not Found"}},
		{"a cable that is not plugged in", p.publish("0.2.3", "good"), func() { p.run("ota-sim", "cable", "--control", p.path("sim.sock"), "--unplug") },
			[]string{"no such serial port: " + p.path("tty")}},
		{"a server that is down", p.publish("0.2.4", "good"), func() {
			p.run("ota-sim", "cable", "--control", p.path("sim.sock"), "--plug")
			p.ends(20 * time.Second)
			p.server.stop()
		}, []string{"cannot reach the server " + p.addr, "connection refused"}},
	}
	for _, tt := range tests {
		if tt.before != nil {
			tt.before()
		}
		said, code := p.follow(tt.url)
		if code != 3 {
			t.Errorf("%s: exit code %d, want 3", tt.name, code)
		}
		for _, want := range tt.want {
			if !strings.Contains(said, want) {
				t.Errorf("%s: %q is not in\n%s", tt.name, want, said)
			}
		}
	}
	p.ends(20 * time.Second)
	p.runs("0.2.0")
	if c := p.chip(); c.NextBoot != "factory" {
		t.Errorf("the chip boots %s", c.NextBoot)
	}
}

// The cable is pulled in the middle of the write, and put back later: the
// update fails within seconds, and the robot runs the old firmware again
// without anybody's help.
func TestTheCableIsPulled(t *testing.T) {
	t.Parallel()
	p := newPlant(t, options{paced: true})
	p.heard()
	url := p.publish("0.2.1", "good")
	p.trigger(url)
	p.until("bytes on the line", 20*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "writing" })
	p.run("ota-sim", "cable", "--control", p.path("sim.sock"), "--unplug")
	p.until("the failure", 10*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "failed" })
	s, err := p.status()
	if err != nil || !s.Held || s.Failure == nil || !strings.Contains(s.Failure.Text, "failed in writing") {
		t.Errorf("the agent says %+v, %v", s, err)
	}
	p.run("ota-sim", "cable", "--control", p.path("sim.sock"), "--plug")
	p.ends(60 * time.Second)
	if c := p.chip(); c.NextBoot != "factory" {
		t.Errorf("the chip boots %s", c.NextBoot)
	}
	p.runs("0.2.0")
	p.trigger(url) // and nothing is in the way of the next one
	p.until("the second try", 60*time.Second, func() bool { s, err := p.status(); return err == nil && s.State == "observing" })
	p.runs("0.2.1")
}
