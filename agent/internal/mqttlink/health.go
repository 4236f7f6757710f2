package mqttlink

import "time"

// Health is how the line to the broker is doing.
type Health struct {
	Connected bool
	Since     time.Time // it has been so; zero: it was not tried yet
	Err       string    // why it is not connected, "" where it is
	Waiting   int       // events that the broker has not acknowledged
}

// Health is how the line is doing now.
func (l *Link) Health() Health {
	waiting := l.outbox.len()
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.line
	h.Waiting = waiting
	return h
}

func (l *Link) up(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line = Health{Connected: true, Since: now}
}

func (l *Link) down(err error, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.line.Connected || l.line.Since.IsZero() {
		l.line.Since = now
	}
	l.line.Connected, l.line.Err = false, ""
	if err != nil {
		l.line.Err = err.Error()
	}
}
