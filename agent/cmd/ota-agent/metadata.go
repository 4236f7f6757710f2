package main

import (
	"path/filepath"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/agent/internal/metadata"
	"github.com/robot-platform/robot-ota/agent/internal/rosnode"
	"github.com/robot-platform/robot-ota/internal/tuf"
)

// lists is the release metadata, where the configuration asks for it.
type lists struct{ *metadata.Client } // nil: it does not

// lists opens it. A root document that cannot be read keeps no agent from
// running, as it has more to do than to install.
func (a agent) lists(http *httpguard.Client) (lists, error) {
	m := a.cfg.Metadata
	if !m.Required {
		return lists{}, nil
	}
	u, err := a.cfg.MetadataURL()
	if err != nil {
		return lists{}, err
	}
	root, rootErr := m.ReadRoot()
	c, err := metadata.New(metadata.Config{
		Dir: filepath.Clean(a.cfg.StateDir), Root: root, RootErr: rootErr, URL: u, SKU: a.cfg.Robot.SKU,
		AnyLocal: m.LocalFiles == config.LocalAny, Now: time.Now,
	}, http, a.log)
	return lists{c}, err
}

// into gives the engine who vouches for files; nobody where nobody is asked.
func (l lists) into(p *engine.Ports) {
	if l.Client != nil {
		p.Vouchers = l.Client
	}
}

// onNode puts what is wrong with it into the agent's own diagnostics.
func (l lists) onNode(c rosnode.Config) rosnode.Config {
	if l.Client == nil {
		return c
	}
	more := c.Warnings
	c.Warnings = func() []string { return append(more(), l.Report().Warnings(time.Now())...) }
	return c
}

// report is what there is, for the doctor.
func (l lists) report() tuf.Report {
	if l.Client == nil {
		return tuf.Report{}
	}
	return l.Report()
}
