package emergency

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// Environment of a process of the kill test: its folder and database, and the
// point of a transaction, counted from 1, at which it dies; 0: none. With a key
// it replaces that, and otherwise calls a release back.
const (
	envDir = "EMERGENCY_TEST_DIR"
	envDB  = "EMERGENCY_TEST_DB"
	envDie = "EMERGENCY_TEST_DIE"
	envKey = "EMERGENCY_TEST_KEY"
)

// serveScript is the main function of such a process.
func serveScript() int {
	die, _ := strconv.Atoi(os.Getenv(envDie))
	n := 0
	s, err := store.Open(context.Background(), store.Options{Dir: os.Getenv(envDir), DB: os.Getenv(envDB), Now: storetest.Noon, Probe: func(p store.Point, name string) {
		if n++; n == die {
			fmt.Printf("died %s %q\n", map[store.Point]string{store.BeforeCommit: "before", store.AfterCommit: "after"}[p], name)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it takes a moment
		}
	}})
	switch key := os.Getenv(envKey); {
	case err != nil:
	case key != "":
		err = replaceKey(context.Background(), s, key)
	default:
		err = callBack(context.Background(), s)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// replaceKey finds the keyring, the releases and all robots but one ready.
func replaceKey(ctx context.Context, s *store.Store, key string) error {
	e := New(s, storetest.Noon)
	if _, err := s.Incident(ctx, KeyIncident(key)); err != nil {
		if _, err := e.Compromised(ctx, "ann", key, "stolen"); err != nil {
			return err
		}
	}
	if err := e.Follow(ctx, NoFence); err != nil {
		return err
	}
	status, err := e.KeyStatus(ctx, key)
	if err != nil {
		return err
	}
	if status.Left > 0 {
		if err := e.Except(ctx, "ann", key, "scrapped", status.Without[0].Robot); err != nil {
			return err
		}
	}
	if status.Next == "" {
		return nil
	}
	return e.Replaced(ctx, "ann", key)
}

// callBack is command, server and robots together.
func callBack(ctx context.Context, s *store.Store) error {
	e := New(s, storetest.Noon)
	e.batch = 1
	all, err := s.Incidents(ctx, false)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		if _, err := e.Halt(ctx, "ann", "standard-0.2.1", "it bites"); err != nil {
			return err
		}
	}
	const id = "rollback-standard-0.2.1"
	if _, err := s.Incident(ctx, id); err != nil {
		if err := e.Follow(ctx, NoFence); err != nil { // of the halt
			return err
		}
		if _, err := e.Rollback(ctx, "ann", "standard-0.2.1", "it bites harder"); err != nil {
			return err
		}
	}
	for {
		if err := e.Follow(ctx, NoFence); err != nil {
			return err
		}
		left, err := s.Commands(ctx, store.CommandQuery{Incident: id, Open: true})
		if err != nil {
			return err
		}
		if len(left) == 0 {
			break
		}
		for _, c := range left {
			if err := s.Update(ctx, "robot", func(tx *store.Tx) error { return tx.SetState(ctx, c.Robot, runs("0.2.0")) }); err != nil {
				return err
			}
		}
	}
	if i, err := s.Incident(ctx, id); err != nil || !i.Closed.IsZero() {
		return err
	}
	return e.Close(ctx, "ann", id, "")
}

func life(t *testing.T, env storetest.Env, key string, die int) (string, bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envDir+"="+env.Dir, envDB+"="+env.DB, envDie+"="+strconv.Itoa(die), envKey+"="+key)
	out, err := cmd.CombinedOutput()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case err == nil:
		return string(out), true
	case ok && status.Signaled() && status.Signal() == syscall.SIGKILL:
		return string(out), false
	}
	t.Fatalf("%v\n%s", err, out)
	return "", false
}

