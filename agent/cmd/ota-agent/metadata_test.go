package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/rosnode"
	"github.com/robot-platform/robot-ota/internal/tuf/tuftest"
)

// Where the configuration does not ask for release metadata nobody is asked; where
// it does, a root that is missing keeps the agent from installing and not from
// running, and everybody who looks is told.
func TestReleaseMetadata(t *testing.T) {
	a := agent{cfg: config.Default(), log: slog.New(slog.DiscardHandler)}
	a.cfg.StateDir, a.cfg.Metadata.Root = t.TempDir(), filepath.Join(t.TempDir(), "root.json")
	told := func(l lists) []string {
		t.Helper()
		c := l.onNode(rosnode.Config{Warnings: func() []string { return nil }})
		return c.Warnings()
	}
	var ports engine.Ports
	l, err := a.lists(nil)
	if l.into(&ports); err != nil || ports.Vouchers != nil || l.report().Required || told(l) != nil {
		t.Errorf("not asked for: %+v, %+v, %v", l, ports, err)
	}
	a.cfg.Metadata.Required = true
	l, err = a.lists(nil)
	if l.into(&ports); err != nil || ports.Vouchers == nil || !strings.Contains(l.report().Unusable, "no such file") || len(told(l)) != 1 {
		t.Errorf("no root: %+v, %v, %q", l.report(), err, told(l))
	}
	if err := os.WriteFile(a.cfg.Metadata.Root, tuftest.New(tuftest.Noon()).First(), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err = a.lists(nil)
	if r := l.report(); err != nil || r.Unusable != "" || len(told(l)) != 1 || !strings.Contains(told(l)[0], "accepted yet") {
		t.Errorf("a root: %+v, %v", r, err)
	}
}
