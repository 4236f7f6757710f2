package rosnode

import (
	"slices"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

// ears count what is heard, for those who want to know whether the robot is.
type ears struct {
	mu        sync.Mutex
	meters    map[robot.Role]*meter
	strangers []string // other robots, in the order in which they were heard
}

func newEars() *ears {
	e := &ears{meters: make(map[robot.Role]*meter)}
	for _, r := range robot.Roles() {
		e.meters[r] = new(meter)
	}
	return e
}

// hear counts a message.
func (e *ears) hear(r robot.Role, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.meters[r].hear(now)
}

// stranger notes another robot.
func (e *ears) stranger(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.strangers) < robot.MaxStrangers && !slices.Contains(e.strangers, id) {
		e.strangers = append(e.strangers, id)
	}
}

// fill adds what was heard to h.
func (e *ears) fill(h *robot.Hearing, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	h.Strangers = slices.Clone(e.strangers)
	for i := range h.Topics {
		t := &h.Topics[i]
		m := e.meters[t.Role]
		t.Heard, t.At, t.Rate = m.total, m.at, m.rate(now, h.Since)
	}
}

// window is over how long a rate is taken: long enough for a topic of 1 Hz.
const window = 5 * time.Second

// meter counts messages, and those of the window that goes on and of the one
// before it.
type meter struct {
	total     uint64
	at        time.Time // of the last
	begin     time.Time // of the window
	this, was uint64
}

func (m *meter) hear(now time.Time) {
	m.roll(now)
	m.total++
	m.this++
	m.at = now
}

func (m *meter) roll(now time.Time) {
	switch gone := now.Sub(m.begin); {
	case gone < 0 || gone >= 2*window: // the first message, the clock jumped, or long silence
		m.begin, m.this, m.was = now, 0, 0
	case gone >= window:
		m.begin, m.was, m.this = m.begin.Add(window), m.this, 0
	}
}

// rate is messages a second over the last window, as if those of the window
// before had come evenly; over the time since listening began where that is
// shorter.
func (m *meter) rate(now, since time.Time) float64 {
	m.roll(now)
	if age := now.Sub(since); age < window {
		return float64(m.total) / max(age, time.Second).Seconds()
	}
	past := 1 - now.Sub(m.begin).Seconds()/window.Seconds()
	return (float64(m.was)*past + float64(m.this)) / window.Seconds()
}
