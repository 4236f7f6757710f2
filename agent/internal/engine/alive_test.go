package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/firmware/flashmap"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// slowChip is a chip of which the write is what the test says.
type slowChip struct {
	*rig
	write func(ctx context.Context, progress func(done, total int64)) error
}

func (c slowChip) Connect(ctx context.Context, v image.Verified) (engine.Session, error) {
	s, err := c.rig.Connect(ctx, v)
	if err != nil {
		return nil, err
	}
	return slowSession{s.(session), c}, nil
}

type slowSession struct {
	session
	chip slowChip
}

func (s slowSession) Write(ctx context.Context, to flashmap.Slot, v image.Verified, progress func(done, total int64)) error {
	if err := s.chip.write(ctx, progress); err != nil {
		return err
	}
	return s.session.Write(ctx, to, v, progress)
}

// slowImages is a server of which the download is what the test says.
type slowImages struct {
	*rig
	download func()
}

func (i slowImages) Fetch(ctx context.Context, o update.Offer, progress func(done, total int64)) (update.Fetched, error) {
	i.download()
	return i.rig.Fetch(ctx, o, progress)
}

// enliven runs f with an engine over these ports, in fake time. Until the test
// lets it go by end, nothing that hangs in them returns.
func enliven(t *testing.T, ports func(r *rig, end <-chan struct{}) engine.Ports, f func(t *testing.T, r *rig, e *engine.Engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, end := newRig(t), make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go r.live(ctx)
		cfg := engine.Config{Chip: image.ESP32S3, SKU: "standard", Gates: preflight.DefaultPolicy(), Trial: watch.DefaultTrialPolicy(),
			Observe: watch.DefaultObservePolicy(), ObserveFor: time.Hour, Baud: 921600}
		cfg.Gates.Companion.Minor = 2
		e := engine.New(cfg, ports(r, end), update.New(), slog.New(slog.DiscardHandler))
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = e.Run(ctx)
		}()
		time.Sleep(2 * time.Second)
		f(t, r, e)
		close(end)
		cancel()
		<-done
		if err := e.Alive(t.Context()); !errors.Is(err, engine.ErrStopped) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func plain(r *rig) engine.Ports {
	return engine.Ports{Source: r, Images: r, Line: r, Chip: r, Robot: r, Journal: r}
}

// alive asks as the watchdog does.
func alive(t *testing.T, e *engine.Engine) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return e.Alive(ctx)
}

// lives asks every half minute for as long as told.
func lives(t *testing.T, e *engine.Engine, long time.Duration) {
	t.Helper()
	for start := time.Now(); time.Since(start) < long; time.Sleep(30 * time.Second) {
		if err := alive(t, e); err != nil {
			t.Fatalf("%s after %s: %v", e.Status().State, time.Since(start), err)
		}
	}
}

func TestAliveWhileNothingOrMuchHappens(t *testing.T) {
	enliven(t, func(r *rig, _ <-chan struct{}) engine.Ports { return plain(r) }, func(t *testing.T, r *rig, e *engine.Engine) {
		lives(t, e, 3*time.Hour)
		r.do(func() { r.battery = 0.4 })
		time.Sleep(time.Second)
		trigger(t, e)
		wait(t, e, update.Waiting)
		lives(t, e, 12*time.Hour)
		r.do(func() { r.battery = 0.6 })
		wait(t, e, update.Observing)
		lives(t, e, 3*time.Hour)
	})
}

func TestAliveWhileTheCableIsAwayForADay(t *testing.T) {
	enliven(t, func(r *rig, _ <-chan struct{}) engine.Ports { return plain(r) }, func(t *testing.T, r *rig, e *engine.Engine) {
		r.do(func() { r.next = silent })
		trigger(t, e)
		wait(t, e, update.Booting)
		r.do(func() { r.dead = true })
		wait(t, e, update.RollingBack)
		lives(t, e, 24*time.Hour)
		if s := e.Status().State; s != update.RollingBack {
			t.Errorf("%s", s)
		}
	})
}

func TestLongFlashIsAlive(t *testing.T) {
	enliven(t, func(r *rig, _ <-chan struct{}) engine.Ports {
		p := plain(r)
		p.Chip = slowChip{r, func(ctx context.Context, progress func(done, total int64)) error {
			for i := range int64(20) {
				progress(i, 20)
				time.Sleep(9 * time.Minute)
			}
			return nil
		}}
		return p
	}, func(t *testing.T, _ *rig, e *engine.Engine) {
		trigger(t, e)
		wait(t, e, update.Writing)
		lives(t, e, 170*time.Minute)
		if s := e.Status().State; s != update.Writing {
			t.Fatalf("the flash was over: %s", s)
		}
		wait(t, e, update.Observing)
	})
}

func TestDownloadThatWaitsAsTheServerAskedIsAlive(t *testing.T) {
	var e *engine.Engine
	enliven(t, func(r *rig, _ <-chan struct{}) engine.Ports {
		p := plain(r)
		p.Images = slowImages{r, func() {
			for range 3 {
				e.Hitch(errors.New("503"), 2*time.Hour)
				time.Sleep(2*time.Hour + 15*time.Minute)
			}
		}}
		return p
	}, func(t *testing.T, _ *rig, running *engine.Engine) {
		e = running
		trigger(t, e)
		wait(t, e, update.Downloading)
		lives(t, e, 6*time.Hour)
		if s := e.Status().State; s != update.Downloading {
			t.Fatalf("the download was over: %s", s)
		}
	})
}

// TestHungEffectIsStuck: a driver that never returns, whatever its context.
func TestHungEffectIsStuck(t *testing.T) {
	enliven(t, func(r *rig, end <-chan struct{}) engine.Ports {
		p := plain(r)
		p.Chip = slowChip{r, func(context.Context, func(done, total int64)) error { <-end; return errFake }}
		return p
	}, func(t *testing.T, _ *rig, e *engine.Engine) {
		trigger(t, e)
		wait(t, e, update.Writing)
		lives(t, e, 9*time.Minute)
		time.Sleep(2 * time.Minute)
		var stuck *engine.StuckError
		if err := alive(t, e); !errors.As(err, &stuck) || stuck.Effect != update.DoWrite || stuck.For < 10*time.Minute {
			t.Errorf("got %v", err)
		}
		// Cancelled, the loop waits for the effect's end, which never comes.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := e.Cancel(ctx); err == nil {
			t.Error("cancelled")
		}
		if err := alive(t, e); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a loop that waits: %v", err)
		}
	})
}

// hungJournal is a disk that never answers once there is an update.
type hungJournal struct {
	*rig
	end <-chan struct{}
}

func (j hungJournal) Save(m update.Memory, _ ...update.Record) error {
	if m.Job.State.Busy() {
		<-j.end
	}
	return nil
}

func TestHungDiskIsStuck(t *testing.T) {
	enliven(t, func(r *rig, end <-chan struct{}) engine.Ports {
		p := plain(r)
		p.Journal = hungJournal{r, end}
		return p
	}, func(t *testing.T, _ *rig, e *engine.Engine) {
		if err := alive(t, e); err != nil {
			t.Errorf("before: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _ = e.Trigger(ctx, update.Request{URL: "https://u/i", Origin: update.FromROS})
		if err := alive(t, e); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
