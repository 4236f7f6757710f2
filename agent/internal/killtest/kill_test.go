package killtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/disk/disktest"
)

// kills of an update are where its agents die, one after the other.
type kills []point

// TestKilled kills agents, and each time has the next one end the update. A
// short run tries a few points of each kind, a full one (ROBOT_OTA_PROOF=full)
// every operation on a file and hundreds of bytes to the chip, and as many times
// the agent after that again.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("needs minutes")
	}
	p := newPlant(t)
	r := newRig(t, p)
	whole, _, err := r.life(t.Context(), point{})
	if err == nil {
		err = r.judge(t.Context(), whole)
	}
	if err != nil {
		t.Fatal(err)
	}
	ops, sent := whole.Ops, r.wire.carried()
	t.Logf("an update: %s, %d operations on files, %d bytes to the chip", whole.Outcome, ops, sent)
	if ops < 100 || sent < 10_000 {
		t.Fatal("too little is counted")
	}
	r.sees(t)
	report := disktest.Report{Part: "kills of real processes", Seeds: "1"}
	var mu sync.Mutex
	t.Run("at", func(t *testing.T) {
		for _, k := range chosen(ops, sent, os.Getenv(disktest.FullEnv) == "full") {
			t.Run(fmt.Sprint([]point(k)), func(t *testing.T) {
				t.Parallel()
				died, err := p.try(t, k)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					report.Failures++
				case died == len(k) && died == 1:
					report.Points++
				case died == len(k):
					report.Second++
				}
			})
		}
	})
	t.Logf("%d killed once, %d twice, %d failures", report.Points, report.Second, report.Failures)
	if report.Points == 0 || report.Second == 0 {
		t.Error("nobody was killed")
	}
	if err := report.Write(); err != nil {
		t.Error(err)
	}
}

// sees shows that judge can find something, on a robot whose update was
// confirmed.
func (r *rig) sees(t *testing.T) {
	t.Helper()
	history := filepath.Join(r.task.State, "history.jsonl")
	stored := filepath.Join(r.task.State, "images", r.sum+".img")
	for what, spoil := range map[string]struct {
		file   string
		change func([]byte) []byte
		says   update.State
	}{
		"another outcome":  {history, func(b []byte) []byte { return b }, update.RolledBack},
		"no outcome":       {history, func(b []byte) []byte { return b }, ""},
		"no history":       {history, func([]byte) []byte { return nil }, update.Confirmed},
		"a record twice":   {history, func(b []byte) []byte { return append(bytes.Clone(b), b...) }, update.Confirmed},
		"an image changed": {stored, func(b []byte) []byte { return append(bytes.Clone(b), 0) }, update.Confirmed},
	} {
		whole, err := os.ReadFile(spoil.file)
		if err == nil {
			err = os.WriteFile(spoil.file, spoil.change(whole), 0o600)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if r.judge(ctx, result{Outcome: spoil.says}) == nil {
			t.Errorf("%s: nothing was seen", what)
		}
		cancel()
		if err := errors.Join(err, os.WriteFile(spoil.file, whole, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// chosen are the kills that are tried.
func chosen(ops, sent int, full bool) []kills {
	rng := rand.New(rand.NewPCG(1, 0)) //nolint:gosec // to be the same each time
	step, bytes := ops/4, 3
	if full {
		step, bytes = 1, 200
	}
	var all []kills
	add := func(p point) {
		all = append(all, kills{p})
		second := point{op: 1 + rng.IntN(ops)}
		if rng.IntN(2) == 0 {
			second = point{byte: 1 + rng.IntN(sent)}
		}
		if full || len(all)%3 == 0 {
			all = append(all, kills{p, second})
		}
	}
	for op := step; op <= ops; op += step {
		add(point{op: op})
	}
	for range bytes {
		add(point{byte: 1 + rng.IntN(sent)})
	}
	return all
}

// try lets the agents of a rig die, and the last one live; how many died.
func (p *plant) try(t *testing.T, k kills) (died int, err error) {
	r := newRig(t, p)
	for _, at := range append(k, point{}) {
		res, killed, err := r.life(t.Context(), at)
		t.Logf("%v: killed %v, %s %+v, %v", at, killed, res.Outcome, res.Failure, err)
		if err != nil {
			return died, err
		}
		if killed {
			died++
			continue
		}
		if err := r.judge(t.Context(), res); err != nil {
			return died, err
		}
	}
	return died, nil
}
