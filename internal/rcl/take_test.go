//go:build ros2

package rcl_test

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	diagnostic_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/diagnostic_msgs/msg"

	"github.com/robot-platform/robot-ota/internal/rcl"
	"github.com/robot-platform/robot-ota/internal/rostest"
)

// Messages are taken into memory that held others before; nothing of those is
// left in them, whichever was longer.
func TestTakenWhole(t *testing.T) {
	rostest.Domain(t)
	n := open(t)
	ts := diagnostic_msgs.DiagnosticArrayTypeSupport
	p, err := n.Publisher("sizes", rcl.Outgoing[diagnostic_msgs.CDiagnosticArray](ts), rcl.Latched(64))
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan *diagnostic_msgs.DiagnosticArray, 64)
	hear := func(m *diagnostic_msgs.DiagnosticArray) { got <- m.Clone() }
	if err := rcl.Subscribe(n, "sizes", ts, rcl.Latched(64), hear, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	var sent []*diagnostic_msgs.DiagnosticArray
	for _, size := range []struct{ statuses, values, text int }{
		{0, 0, 0}, {1, 2, 5}, {20, 30, 4000}, {2, 0, 1}, {0, 0, 0}, {3, 40, 0}, {1, 1, 20_000}, {1, 1, 1},
	} {
		m := diagnostic_msgs.NewDiagnosticArray()
		m.Header.FrameId = strings.Repeat("f", size.text)
		for range size.statuses {
			s := diagnostic_msgs.NewDiagnosticStatus()
			s.Name, s.Message = strings.Repeat("n", size.text), strings.Repeat("é", size.text)
			for range size.values {
				s.Values = append(s.Values, diagnostic_msgs.KeyValue{Key: "k", Value: strings.Repeat("v", size.text)})
			}
			m.Status = append(m.Status, *s)
		}
		sent = append(sent, m)
		if err := p.Publish(m); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	spun := make(chan error, 1)
	go func() { spun <- n.Spin(ctx) }()
	for i, want := range sent {
		select {
		case m := <-got:
			if !same(m, want) {
				t.Errorf("message %d: got %.200v, want %.200v", i, m, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("message %d did not come", i)
		}
	}
	cancel()
	if err := <-spun; err != nil {
		t.Error(err)
	}
}

// same compares without telling an empty list from none.
func same(a, b *diagnostic_msgs.DiagnosticArray) bool {
	if a.Header.FrameId != b.Header.FrameId || len(a.Status) != len(b.Status) {
		return false
	}
	for i := range a.Status {
		x, y := a.Status[i], b.Status[i]
		if len(x.Values)+len(y.Values) == 0 {
			x.Values, y.Values = nil, nil
		}
		if !reflect.DeepEqual(x, y) {
			return false
		}
	}
	return true
}
