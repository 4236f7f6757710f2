package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// day is what r1 says on a day: 0.2.1 is confirmed and put back by a trigger,
// tried once more by hand and put back on request, then 0.2.2 is confirmed by
// command. Its agent restarts in between, and its clock runs.
func (f *fleet) day() []Message {
	var out []Message
	begin := f.now().Add(-24 * time.Hour)
	at, seq, statuses := begin, 0, 1<<32
	event := func(job, to string, w fields) {
		seq++
		at = at.Add(time.Minute)
		full := fields{"at": at}
		for k, v := range w {
			full[k] = v
		}
		out = append(out, f.event(seq, job, to, full))
	}
	status := func(state, running, job string) {
		statuses++
		out = append(out, f.say(Status, fields{"epoch": "e", "seq": statuses, "at": at, "state": state, "job_id": job, "running": fields{"version": running}}))
	}
	whole := []string{"checking", "downloading", "verifying", "waiting", "handover", "connecting", "writing", "attesting", "booting", "validating", "confirmed", "observing"}
	update := func(job, target string, w fields) {
		for _, to := range whole {
			full := fields{"target": target}
			for k, v := range w {
				full[k] = v
			}
			if to == "checking" {
				full["target"] = "0.0.0"
			}
			event(job, to, full)
			status(to, map[bool]string{true: target, false: "0.2.0"}[to == "validating" || to == "confirmed" || to == "observing"], job)
		}
	}
	health := func(epoch, firmware string, n int) {
		for i := range n {
			at = at.Add(time.Minute)
			out = append(out, f.say(Health, fields{"schema": 1, "epoch": epoch, "seq": i + 1, "at": at, "firmware": firmware, "seconds": 60 * (i + 1),
				"counters": store.Counters{OK: float64(i), Odometry: float64(3000 * i), EStops: float64(i / 20), Used: 0.001 * float64(i), Discharging: float64(60 * i)}}))
		}
	}
	online := func(seq int, is bool, reason string) {
		out = append(out, f.say(Online, fields{"epoch": "e", "seq": seq, "online": is, "reason": reason, "at": at}))
	}
	online(1<<32+1, true, "")
	health("h1", "0.2.0", 30)
	update("job-1", "0.2.1", nil)
	health("h2", "0.2.1", 50)
	event("job-1", "rolling_back", fields{"code": "reboots"})
	event("job-1", "rolled_back", fields{"code": "reboots", "text": "more than 3 reboots in 5m0s"})
	status("rolled_back", "0.2.0", "job-1")
	online(1<<32+1, false, "connection_lost")
	statuses = 2 << 32
	online(2<<32+1, true, "")
	health("h3", "0.2.0", 20)
	event("job-2", "failed", fields{"code": "failed_before"})
	update("job-3", "0.2.1", fields{"origin": "cli"})
	event("job-4", "rolling_back", fields{"job_kind": "rollback", "code": "operator"})
	event("job-4", "rolled_back", fields{"job_kind": "rollback", "code": "operator"})
	event("", "", fields{"kind": "command", "topic": "commands/rollback", "command_id": "c-1", "verdict": "followed"})
	update("job-5", "0.2.2", fields{"command_id": "c-2"})
	health("h4", "0.2.2", 40)
	status("idle", "0.2.2", "job-5")
	return out
}

// outcome is what is known in the end, but when it was heard.
func (f *fleet) outcome() string {
	f.t.Helper()
	ctx := f.t.Context()
	state := f.robot("r1").State
	state.Received = time.Time{}
	events, err := f.store.Events(ctx, "r1", time.Time{}, 1000)
	if err != nil {
		f.t.Fatal(err)
	}
	var updates []store.Update
	if err := f.store.EachUpdate(ctx, "r1", time.Time{}, func(u store.Update) error { updates = append(updates, u); return nil }); err != nil {
		f.t.Fatal(err)
	}
	part, err := f.store.Assignment(ctx, "o1", "r1")
	if err != nil {
		f.t.Fatal(err)
	}
	hours, _ := f.hours("r1")
	counted := map[string]store.Counters{}
	for _, h := range hours {
		counted[h.Firmware.String()] = sum(counted[h.Firmware.String()], h.Counters)
	}
	for v, c := range counted {
		for _, x := range []*float64{&c.OK, &c.Odometry, &c.Used, &c.Discharging} {
			*x = math.Round(*x*1e6) / 1e6
		}
		counted[v] = c
	}
	var verdicts []string
	for _, id := range []string{"c-1", "c-2"} {
		c, err := f.store.Command(ctx, id)
		if err != nil {
			f.t.Fatal(err)
		}
		verdicts = append(verdicts, fmt.Sprint(c.ID, c.Verdict, c.Code, !c.Complied.IsZero()))
	}
	raw, err := json.MarshalIndent([]any{state, len(events), updates, part, counted, verdicts}, "", " ")
	if err != nil {
		f.t.Fatal(err)
	}
	return string(raw)
}

