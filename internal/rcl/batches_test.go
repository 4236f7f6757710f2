//go:build ros2

package rcl_test

import (
	"context"
	"testing"
	"time"

	robot_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/robot_interfaces/msg"

	"github.com/robot-platform/robot-ota/internal/rcl"
	"github.com/robot-platform/robot-ota/internal/rostest"
)

type heard struct {
	number uint64
	at     time.Time
}

// Messages that come one by one are taken together, in order, and none is lost.
func TestBatches(t *testing.T) {
	rostest.Domain(t)
	n := open(t)
	p, err := n.Publisher("fast", rcl.Outgoing[robot_msgs.COtaStatus](robot_msgs.OtaStatusTypeSupport), rcl.Reliable(64))
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan heard, 1000)
	hear := func(m *robot_msgs.OtaStatus) { got <- heard{m.BytesDone, time.Now()} }
	err = rcl.SubscribeInBatches(n, "fast", robot_msgs.OtaStatusTypeSupport, rcl.Reliable(64), hear, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	spun := make(chan error, 1)
	go func() { spun <- n.Spin(ctx) }()

	publish := func(number uint64) {
		m := robot_msgs.NewOtaStatus()
		m.BytesDone = number
		if err := p.Publish(m); err != nil {
			t.Error(err)
		}
	}
	const first, last = 1, 50
	for met := false; !met; {
		publish(0) // until publisher and subscription have met
		select {
		case <-got:
			met = true
		case <-time.After(100 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("nothing arrives")
		}
	}
	for i := uint64(first); i <= last; i++ {
		publish(i)
		time.Sleep(10 * time.Millisecond)
	}
	var before heard
	rests := 0
	for next := uint64(first); next <= last; {
		var h heard
		select {
		case h = <-got:
		case <-time.After(30 * time.Second):
			t.Fatalf("message %d is lost", next)
		}
		if h.number == 0 {
			continue
		}
		if h.number != next {
			t.Fatalf("message %d where %d was to come", h.number, next)
		}
		if next > first && h.at.Sub(before.at) >= rcl.BatchEvery-10*time.Millisecond {
			rests++
		}
		before, next = h, next+1
	}
	if rests == 0 {
		t.Error("each message was taken as it came")
	}
	cancel()
	if err := <-spun; err != nil {
		t.Error(err)
	}
}
