package engine

import (
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
)

// MinBattery is the fraction of full charge, 0-1, that must be exceeded.
func (e *Engine) MinBattery() float64 { return e.policy().MinBattery }

// SetMinBattery changes it, for the next time the gates are asked.
func (e *Engine) SetMinBattery(fraction float64) {
	e.tuning.Lock()
	defer e.tuning.Unlock()
	e.cfg.Gates.MinBattery = fraction
}

// ObserveFor is how long a confirmed firmware is observed.
func (e *Engine) ObserveFor() time.Duration {
	e.tuning.RLock()
	defer e.tuning.RUnlock()
	return e.cfg.ObserveFor
}

// SetObserveFor changes it, for the observation that goes on too.
func (e *Engine) SetObserveFor(d time.Duration) {
	e.tuning.Lock()
	defer e.tuning.Unlock()
	e.cfg.ObserveFor = d
}

func (e *Engine) policy() preflight.Policy {
	e.tuning.RLock()
	defer e.tuning.RUnlock()
	return e.cfg.Gates
}
