package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
	"github.com/robot-platform/robot-ota/internal/tuf/tuftest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func v(s string) compat.Version { return must(compat.ParseVersion(s)) }

// signed is a fleet's release metadata.
var signed = tuftest.New(tuftest.Noon())

// key is one that the fleet knows.
var key = keyringtest.Signers(1)[0].Public

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func scrape(t testing.TB, h http.Handler, headers ...string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// fill puts a fleet in, whose robots say strange things as well.
func fill(t testing.TB, s *store.Store, now time.Time) {
	t.Helper()
	if err := s.Update(t.Context(), "fill", func(tx *store.Tx) error {
		if err := fillRobots(t.Context(), tx, now); err != nil {
			return err
		}
		for role, b := range map[string][]byte{"root": signed.First(), "timestamp": signed.Documents["timestamp.json"]} {
			if err := tx.AddMetadata(t.Context(), store.Metadata{Role: role, Version: 1, Document: b}); err != nil {
				return err
			}
		}
		return fillRollouts(t.Context(), tx, now)
	}); err != nil {
		t.Fatal(err)
	}
}

func fillRobots(ctx context.Context, tx *store.Tx, now time.Time) error {
	if _, err := tx.AddKey(ctx, key, "pub.der"); err != nil {
		return err
	}
	for i := range 40 {
		id := fmt.Sprintf("robot-%02d", i)
		if err := tx.AddRobot(ctx, store.Robot{ID: id, SKU: "standard"}); err != nil {
			return err
		}
		state := store.RobotState{Version: v(fmt.Sprintf("0.1.%d", i)), Online: true, Received: now, SigningKey: key.ID}
		if i < 10 {
			state = store.RobotState{Version: v("0.2.0"), Received: now.Add(-time.Hour), SigningKey: fmt.Sprintf("stranger %d", i)}
		}
		if err := tx.SetState(ctx, id, state); err != nil {
			return err
		}
		u := store.Update{Robot: id, JobID: "j", SKU: "standard", Started: now.Add(-time.Hour), Outcome: "confirmed", Download: 3}
		if i < 4 {
			u.Outcome, u.Code, u.Download = "rolled_back", []string{"reboots", "reboots", "silent", fmt.Sprint("odd ", i)}[i], 0
		}
		if err := tx.SaveUpdate(ctx, u); err != nil {
			return err
		}
	}
	return tx.SaveUpdate(ctx, store.Update{Robot: "robot-09", JobID: "old", SKU: "standard", Started: now.Add(-72 * time.Hour), Outcome: "failed"})
}

func fillRollouts(ctx context.Context, tx *store.Tx, now time.Time) error {
	if err := tx.Enqueue(ctx, store.Command{ID: "c", Robot: "robot-01", Verb: store.VerbRollback}); err != nil {
		return err
	}
	if _, err := tx.OpenIncident(ctx, store.Incident{ID: "i", Kind: "of a new kind", Title: "x", OpenedBy: "ann", Reason: "y"}); err != nil {
		return err
	}
	state, _ := rollout.Begin(rollout.Default(), "ann", "y", now.Add(-time.Hour))
	if _, err := tx.StartRollout(ctx, store.Rollout{ID: "o1", Release: "standard-0.2.1", Version: v("0.2.1"), SKUs: []string{"standard"}, Phase: "running", Stage: "internal", State: must(json.Marshal(state))}); err != nil {
		return err
	}
	if err := tx.Assign(ctx, store.Assignment{Rollout: "o1", Robot: "robot-01", SKU: "standard", Stage: "internal", Outcome: "confirmed"},
		store.Assignment{Rollout: "o1", Robot: "robot-02", SKU: "standard", Stage: "canary"}); err != nil {
		return err
	}
	r, err := tx.StartRollout(ctx, store.Rollout{ID: "o2", Release: "basic-0.2.1", Version: v("0.2.1"), SKUs: []string{"basic"}, Phase: "running", Stage: "internal"})
	if err != nil {
		return err
	}
	if err := tx.Assign(ctx, store.Assignment{Rollout: "o2", Robot: "robot-03", SKU: "basic", Stage: "full", Confirmed: now.Add(90 * time.Minute)}); err != nil {
		return err
	}
	r.Phase, r.Active = "stable", false
	_, err = tx.SaveRollout(ctx, r)
	return err
}

func TestMetrics(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		fill(t, s, env.Clock.Now())
		m := must(New(s, env.Clock.Now, quiet()))
		m.Request("/v1/artifacts/{sha256}", "GET", 429, 100, time.Millisecond)
		m.Request("/v1/artifacts/{sha256}", "GET", 200, 5000, time.Second)
		m.Request("/v1/check", "GET", 429, 0, time.Millisecond)
		m.Messages("event", "taken", 3)
		m.Messages("status", "malformed", 1)
		m.Dropped(2)
		m.Connected(false)
		m.Connected(true)
		code, text := scrape(t, m.Handler(""))
		if code != http.StatusOK {
			t.Fatalf("%d %s", code, text)
		}
		for _, want := range []string{
			`ota_fleet_store_up 1`,
			`ota_fleet_updates{result="confirmed",sku="standard",window="24h"} 36`,
			`ota_fleet_updates{result="failed",sku="standard",window="24h"} 0`,
			`ota_fleet_updates{result="failed",sku="standard",window="30d"} 1`,
			`ota_fleet_rollbacks{trigger="reboots",window="24h"} 2`,
			`ota_fleet_rollbacks{trigger="other",window="24h"} 1`,
			`ota_fleet_update_success_ratio{window="24h"} 0.9`,
			`ota_fleet_update_rollback_ratio{window="24h"} 0.1`,
			`ota_fleet_download_mean_seconds{window="24h"} 3`,
			`ota_fleet_full_deployment_mean_seconds{window="30d"} 5400`,
			`ota_fleet_rollouts_ended{phase="stable",window="30d"} 1`,
			`ota_fleet_rollouts_ended{phase="halted",window="30d"} 0`,
			`ota_fleet_rollout_info{phase="running",release="standard-0.2.1",stage="internal"} 1`,
			`ota_fleet_rollout_robots{outcome="confirmed",release="standard-0.2.1"} 1`,
			`ota_fleet_rollout_robots{outcome="pending",release="standard-0.2.1"} 1`,
			`ota_fleet_rollout_stage_opened_timestamp_seconds{release="standard-0.2.1"} 1.7723628e+09`,
			`ota_fleet_robots_registered 40`, `ota_fleet_robots_online 30`, `ota_fleet_robots_silent 10`, `ota_fleet_robots_unheard 0`,
			`ota_fleet_robots{sku="standard",version="0.2.0"} 10`,
			`ota_fleet_robots{sku="standard",version="other"} 11`,
			`ota_fleet_robots_by_key{key="other",state="unknown"} 10`,
			`ota_fleet_robots_by_key{key="` + key.ID + `",state="trusted"} 30`,
			`ota_fleet_robots_keyring_behind 0`,
			`ota_fleet_metadata_expires_timestamp_seconds{role="timestamp"} 1.7724528e+09`,
			`ota_fleet_commands_open{state="unsent",verb="rollback"} 1`,
			`ota_fleet_commands_open{state="unsent",verb="ota"} 0`,
			`ota_fleet_incidents_open{kind="other"} 1`,
			`ota_fleet_downloads_refused_total 1`,
			`ota_fleet_messages_total{kind="event",result="taken"} 3`, `ota_fleet_messages_total{kind="status",result="malformed"} 1`,
			`ota_fleet_messages_dropped_total 2`, `ota_fleet_broker_connected 1`,
			`ota_fleet_http_requests_total{code="429",method="GET",route="/v1/check"} 1`,
			`ota_fleet_http_sent_bytes_total{route="/v1/artifacts/{sha256}"} 5100`,
			`ota_fleet_http_request_seconds_count{route="/v1/artifacts/{sha256}"} 2`,
			"process_start_time_seconds", "go_goroutines",
		} {
			if !strings.Contains(text, "\n"+want+"\n") && !strings.Contains(text, "\n"+want+" ") {
				t.Errorf("lacks %s", want)
			}
		}
		// No robot's id, and nothing that only a robot said.
		for _, secret := range []string{"robot-", "stranger", "odd 3", "of a new kind"} {
			if strings.Contains(text, secret) {
				t.Errorf("tells of %q", secret)
			}
		}
		if t.Failed() {
			t.Log(text)
		}
	})
}

