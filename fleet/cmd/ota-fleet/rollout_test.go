package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// tells reports a transition of a robot's update to 0.2.1.
func (l *lab) tells(t *testing.T, robot, auth string, seq int, to, code string) {
	t.Helper()
	event := map[string]any{"id": fmt.Sprintf("%s-%d", robot, seq), "seq": seq, "at": time.Now().UTC(), "robot_id": robot, "kind": "transition", "job_id": "j1",
		"job_kind": "update", "origin": "schedule", "to": to, "code": code, "target": "0.2.1", "running": map[string]string{"version": "0.2.0"}}
	body, err := json.Marshal(map[string]any{"documents": []any{map[string]any{"topic": "ota/event", "payload": event}}})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", l.url+"/v1/report", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	name, value, _ := strings.Cut(auth, ": ")
	req.Header.Set(name, value)
	req.Header.Set("Content-Type", "application/json")
	resp, err := l.client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("the report of %s: %s", to, resp.Status)
	}
}

// A rollout in a running server: who has a turn is offered the release, what
// robots report is seen, and a trigger calls it back at once.
func TestRolloutInAServer(t *testing.T) {
	t.Parallel()
	l := prepare(t)
	l.serve(t, "--rollouts-every", "100ms")
	test, other := "Authorization: Bearer "+l.token(t, "lab-1", "--internal"), "Authorization: Bearer "+l.token(t, "r2")
	offered := func(auth string) int {
		resp, _ := l.get(t, "/v1/check?sku=standard&version=0.2.0", auth)
		return resp.StatusCode
	}
	l.do(t, "publish", "--data", l.file("data"), "--sku", "standard", l.file("0.2.1.bin"))
	if offered(test) != http.StatusNoContent {
		t.Error("published only, it is offered to nobody")
	}
	l.do(t, "rollout", "start", "--data", l.file("data"), "standard-0.2.1")
	if offered(test) != http.StatusOK || offered(other) != http.StatusNoContent {
		t.Errorf("internal: %d %d", offered(test), offered(other))
	}

	s, err := store.Open(t.Context(), store.Options{Dir: l.file("data"), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	until := func(what string, so func(r store.Rollout) bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			r, err := s.Rollout(t.Context(), "standard-0.2.1")
			if err != nil {
				t.Fatal(err)
			}
			if so(r) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s", what, r.State)
			}
		}
	}
	says := func(text string) func(store.Rollout) bool {
		return func(r store.Rollout) bool { return strings.Contains(string(r.State), text) }
	}
	until("nothing is waited for", says("0 of 1 robots have taken it; waiting for 1"))
	l.tells(t, "lab-1", test, 1, "downloading", "")
	l.tells(t, "lab-1", test, 2, "observing", "")
	until("the confirmation is not seen", says("1 robot took it; watched since"))

	l.do(t, "rollout", "promote", "--data", l.file("data"), "--reason", "it runs", "standard-0.2.1")
	l.do(t, "rollout", "promote", "--data", l.file("data"), "--reason", "we are two", "standard-0.2.1")
	l.do(t, "rollout", "promote", "--data", l.file("data"), "--reason", "we are two", "standard-0.2.1")
	if offered(other) != http.StatusOK {
		t.Error("full: r2 is not offered it")
	}
	l.tells(t, "lab-1", test, 3, "rolled_back", "unexplained_estop")
	until("the trigger does not halt", func(r store.Rollout) bool { return r.Phase == "halted" })
	if offered(other) != http.StatusNoContent {
		t.Error("halted: r2 is offered it")
	}
	if r, err := s.ReleaseNamed(t.Context(), "standard-0.2.1"); err != nil || r.Status != "withdrawn" {
		t.Errorf("%+v, %v", r, err)
	}
	if open, err := s.Incidents(t.Context(), true); err != nil || len(open) != 1 || !strings.Contains(open[0].Reason, "unexplained_estop") {
		t.Errorf("%+v, %v", open, err)
	}
}
