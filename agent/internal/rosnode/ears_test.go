package rosnode

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

func TestMeter(t *testing.T) {
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, hz := range []float64{0.5, 1, 10, 50} {
		var m meter
		every := time.Duration(float64(time.Second) / hz)
		for at := every; at <= 63*time.Second; at += every {
			m.hear(begin.Add(at))
		}
		now := begin.Add(63 * time.Second)
		if got := m.rate(now, begin); math.Abs(got-hz) > 0.25*hz+0.1 {
			t.Errorf("%v Hz: %v", hz, got)
		}
		if got := m.rate(now.Add(2*window), begin); got != 0 {
			t.Errorf("%v Hz, long over: %v", hz, got)
		}
		if m.total != uint64(63*hz) || !m.at.After(begin.Add(60*time.Second)) {
			t.Errorf("%v Hz: %d messages, the last at %s", hz, m.total, m.at)
		}
	}
	var young meter
	for i := range 20 {
		young.hear(begin.Add(time.Duration(i) * 100 * time.Millisecond))
	}
	if got := young.rate(begin.Add(2*time.Second), begin); got != 10 {
		t.Errorf("after two seconds of 10 Hz: %v", got)
	}
	if got := new(meter).rate(begin, begin.Add(-time.Hour)); got != 0 {
		t.Errorf("nothing heard: %v", got)
	}
	var jumped meter
	jumped.hear(begin)
	jumped.hear(begin.Add(-time.Hour)) // the clock was set back
	if got := jumped.rate(begin.Add(-time.Hour+time.Second), begin.Add(-2*time.Hour)); got > 1 || got < 0 {
		t.Errorf("after a jump: %v", got)
	}
}

func TestEars(t *testing.T) {
	e := newEars()
	now := time.Now()
	e.hear(robot.OdomRole, now)
	for i := range 20 {
		e.stranger(fmt.Sprintf("robot_%02d", i))
		e.stranger("robot_00")
	}
	h := robot.Hearing{Since: now.Add(-time.Second), Topics: []robot.Topic{{Role: robot.OdomRole}, {Role: robot.BatteryRole}}}
	e.fill(&h, now)
	if h.Topics[0].Heard != 1 || !h.Topics[0].At.Equal(now) || h.Topics[0].Rate != 1 || h.Topics[1].Heard != 0 || !h.Topics[1].At.IsZero() {
		t.Errorf("%+v", h.Topics)
	}
	if len(h.Strangers) != robot.MaxStrangers || !slices.IsSorted(h.Strangers) {
		t.Errorf("%v", h.Strangers)
	}
	if _, ok := h.Topic(robot.EStopRole); ok {
		t.Error("a topic that is not listened to")
	}
}

func TestStranger(t *testing.T) {
	i := intake{robotID: "r1", firmware: "r1/mcu"}
	for name, want := range map[string]string{
		"r2/system": "r2", "r2/mcu": "r2", "r1/system": "", "r2/firmware": "", "lidar: port 1": "", "lidar/scan": "", "/odd": "", "/system": "",
	} {
		if got, yes := i.stranger(name); yes != (want != "") || yes && got != want {
			t.Errorf("%s: %q, %v", name, got, yes)
		}
	}
}
