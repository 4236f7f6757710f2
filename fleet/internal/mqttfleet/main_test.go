package mqttfleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is an inbox and an outbox.
type memory struct {
	mu      sync.Mutex
	taken   []Message
	refuse  func(Message) bool // what it cannot store; nil: nothing
	slow    time.Duration      // for each call
	pending []store.Command    // that nobody answered
	sends   map[string]int
	largest int // batch
}

func (m *memory) Take(ctx context.Context, messages []Message) error {
	m.mu.Lock()
	slow := m.slow
	m.mu.Unlock()
	if slow > 0 && !sleep(ctx, slow) {
		return ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.largest = max(m.largest, len(messages))
	for _, x := range messages {
		if m.refuse != nil && m.refuse(x) {
			return errors.New("the disk is full")
		}
	}
	m.taken = append(m.taken, messages...)
	return nil
}

func (m *memory) Due(_ context.Context, _ time.Time, unit time.Duration, limit int) ([]store.Command, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var due []store.Command
	for _, c := range m.pending {
		if n := m.sends[c.ID]; (n == 0 || unit == 0 && n == 1) && len(due) < limit {
			due = append(due, c)
		}
	}
	return due, nil
}

func (m *memory) Sent(_ context.Context, ids ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sends == nil {
		m.sends = map[string]int{}
	}
	for _, id := range ids {
		m.sends[id]++
	}
	return nil
}

func (m *memory) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// count counts what was taken on a topic, "" for all.
func (m *memory) count(topic string) (n int) {
	m.set(func() {
		for _, x := range m.taken {
			if topic == "" || x.Topic == topic {
				n++
			}
		}
	})
	return n
}

// start runs a link; what it returns ends it.
func start(t *testing.T, l *Link) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Error("the link does not stop")
		}
	})
	t.Cleanup(stop)
	return stop
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// eventually waits for what another process does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("this did not happen: %s", what)
}

func command(n int) store.Command {
	return store.Command{ID: fmt.Sprintf("c-%d", n), Robot: "r1", Verb: store.VerbRollback, Payload: []byte(`{"reason":"because"}`)}
}
