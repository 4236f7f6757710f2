package census

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

type job struct{ busy atomic.Bool }

func (j *job) Undisturbed() bool        { return !j.busy.Load() }
func (j *job) Announced(time.Time) bool { return false }

func counted(t *testing.T, f func(b *robot.Board, j *job, c *Census)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b, j := robot.NewBoard(), new(job)
		c := New("r1", "standard", b, j)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.Run(ctx) }()
		f(b, j, c)
		cancel()
		<-done
	})
}

// live says that the firmware of a version lives, once a second for a time.
func live(b *robot.Board, v string, level robot.Level, d time.Duration) {
	version, _ := compat.ParseVersion(v)
	for range int(d / time.Second) {
		b.Post(robot.Diagnostic{Name: "r1/system", Level: level, At: time.Now()})
		b.Post(robot.Firmware{Version: version, BootCount: 3, At: time.Now()})
		time.Sleep(time.Second)
	}
}

func TestCountsPerFirmware(t *testing.T) {
	counted(t, func(b *robot.Board, j *job, c *Census) {
		live(b, "0.2.0", robot.OK, 10*time.Minute)
		j.busy.Store(true)
		time.Sleep(5 * time.Minute)
		j.busy.Store(false)
		live(b, "0.2.1", robot.Warn, 3*time.Minute+10*time.Second)
		told := c.Health(time.Now())
		if len(told) != 2 {
			t.Fatalf("%+v", told)
		}
		before, after := told[0], told[1]
		if before.Firmware.String() != "0.2.0" || before.Counters.OK < 9 || before.Counters.OK > 10 || before.Counters.Silent != 0 {
			t.Errorf("before: %+v", before)
		}
		if after.Firmware.String() != "0.2.1" || after.Counters.Warn < 2 || after.Counters.Silent != 0 || after.Epoch == before.Epoch {
			t.Errorf("after: %+v", after)
		}
		if after.Schema != watch.HealthSchema || after.RobotID != "r1" || after.SKU != "standard" {
			t.Errorf("%+v", after)
		}
		for _, h := range told {
			c.Told(h)
		}
		again := c.Health(time.Now())
		if len(again) != 1 || again[0].Epoch != after.Epoch || again[0].Seq <= after.Seq {
			t.Errorf("once told: %+v", again)
		}
	})
}

// A fleet that is away for a hundred updates is told of the latest few.
func TestEndedAreBounded(t *testing.T) {
	counted(t, func(b *robot.Board, _ *job, c *Census) {
		for i := range 100 {
			live(b, compat.Version{Minor: uint8(i + 1)}.String(), robot.OK, 10*time.Second)
		}
		if n := len(c.Health(time.Now())); n != maxEnded+1 {
			t.Errorf("%d counts", n)
		}
	})
}

// A word of an error between two looks is not missed.
func TestHearsBetweenLooks(t *testing.T) {
	counted(t, func(b *robot.Board, _ *job, c *Census) {
		live(b, "0.2.0", robot.OK, 30*time.Second)
		b.Post(robot.Diagnostic{Name: "r1/system", Level: robot.Error, At: time.Now()})
		live(b, "0.2.0", robot.OK, 3*time.Minute)
		all := c.Health(time.Now())
		if h := all[len(all)-1]; h.Counters.Error != 1 || h.Counters.OK < 1 {
			t.Errorf("%+v", h.Counters)
		}
	})
}
