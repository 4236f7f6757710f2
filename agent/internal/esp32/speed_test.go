package esp32

import (
	"log/slog"
	"testing"
	"time"
)

func TestBegin(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		kept int
		age  time.Duration
		want int
	}{
		{"nothing kept", 0, 0, 921600},
		{"noisy just now", 460800, 0, 460800},
		{"noisy six days ago", 115200, 6 * 24 * time.Hour, 115200},
		{"tried anew after a week", 460800, 7 * 24 * time.Hour, 921600},
		{"kept by a clock that was ahead", 460800, -time.Hour, 921600},
		{"as fast as asked for", 921600, 0, 921600},
		{"faster than asked for", 2_000_000, 0, 921600},
		{"no speed of a loader", 300, 0, 921600},
		{"below zero", -1, 0, 921600},
	} {
		if got := begin(921600, tt.kept, now.Add(-tt.age), now); got != tt.want {
			t.Errorf("%s: %d baud, want %d", tt.name, got, tt.want)
		}
	}
}

type speeds struct {
	baud  int
	at    time.Time
	saves int
}

func (s *speeds) Speed() (int, time.Time, error) { return s.baud, s.at, nil }

func (s *speeds) KeepSpeed(baud int, at time.Time) error {
	s.baud, s.at = baud, at
	s.saves++
	return nil
}

func TestASpeedIsKeptWhenNoiseLoweredIt(t *testing.T) {
	kept := &speeds{}
	c := New(Config{Baud: 921600, Speeds: kept, Log: slog.New(slog.DiscardHandler)})
	c.learn(c.speed(), 921600) // all well
	c.learn(c.speed(), 0)      // the port sets the speed
	if kept.saves != 0 || c.speed() != 921600 {
		t.Fatalf("%d baud kept without noise", kept.baud)
	}
	c.learn(c.speed(), 460800)
	if kept.saves != 1 || c.speed() != 460800 {
		t.Fatalf("after noise the next session begins at %d baud, want 460800", c.speed())
	}
	c.learn(c.speed(), 460800) // well at that speed: the week goes on
	if kept.saves != 1 {
		t.Error("a session without noise put the return to full speed off")
	}
	kept.at = time.Now().Add(-trustAgain)
	if c.speed() != 921600 {
		t.Errorf("a week later: %d baud, want 921600", c.speed())
	}
}