// A reading is used again for a while, and what cannot be read is said.
func TestReadings(t *testing.T) {
	env := storetest.SQLite(t)
	s := env.Open(t)
	h := must(New(s, env.Clock.Now, quiet())).Handler("")
	register := func(id string) {
		if err := s.Update(t.Context(), "x", func(tx *store.Tx) error { return tx.AddRobot(t.Context(), store.Robot{ID: id, SKU: "basic"}) }); err != nil {
			t.Fatal(err)
		}
	}
	registered := func(want string) {
		t.Helper()
		if _, text := scrape(t, h); !strings.Contains(text, "ota_fleet_robots_registered "+want+"\n") {
			t.Errorf("want %s robots in\n%s", want, text)
		}
	}
	registered("0")
	register("r1")
	registered("0")
	env.Clock.Add(fresh)
	registered("1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	env.Clock.Add(fresh)
	code, text := scrape(t, h)
	if code != http.StatusOK || !strings.Contains(text, "ota_fleet_store_up 0\n") || strings.Contains(text, "ota_fleet_robots") {
		t.Errorf("%d %s", code, text)
	}
}

func TestToken(t *testing.T) {
	env := storetest.SQLite(t)
	h := must(New(env.Open(t), env.Clock.Now, quiet())).Handler("s3cret")
	for header, want := range map[string]int{"": 401, "Bearer wrong": 401, "s3cret": 401, "Bearer s3cret": 200} {
		if code, _ := scrape(t, h, "Authorization", header); code != want {
			t.Errorf("%q: %d", header, code)
		}
	}
}

// full is what is scraped of a fleet in which everything is going on, without
// Go's and the process's own.
func full(t testing.TB) string {
	t.Helper()
	env := storetest.SQLite(t)
	s := env.Open(t)
	fill(t, s, env.Clock.Now())
	m := must(New(s, env.Clock.Now, quiet()))
	m.Request("/v1/check", "GET", 200, 10, time.Millisecond)
	m.Messages("status", "taken", 1)
	_, text := scrape(t, m.Handler(""))
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, "ota_fleet_") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// promtool finds nothing to say about what is scraped.
func TestPromtoolCheckMetrics(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), promtool(t), "check", "metrics")
	cmd.Stdin = bytes.NewReader([]byte(full(t)))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
