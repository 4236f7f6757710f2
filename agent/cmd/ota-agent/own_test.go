package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/journal"
)

// A second agent is turned away before it touches anything: what looks torn to
// it may be a line that the first is just writing.
func TestASecondAgentMendsNothing(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	free, err := journal.Claim(state)
	if err != nil {
		t.Fatal(err)
	}
	defer free()
	history, aside := filepath.Join(state, "history.jsonl"), filepath.Join(state, ".memory.json.ABCDEFGHIJ")
	const half = `{"before":"","rec`
	if err := errors.Join(os.WriteFile(history, []byte(half), 0o600), os.WriteFile(aside, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	second := agent{cfg: config.Config{StateDir: state, ControlSocket: filepath.Join(dir, "socket")}, log: slog.New(slog.DiscardHandler)}
	if _, err := second.own(t.Context()); !errors.Is(err, journal.ErrInUse) {
		t.Fatalf("got %v", err)
	}
	if b, err := os.ReadFile(history); err != nil || string(b) != half {
		t.Errorf("the history was changed: %q, %v", b, err)
	}
	if _, err := os.Stat(aside); err != nil {
		t.Errorf("what the first was writing is gone: %v", err)
	}
}
