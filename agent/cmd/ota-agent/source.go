package main

import (
	"net/url"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/fetch"
	"github.com/robot-platform/robot-ota/agent/internal/hawkbit"
	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/agent/internal/mqttlink"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/updateserver"
)

// source is the update server as configured.
func (a agent) source(server *url.URL, http *httpguard.Client, board *robot.Board, m update.Memory, ring *keys, images *fetch.Client) (engine.Source, error) {
	s, r := a.cfg.Server, a.cfg.Robot
	if s.Source != config.SourceHawkbit {
		return updateserver.New(updateserver.Config{
			URL: server, RobotID: r.ID, SKU: r.SKU, Companion: r.CompanionVersion, MaxSize: int64(a.cfg.Download.MaxSize), Keyring: ring,
			Kept: images.Kept, BadPatch: func(err error) { a.log.Warn("the whole image will be downloaded", "err", err) },
		}, http), nil
	}
	return hawkbit.New(hawkbit.Config{
		Server: server, Tenant: s.Hawkbit.Tenant, Controller: a.cfg.HawkbitController(),
		Confirm: s.Hawkbit.Consent == config.ConsentAuto,
		RobotID: r.ID, SKU: r.SKU, Companion: r.CompanionVersion.String(), Agent: a.version,
		StateDir: a.cfg.StateDir, MaxSize: int64(a.cfg.Download.MaxSize),
	}, http, board, m, a.log)
}

// checkEvery is the schedule's period: a hawkBit server says itself when it is
// to be asked.
func (a agent) checkEvery() time.Duration {
	if a.cfg.Server.Source == config.SourceHawkbit {
		return 0
	}
	return a.cfg.Server.CheckEvery.Std()
}

// observers all hear of each step.
type observers []engine.Observer

// Stepped tells them.
func (o observers) Stepped(before, after update.Memory, event string) {
	for _, each := range o {
		each.Stepped(before, after, event)
	}
}

// observing is who wants to hear of the engine's steps.
func observing(link *mqttlink.Link, deployments *hawkbit.Link) engine.Observer {
	var o observers
	if link != nil {
		o = append(o, link)
	}
	if deployments != nil {
		o = append(o, deployments)
	}
	return o
}
