package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
	"github.com/robot-platform/robot-ota/fleet/internal/emergency"
	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// A server that is killed is this test binary once more, told by these.
const (
	envDir  = "CONTROLLER_TEST_DIR"
	envDB   = "CONTROLLER_TEST_DB"
	envDie  = "CONTROLLER_TEST_DIE" // at which of its transaction points; 0: at none
	envHarm = "CONTROLLER_TEST_HARM"
)

// live goes on with the rollout of a folder, to its end or its death.
func live() int {
	at, _ := strconv.Atoi(os.Getenv(envDie))
	n := 0
	now := storetest.Noon()
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{Dir: os.Getenv(envDir), DB: os.Getenv(envDB), Now: func() time.Time { return now }, Probe: func(p store.Point, name string) {
		if n++; n == at {
			fmt.Printf("died %s %s\n", map[store.Point]string{store.BeforeCommit: "before", store.AfterCommit: "after"}[p], name)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it takes a moment
		}
	}})
	if err == nil {
		defer s.Close()
		err = goOn(newRig(ctx, s, &now))
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// goOn begins where the life before ended.
func goOn(r *rig) error {
	if l, err := r.s.Ledger(r.ctx, "lab-0"); err != nil {
		return err
	} else if l != nil {
		if err := json.Unmarshal(l, r.time); err != nil {
			return err
		}
	}
	if os.Getenv(envHarm) != "" {
		r.harm = func(id string) rollout.Counters {
			return map[bool]rollout.Counters{false: {Error: 20}}[strings.HasPrefix(id, "lab")]
		}
	}
	if _, err := r.s.Rollout(r.ctx, releaseName); err != nil {
		if err := r.start(releaseName); err != nil {
			return err
		}
	}
	l, err := r.s.Acquire(r.ctx, Lease, fmt.Sprint(os.Getpid()), 0)
	if err != nil {
		return err
	}
	for {
		if err := settle(r, l); err != nil {
			return err
		}
		if err := r.e.Follow(r.ctx, emergency.NoFence); err != nil {
			return err
		}
		o, err := r.s.Rollout(r.ctx, releaseName)
		if err != nil {
			return err
		}
		if left, err := r.s.Commands(r.ctx, store.CommandQuery{Open: true}); err != nil || ended(o) && len(left) == 0 {
			return err
		}
		if err := r.life(); err != nil {
			return err
		}
	}
}

// settle looks until a look changes nothing, so that how often it was begun in
// an hour makes no difference.
func settle(r *rig, l store.Lease) error {
	for revision := int64(-1); ; {
		o, err := r.s.Rollout(r.ctx, releaseName)
		if err != nil || o.Revision == revision {
			return err
		}
		revision = o.Revision
		if err := r.c.Tick(r.ctx, l); err != nil {
			return err
		}
	}
}

// process is one life; false: it was killed.
func process(t *testing.T, env storetest.Env, harm string, die int) (string, bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envDir+"="+env.Dir, envDB+"="+env.DB, envHarm+"="+harm, envDie+"="+strconv.Itoa(die))
	out, err := cmd.CombinedOutput()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case err == nil:
		return string(out), true
	case ok && status.Signaled() && status.Signal() == syscall.SIGKILL:
		return strings.TrimSpace(string(out)), false
	}
	t.Fatalf("%v\n%s", err, out)
	return "", false
}

// result is all that is there in the end, without who led.
func result(t *testing.T, env storetest.Env) string {
	t.Helper()
	s := env.Open(t)
	decisions := must(s.Decisions(t.Context(), releaseName, 0))
	for i := range decisions {
		decisions[i].Epoch = 0
	}
	all := map[string]any{"decisions": decisions, "rollout": must(s.Rollout(t.Context(), releaseName)), "releases": must(s.Releases(t.Context())),
		"commands": must(s.Commands(t.Context(), store.CommandQuery{})), "incidents": must(s.Incidents(t.Context(), false))}
	var parts []store.Assignment
	if err := s.EachAssignment(t.Context(), releaseName, func(a store.Assignment) error { parts = append(parts, a); return nil }); err != nil {
		t.Fatal(err)
	}
	all["parts"] = parts
	return string(must(json.MarshalIndent(all, "", " ")))
}

// A server dies in every transaction of a rollout, before it counts and after
// it, one death after the other. In the end there is what there is when nobody
// dies: nothing doubled, nothing skipped.
func TestKilledAtEveryTransaction(t *testing.T) {
	key := keyringtest.Signers(1)[0].Public // made anew in each process
	for _, harm := range []string{"", "harm"} {
		t.Run(harm, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, env storetest.Env) {
				calm := storetest.SQLite(t)
				if env.DB != "" {
					calm = storetest.Postgres(t)
				}
				for _, e := range []storetest.Env{env, calm} {
					now := storetest.Noon()
					s := must(store.Open(t.Context(), store.Options{Dir: e.Dir, DB: e.DB, Now: func() time.Time { return now }}))
					if err := newRig(t.Context(), s, &now).found(40, key); err != nil {
						t.Fatal(err)
					}
					s.Close()
				}
				if said, whole := process(t, calm, harm, 0); !whole {
					t.Fatal(said)
				}
				deaths := map[string]int{}
				for point, i := 1, 0; ; i++ {
					if i > 1000 {
						t.Fatal("it comes to no end")
					}
					said, whole := process(t, env, harm, point)
					if whole {
						break
					}
					deaths[said]++
					// Killed before its first commit a life changed nothing: the next one dies after it.
					if point++; point > 4 {
						point = 1
					}
				}
				got, want := result(t, env), result(t, calm)
				if got != want {
					dir := t.TempDir()
					_ = os.WriteFile(filepath.Join(dir, "got"), []byte(got), 0o600)
					_ = os.WriteFile(filepath.Join(dir, "want"), []byte(want), 0o600)
					diff, _ := exec.CommandContext(t.Context(), "diff", filepath.Join(dir, "want"), filepath.Join(dir, "got")).CombinedOutput()
					t.Errorf("with deaths:\n%.4000s", diff)
				}
				names := []string{"start", "advance", "wait", "keep pasts", "complete"}
				if harm != "" {
					names = []string{"start", "advance", "wait", "keep pasts", "halt", "follow"}
				}
				for _, name := range names {
					for _, when := range []string{"before", "after"} {
						if deaths["died "+when+" "+name] == 0 {
							t.Errorf("nobody died %s %s: %v", when, name, deaths)
						}
					}
				}
				t.Logf("%v", deaths)
			})
		})
	}
}