// scene is the fleet before the order: three run the release, one fetches it.
func scene(t *testing.T, env storetest.Env) {
	t.Helper()
	s := env.Open(t)
	fleet(t, s)
	start(t, s)
	for _, id := range []string{"r1", "r2", "b1"} {
		says(t, s, id, runs("0.2.1"))
	}
	says(t, s, "r3", store.RobotState{Version: v("0.2.0"), JobID: "job-3", JobState: "waiting", JobTarget: "0.2.1"})
	says(t, s, "r4", runs("0.2.0"))
}

// outcome is all that is stored in the end, but how often the time line told
// that not all have complied. Its lines may stand in another order, as robots
// go on while the server is dead.
func outcome(t *testing.T, env storetest.Env) string {
	t.Helper()
	s, ctx := env.Open(t), t.Context()
	all := map[string]any{
		"releases": must(s.Releases(ctx)), "robots": must(s.Robots(ctx, store.RobotQuery{})), "rollouts": must(s.Rollouts(ctx)),
		"decisions": must(s.Decisions(ctx, "o1", 0)), "incidents": must(s.Incidents(ctx, false)), "commands": must(s.Commands(ctx, store.CommandQuery{})),
	}
	for _, i := range must(s.Incidents(ctx, false)) {
		text := slices.DeleteFunc(strings.Split(lines(t, s, i.ID), "\n"), func(line string) bool {
			return strings.HasPrefix(line, ": complied: ") && !strings.HasPrefix(line, ": complied: 4 of 4")
		})
		slices.Sort(text)
		all["lines of "+i.ID] = text
	}
	return string(must(json.MarshalIndent(all, "", " ")))
}

// deaths lets a process die in each transaction, before it counts and after, one
// death after the other. In the end there is what there is when nobody dies:
// nothing doubled, nothing skipped.
func deaths(t *testing.T, env storetest.Env, key string, scene func(*testing.T, storetest.Env), transactions ...string) string {
	t.Helper()
	calm := storetest.SQLite
	if env.DB != "" {
		calm = storetest.Postgres
	}
	quiet := calm(t)
	scene(t, quiet)
	if said, whole := life(t, quiet, key, 0); !whole {
		t.Fatalf("it died: %s", said)
	}
	want := outcome(t, quiet)
	scene(t, env)
	died := map[string]int{}
	for i, point := 0, 1; ; i++ {
		if i > 200 {
			t.Fatal("it comes to no end")
		}
		said, whole := life(t, env, key, point)
		if whole {
			break
		}
		died[strings.TrimSpace(said)]++
		if point++; point > 2 { // before its first commit a life changed nothing: the next one dies after it
			point = 1
		}
	}
	if got := outcome(t, env); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	t.Log(died)
	for _, name := range transactions {
		for _, when := range []string{"before", "after"} {
			if died[fmt.Sprintf("died %s %q", when, name)] == 0 {
				t.Errorf("nobody died %s %s", when, name)
			}
		}
	}
	return want
}

func TestCallBackKilledAtEveryTransaction(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		end := deaths(t, env, "", scene, "halt", "rollback", "follow", "close")
		if n := strings.Count(end, `"complied": "`); n != 4 {
			t.Errorf("%d commands were complied with:\n%s", n, end)
		}
	})
}

func TestKeyKilledAtEveryTransaction(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		old, fresh := signers[0].Public.ID, signers[1].Public.ID
		end := deaths(t, env, old, func(t *testing.T, env storetest.Env) {
			t.Helper()
			s := env.Open(t)
			fleet(t, s)
			start(t, s)
			offer(t, s, 2, strings.Repeat("0", 16), old)
			for _, sku := range []string{"basic", "standard"} {
				r := of(sku, "0.2.2", 7, release.Stable)
				r.Key = fresh
				if err := s.Publish(t.Context(), file(7), []release.Release{r}); err != nil {
					t.Fatal(err)
				}
			}
			for _, id := range []string{"r1", "r2", "r3", "b1"} {
				says(t, s, id, has(2, fresh))
			}
		}, "key compromised", "follow", "except", "key replaced")
		if !strings.Contains(end, "ann: the old private key is destroyed") {
			t.Errorf("in the end:\n%s", end)
		}
	})
}
