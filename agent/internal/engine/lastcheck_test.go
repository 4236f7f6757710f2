package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// tired is a server that asks to be left alone.
type tired struct{ wait time.Duration }

func (tired) Error() string               { return "503" }
func (e tired) LeaveAlone() time.Duration { return e.wait }

func TestWhoPlansTheChecksHearsOfEach(t *testing.T) {
	play(t, func(t *testing.T, r *rig, e *engine.Engine) {
		if s := e.Status(); s.LastCheck != nil || !s.NextCheck.Equal(time.Now().Add(time.Hour)) {
			t.Errorf("before any: %+v, next %s", s.LastCheck, s.NextCheck)
		}
		news, end := e.News()
		defer end()
		for i, tt := range []struct {
			err    error
			origin update.Origin
			want   update.Check
		}{
			{tired{time.Hour}, update.FromCLI, update.Check{Err: "503", Wait: time.Hour}},
			{errFake, update.FromROS, update.Check{Err: "it broke"}},
			{nil, update.FromCLI, update.Check{Offered: version(t, "0.2.1")}},
		} {
			r.do(func() { r.answer = tt.err })
			if _, err := e.Plan(t.Context(), update.Request{Origin: tt.origin}); (err == nil) != (tt.err == nil) {
				t.Fatal(err)
			}
			select {
			case <-news:
			default:
				t.Error("no news of it")
			}
			tt.want.At, tt.want.Origin = time.Now(), tt.origin
			if got := (asker{r}).Last(); got != tt.want || e.LastCheck() != got || *e.Status().LastCheck != got {
				t.Errorf("%d: %+v, want %+v", i, got, tt.want)
			}
		}
	})
}

// A scheduled check of a robot that has not spoken asks nobody, and is one that
// failed all the same.
func TestACheckBeforeTheFirmwareHasSpoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t) // which does not live
		e, kill := r.engine(t.Context())
		defer kill()
		if _, err := e.Trigger(t.Context(), update.Request{Origin: update.FromSchedule}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if c := e.LastCheck(); c.Err == "" || c.Origin != update.FromSchedule {
			t.Errorf("%+v", c)
		}
		if r.did("check") {
			t.Error("the server was asked")
		}
	})
}

// An agent that has just begun waits for the firmware's first word, and no longer
// than that takes.
func TestACheckRightAfterTheStart(t *testing.T) {
	for after, asked := range map[time.Duration]bool{4 * time.Second: true, 6 * time.Second: false} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			e, kill := r.engine(t.Context())
			defer kill()
			began := time.Now()
			if _, err := e.Trigger(t.Context(), update.Request{Origin: update.FromROS}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(after)
			for _, o := range r.words() {
				r.board.Post(o)
			}
			time.Sleep(time.Second)
			if r.did("check") != asked {
				t.Errorf("the firmware spoke after %s, and the server was asked: %v", after, !asked)
			}
			if s := e.Status(); (s.State == update.Failed) == asked {
				t.Errorf("%s after the start it is %s: %+v", time.Since(began), s.State, s.Failure)
			}
		})
	}
}
