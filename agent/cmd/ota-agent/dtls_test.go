package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/rosnode"
)

func TestProbeAsConfigured(t *testing.T) {
	board := robot.NewBoard()
	a := agent{cfg: config.Default(), log: slog.New(slog.DiscardHandler)}
	if p, err := a.probe(board); p != nil || err != nil {
		t.Errorf("not configured: %v, %v", p, err)
	}
	if v := a.vitals(board)(); v != nil {
		t.Errorf("not configured: %v", v)
	}
	file := filepath.Join(t.TempDir(), "psk")
	a.cfg.DTLS.Address, a.cfg.DTLS.KeyFile = "10.0.0.2", file
	for _, tt := range []struct {
		text, identity string
		mode           os.FileMode
		ok             bool
	}{
		{"robot_01020304:30313233343536373839616263646566", "", 0o600, true},
		{"30313233343536373839616263646566", "robot_01020304", 0o600, true},
		{"30313233343536373839616263646566", "", 0o600, false},
		{"robot_01020304:30313233343536373839616263646566", "", 0o644, false},
	} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, tt.mode); err != nil {
			t.Fatal(err)
		}
		a.cfg.DTLS.Identity = tt.identity
		if _, err := a.probe(board); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	board.Post(robot.DTLS{Tries: 7, Failures: 2, Latency: 12500 * time.Microsecond, Err: "no answer"})
	want := []rosnode.Vital{{Key: "dtls_tries", Value: "7"}, {Key: "dtls_failures", Value: "2"}, {Key: "dtls_latency_ms", Value: "12.5"}, {Key: "dtls_error", Value: "no answer"}}
	got := a.vitals(board)()
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got[i], want[i])
		}
	}
}
