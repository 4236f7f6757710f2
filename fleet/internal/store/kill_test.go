package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// Environment of a server process of the kill tests: its folder and database,
// its name, and before which point of a transaction it dies: "3" is the third,
// counted without the lease's; "lease 1" counts only those; "" is none.
const (
	envDir    = "STORE_TEST_SCRIPT_DIR"
	envDB     = "STORE_TEST_SCRIPT_DB"
	envHolder = "STORE_TEST_SCRIPT_HOLDER"
	envDie    = "STORE_TEST_SCRIPT_DIE"
)

// The signing key has to be the same in all processes of a test.
const envKey = "STORE_TEST_SCRIPT_KEY"

// serveScript is the main function of a server process.
func serveScript() int {
	ctx, dir := context.Background(), os.Getenv(envDir)
	die := os.Getenv(envDie)
	n, lease := 0, strings.HasPrefix(die, "lease ")
	at, _ := strconv.Atoi(strings.TrimPrefix(die, "lease "))
	s, err := store.Open(ctx, store.Options{Dir: filepath.Join(dir, "data"), DB: os.Getenv(envDB), Now: storetest.Noon, Probe: func(p store.Point, name string) {
		if strings.HasPrefix(name, "acquire lease") != lease {
			return
		}
		if n++; n == at {
			fmt.Printf("died %s %q\n", map[store.Point]string{store.BeforeCommit: "before", store.AfterCommit: "after"}[p], name)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it takes a moment
		}
	}})
	ttl := time.Duration(0) // the next life need not wait; the fence holds all the same
	if lease {
		ttl = time.Hour
	}
	if err == nil {
		err = (&script{ctx: ctx, s: s, dir: dir, ttl: ttl}).run(os.Getenv(envHolder))
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// life starts a server, and gives what it said and whether it came to its end.
func life(t *testing.T, env storetest.Env, holder, die string) (string, bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envDir+"="+env.Dir, envDB+"="+env.DB, envHolder+"="+holder, envDie+"="+die)
	out, err := cmd.CombinedOutput()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case err == nil:
		return string(out), true
	case ok && status.Signaled() && status.Signal() == syscall.SIGKILL:
		return string(out), false
	}
	t.Fatalf("server %s: %v\n%s", holder, err, out)
	return "", false
}

// outcome is everything that is stored in the end, but what may differ: how
// often a command was handed to the broker, and who held the lease.
func outcome(t *testing.T, env storetest.Env) string {
	t.Helper()
	dir := env.Dir
	env.Dir = filepath.Join(dir, "data")
	s, err := store.Open(t.Context(), store.Options{Dir: env.Dir, DB: env.DB, Now: storetest.Noon})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all := map[string]any{
		"releases": must(s.Releases(t.Context())), "robots": must(s.Robots(t.Context(), store.RobotQuery{})), "rollouts": must(s.Rollouts(t.Context())),
		"incidents": must(s.Incidents(t.Context(), false)), "entries": must(s.Entries(t.Context(), scriptRollout+"-halt")),
	}
	decisions, commands := must(s.Decisions(t.Context(), scriptRollout, 0)), must(s.Commands(t.Context(), store.CommandQuery{}))
	for i := range decisions {
		decisions[i].Epoch = 0
	}
	for i := range commands {
		commands[i].Sends = 0
	}
	all["decisions"], all["commands"] = decisions, commands
	for _, id := range sortedRobots() {
		all["events of "+id] = must(s.Events(t.Context(), id, time.Time{}, 100))
		all["places of "+id] = must(s.AssignmentsOf(t.Context(), id))
	}
	for _, who := range []string{"broker", "robots"} {
		heard := must(lines(filepath.Join(dir, who)))
		if who == "broker" { // may have it twice, the robots act once
			slices.Sort(heard)
			heard = slices.Compact(heard)
		}
		all[who] = heard
	}
	if c, err := s.Check(t.Context()); err != nil || len(c.Faults)+len(c.Unlisted) > 0 {
		t.Errorf("%+v, %v", c, err)
	}
	return string(must(json.MarshalIndent(all, "", " ")))
}

// A server dies in every transaction of a rollout, before it counts and after,
// one death after the other: each life gets one transaction further. In the end
// there is what there is when nobody dies, nothing doubled, nothing skipped.
func TestKilledAtEveryTransaction(t *testing.T) {
	t.Setenv(envKey, keyText())
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		fresh := storetest.SQLite
		if env.DB != "" {
			fresh = storetest.Postgres
		}
		calm := fresh(t)
		if _, whole := life(t, calm, "calm", ""); !whole {
			t.Fatal("it died")
		}
		want := outcome(t, calm)
		if n := strings.Count(want, "has complied"); n != 3 {
			t.Fatalf("%d robots complied:\n%s", n, want)
		}

		deaths := map[string]int{}
		for i, point := 0, 1; ; i++ {
			if i > 500 {
				t.Fatal("it comes to no end")
			}
			said, whole := life(t, env, fmt.Sprint("life-", i), strconv.Itoa(point))
			if whole {
				break
			}
			deaths[strings.TrimSpace(said)]++
			// Killed before its first commit a life changed nothing: the next one dies after it.
			if point++; point > 2 {
				point = 1
			}
		}
		same(t, "the outcome", outcome(t, env), want)
		before, after := 0, 0
		for said := range deaths {
			if strings.HasPrefix(said, "died before") {
				before++
			} else {
				after++
			}
		}
		t.Logf("%d transactions were cut before they counted, %d after: %v", before, after, deaths)
		for _, name := range []string{"publish", "begin", "advance", "halt", "sent o1/4/r1", "event r3-rolled-back", "close"} {
			for _, when := range []string{"before", "after"} {
				if deaths[fmt.Sprintf("died %s %q", when, name)] == 0 {
					t.Errorf("nobody died %s %s", when, name)
				}
			}
		}
	})
}

// A server that dies in taking the lease keeps the next one waiting at most
// until it expires, and never leaves two.
func TestKilledTakingTheLease(t *testing.T) {
	t.Setenv(envKey, keyText())
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		life(t, env, "a", "lease 1") // before it counts
		if said, whole := life(t, env, "b", "lease 2"); whole || !strings.Contains(said, "died after") {
			t.Fatalf("%s, %v", said, whole)
		}
		env.Dir = filepath.Join(env.Dir, "data")
		s := env.Open(t)
		if l := must(s.Lease(t.Context(), "controller")); l.Holder != "b" || l.Epoch != 1 {
			t.Errorf("got %+v", l)
		}
		if _, err := s.Acquire(t.Context(), "controller", "c", time.Hour); err == nil {
			t.Error("two have it")
		}
	})
}
