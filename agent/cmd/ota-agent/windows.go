package main

import (
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
)

// tellWindows says of each maintenance window when it opens next: whether a
// cron expression means what its author thinks is best seen there.
func (a *app) tellWindows(cfg config.Config, now time.Time) {
	for _, w := range cfg.Policy().Maintenance {
		is := ""
		if w.Open(now) {
			is = "is open now, and "
		}
		a.warn("maintenance window %s: %sopens next at %s", w.Spec, is, w.Next(now).Format("Mon 2006-01-02 15:04 MST"))
	}
}