// tell takes messages in, in batches of up to that many, a second apart.
func (f *fleet) tell(env storetest.Env, messages []Message, batch func() int) {
	for len(messages) > 0 {
		n := min(batch(), len(messages))
		env.Clock.Add(time.Second)
		for i := range messages[:n] {
			messages[i].Received = f.now()
		}
		f.take(messages[:n]...)
		messages = messages[n:]
	}
}

// TestAnyOrder: whatever order a day's messages come in, and however often each,
// what is known in the end is the same.
func TestAnyOrder(t *testing.T) {
	for name, fresh := range map[string]func(testing.TB) storetest.Env{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		t.Run(name, func(t *testing.T) { anyOrder(t, fresh) })
	}
}

func anyOrder(t *testing.T, fresh func(testing.TB) storetest.Env) {
	reference := ""
	for round := range 8 {
		random, env := rand.New(rand.NewPCG(1, uint64(round))), fresh(t)
		f := newFleet(t, env, Config{})
		f.update(func(ctx context.Context, tx *store.Tx) error {
			return tx.Enqueue(ctx,
				store.Command{ID: "c-1", Robot: "r1", Verb: store.VerbRollback, Version: version("0.2.1"), Payload: json.RawMessage(`{"id":"c-1"}`)},
				store.Command{ID: "c-2", Robot: "r1", Verb: store.VerbOTA, Version: version("0.2.2"), Payload: json.RawMessage(`{"id":"c-2"}`)})
		})
		messages := f.day()
		if round > 0 {
			for range 100 {
				messages = append(messages, messages[random.IntN(len(messages))])
			}
			random.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
		}
		f.tell(env, messages, func() int { return 1 + random.IntN(40) })
		got := f.outcome()
		if reference == "" {
			reference = got
			f.checkDay()
		}
		if got != reference {
			t.Fatalf("round %d:\n%s\nin order it is:\n%s", round, got, reference)
		}
	}
}

// checkDay says what the day comes to, told in order.
func (f *fleet) checkDay() {
	f.t.Helper()
	a, err := f.store.Assignment(f.t.Context(), "o1", "r1")
	if err != nil || a.Outcome != "rolled_back" || a.Code != "operator" || a.Trigger != "reboots" || a.Trying.IsZero() || a.Confirmed.IsZero() || a.Failed.IsZero() {
		f.t.Errorf("%+v, %v", a, err)
	}
	var ways []string
	err = f.store.EachUpdate(f.t.Context(), "r1", time.Time{}, func(u store.Update) error {
		ways = append(ways, fmt.Sprint(u.JobID, " ", u.Version, " ", u.Outcome, " ", u.Code, " ", u.Download, " ", u.Rollout))
		return nil
	})
	want := []string{"job-1 0.2.1 rolled_back reboots 60 o1", "job-2 0.2.1 failed failed_before 0 o1", "job-3 0.2.1 rolled_back operator 60 o1", "job-5 0.2.2 confirmed  60 "}
	if fmt.Sprint(ways) != fmt.Sprint(want) || err != nil {
		f.t.Errorf("%q, want %q; %v", ways, want, err)
	}
	_, total := f.hours("r1")
	if total.OK < 135.9 || total.OK > 136.1 || total.EStops != 1+2+0+1 {
		f.t.Errorf("%+v", total)
	}
	if s := f.robot("r1").State; !s.Online || s.Version != version("0.2.2") || s.JobState != "idle" {
		f.t.Errorf("%+v", s)
	}
}
