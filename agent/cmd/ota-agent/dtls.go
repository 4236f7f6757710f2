package main

import (
	"strconv"

	"github.com/robot-platform/robot-ota/agent/internal/dtlslink"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/rosnode"
)

// probe is the DTLS client as configured, nil where none is.
func (a agent) probe(board *robot.Board) (*dtlslink.Probe, error) {
	d := a.cfg.DTLS
	if d.Address == "" {
		return nil, nil //nolint:nilnil // it is off, which is no error
	}
	identity, key, err := dtlslink.LoadKey(d.KeyFile)
	if err != nil {
		return nil, err
	}
	if d.Identity != "" {
		identity = d.Identity
	}
	return dtlslink.New(dtlslink.Config{Address: d.Address, Identity: identity, Key: key, Every: d.Every.Std()}, board, a.log)
}

// vitals are what the agent's own diagnostics say of the probe.
func (a agent) vitals(board *robot.Board) func() []rosnode.Vital {
	return func() []rosnode.Vital {
		if a.cfg.DTLS.Address == "" {
			return nil
		}
		d := board.Facts().DTLS
		return []rosnode.Vital{
			{Key: "dtls_tries", Value: strconv.FormatUint(d.Tries, 10)},
			{Key: "dtls_failures", Value: strconv.FormatUint(d.Failures, 10)},
			{Key: "dtls_latency_ms", Value: strconv.FormatFloat(d.Latency.Seconds()*1000, 'f', 1, 64)},
			{Key: "dtls_error", Value: d.Err},
		}
	}
}
