package engine

import (
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// lastCheck is the latest question to the update server, whoever asked it.
type lastCheck struct {
	mu    sync.Mutex
	check update.Check
}

func (l *lastCheck) note(o update.Offer, err error, now time.Time) {
	c := update.Check{At: now, Offered: o.Version}
	if err != nil {
		c.Err = err.Error()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.check = c
}

// LastCheck is how the latest question to the update server went; its time is
// zero before the first.
func (e *Engine) LastCheck() update.Check {
	e.lastCheck.mu.Lock()
	defer e.lastCheck.mu.Unlock()
	return e.lastCheck.check
}
