package main

import (
	"context"
	"path/filepath"

	"github.com/robot-platform/robot-ota/agent/internal/handover"
	"github.com/robot-platform/robot-ota/agent/internal/serialport"
)

// line is the serial line as it is borrowed from the micro-ROS agent.
func (a agent) line() (*handover.Line, error) {
	m := a.cfg.MicroROS
	free := func(ctx context.Context) (string, error) { return serialport.InUseBy(ctx, a.cfg.Serial.Port, lockDir) }
	return handover.New(handover.Config{
		Unit: m.Unit, Stop: m.Stop, Start: m.Start,
		Marker: filepath.Join(a.cfg.StateDir, "handover.json"), Log: a.log,
	}, free, nil)
}
