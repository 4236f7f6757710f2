package rosnode

import (
	"log/slog"
	"sync"
	"time"
)

// Bounds on what is logged: what comes with every message of a topic, each
// time worded anew, must not fill the disk.
const (
	complaintsEvery = time.Minute
	maxComplaints   = 16
)

// complaints logs troubles: each once in a while, and few in all.
type complaints struct {
	log   *slog.Logger
	mu    sync.Mutex
	since time.Time
	said  map[string]bool
}

func (c *complaints) about(err error) {
	if err == nil {
		return
	}
	now, text := time.Now(), err.Error()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said == nil || now.Sub(c.since) >= complaintsEvery {
		c.since, c.said = now, make(map[string]bool)
	}
	if c.said[text] || len(c.said) >= maxComplaints {
		return
	}
	c.said[text] = true
	c.log.Warn("ROS", "err", cut(text, maxString))
}
